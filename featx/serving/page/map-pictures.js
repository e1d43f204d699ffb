// Thumbnails of points of the map: rows become keys, keys become pictures, and some are kept.
import { complain } from "./announce.js";
import { address, ask } from "./api.js";

const MOST_KEPT = 600;
const MOST_ASKED = 200;

export class MapPictures {
  /** @param {() => void} onLoaded */
  constructor(onLoaded) {
    this.onLoaded = onLoaded;
    this.items = new Map(); // Row to item; null while it is asked for.
    this.images = new Map();
  }

  /** What is known of a row; asks for it if nothing is. */
  async item(row) {
    if (!this.items.get(row)) await this.#askFor([row]);
    return this.items.get(row);
  }

  /** Read what some rows need. @param {number[]} rows */
  async want(rows) {
    const missing = rows.filter((row) => !this.items.has(row)).slice(0, MOST_ASKED);
    if (missing.length) await this.#askFor(missing).catch(complain);
    for (const row of rows) if (this.items.get(row) && !this.images.has(row)) this.#load(row);
    for (const row of this.images.keys()) {
      if (this.images.size <= MOST_KEPT) break;
      this.images.delete(row);
    }
  }

  /** The picture of a row, if it is here. */
  image(row) {
    const image = this.images.get(row);
    return image?.complete && image.naturalWidth ? image : null;
  }

  async #askFor(rows) {
    for (const row of rows) this.items.set(row, this.items.get(row) || null);
    try {
      const query = new URLSearchParams({ limit: "500" });
      for (const row of rows) query.append("row", String(row));
      for (const item of (await ask(`/items?${query}`)).items) this.items.set(item.row, item);
    } catch (error) {
      for (const row of rows) this.items.delete(row);
      throw error;
    }
  }

  #load(row) {
    const image = new Image();
    image.onload = this.onLoaded;
    image.src = address("thumbnails", this.items.get(row).key);
    this.images.set(row, image);
  }
}
