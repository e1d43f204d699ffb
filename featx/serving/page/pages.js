// Parts of a long list, read from the server as they are wanted, of which the latest are kept.
const SIZE = 100;
const MOST_KEPT = 40;

export class Pages {
  /**
   * @param {(offset: number, limit: number, signal: AbortSignal) => Promise<{total: number, items: any[]}>} load
   * @param {(first: number, end: number) => void} onLoaded
   * @param {(error: any) => void} onError
   */
  constructor(load, onLoaded, onError) {
    Object.assign(this, { load, onLoaded, onError });
    this.total = 0;
    this.pages = new Map();
    this.asked = new Map();
    this.stopped = false;
  }

  /** What is at an index; undefined if it is not here. */
  get(index) { return this.pages.get(Math.floor(index / SIZE))?.[index % SIZE]; }

  /** Read what is missing between two indices; give up what is no longer wanted. */
  want(first, end) {
    if (end <= first) return;
    const from = Math.floor(first / SIZE), to = Math.floor(Math.max(first, end - 1) / SIZE);
    for (const [number, stop] of this.asked) if (number < from || number > to) stop.abort();
    for (let number = from; number <= to; number++) this.#read(number);
  }

  /** Read the first part, or the one at an index. */
  async start(index = 0) { await this.#read(Math.floor(index / SIZE)); }

  stop() {
    this.stopped = true;
    for (const stop of this.asked.values()) stop.abort();
  }

  /** Every item that is here. */
  *[Symbol.iterator]() { for (const page of this.pages.values()) yield* page; }

  async #read(number) {
    if (this.pages.has(number)) {
      const page = this.pages.get(number);
      this.pages.delete(number);
      this.pages.set(number, page); // The latest used are last.
      return;
    }
    if (this.asked.has(number)) return;
    const stop = new AbortController();
    this.asked.set(number, stop);
    try {
      const { total, items } = await this.load(number * SIZE, SIZE, stop.signal);
      if (this.stopped) return;
      this.total = total;
      this.pages.set(number, items);
      while (this.pages.size > MOST_KEPT) this.pages.delete(this.pages.keys().next().value);
      this.onLoaded(number * SIZE, number * SIZE + items.length);
    } catch (error) {
      if (error.name !== "AbortError" && !this.stopped) this.onError(error);
    } finally {
      this.asked.delete(number);
    }
  }
}
