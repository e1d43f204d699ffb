// A list of any length of which only what is in the window is in the document.
//
// Browsers cannot show an element of a hundred million pixels. A longer list is shown in an area of
// MOST_PIXELS: the scroll bar then jumps in proportion, while a wheel still moves pixel by pixel;
// at rest, the bar is put where the list is.
import { element, fill } from "./dom.js";

const MOST_PIXELS = 4_000_000;
const REST_MS = 140;
const BESIDE = 2; // Rows that are kept above and below the window.

/**
 * @typedef {Object} Layout
 * @property {number} columns
 * @property {number} rowHeight with the gap below
 */

export class Windowed {
  /**
   * @param {Object} options
   * @param {HTMLElement} options.scroller what scrolls; the list need not be all that is in it
   * @param {string} options.label
   * @param {(width: number) => Layout} options.measure
   * @param {(index: number, cell: HTMLElement) => void} options.render fills a cell, perhaps again
   * @param {(first: number, end: number) => void} [options.want] what is in the window, at rest
   * @param {(index: number) => void} [options.onActive]
   */
  constructor({ scroller, label, measure, render, want, onActive }) {
    Object.assign(this, { scroller, measure, render, want, onActive });
    this.area = element("div", { class: "area", role: "grid", "aria-label": label });
    this.total = 0;
    this.active = 0;
    this.virtual = 0; // Where the window begins in the whole list, in pixels.
    this.last = 0;
    this.rows = new Map();
    this.layout = { columns: 1, rowHeight: 100 };
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.area.addEventListener("keydown", (event) => this.#press(event));
    this.area.addEventListener("focusin", (event) => this.#focused(event));
    new ResizeObserver(() => this.relayout()).observe(this.area);
    new ResizeObserver(() => this.draw()).observe(scroller);
  }

  /** Show another list, from an index on. */
  reset(total, index = 0) {
    this.total = total;
    this.active = Math.min(index, Math.max(0, total - 1));
    fill(this.area);
    this.rows.clear();
    this.relayout(index);
  }

  /** How long the list is turns out only as it is read. */
  resize(total) {
    if (total === this.total) return;
    this.total = total;
    this.relayout();
  }

  /** Render cells again whose contents have changed: all that are shown, or those of a test. */
  refresh(test = () => true) {
    for (const row of this.rows.values()) for (const cell of row.children) {
      const index = Number(cell.dataset.index);
      if (test(index)) this.render(index, cell);
    }
  }

  /** The index of the first picture in the window. */
  get first() { return Math.max(0, Math.floor(Math.max(0, this.virtual) / this.layout.rowHeight) * this.layout.columns); }

  /** The cell of an index, if it is in the document. */
  cell(index) { return this.area.querySelector(`[data-index="${index}"]`); }

  /** Make an index the one that the keyboard is at. */
  activate(index, { focus = true } = {}) {
    if (!this.total) return;
    const before = this.cell(this.active);
    if (before) before.tabIndex = -1;
    this.active = Math.max(0, Math.min(this.total - 1, index));
    this.#reveal(this.active);
    const now = this.cell(this.active);
    if (!now) return;
    now.tabIndex = 0;
    if (focus) now.focus({ preventScroll: true });
  }

  /** Measure again, and stay where the list is. */
  relayout(index = this.first) {
    const width = this.area.clientWidth;
    if (!width) return;
    this.layout = this.measure(width);
    this.area.setAttribute("aria-rowcount", String(this.#numRows));
    this.area.setAttribute("aria-colcount", String(this.layout.columns));
    this.area.style.height = `${this.#shown}px`;
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    if (index > 0) this.#moveTo(Math.floor(index / this.layout.columns) * this.layout.rowHeight);
    else this.virtual = this.last = this.#place;
    this.draw();
    this.#rest();
  }

  get #numRows() { return Math.ceil(this.total / this.layout.columns); }
  get #real() { return this.#numRows * this.layout.rowHeight; }
  get #shown() { return Math.min(this.#real, MOST_PIXELS); }
  get #isWhole() { return this.#real <= MOST_PIXELS; }
  get #height() { return this.scroller.clientHeight; }
  /** Pixels by which the area's beginning is above the window's. */
  get #place() { return this.scroller.getBoundingClientRect().top - this.area.getBoundingClientRect().top; }

  #scrolled() {
    if (!this.area.isConnected || !this.layout.rowHeight) return;
    const place = this.#place, step = place - this.last;
    this.last = place;
    if (this.#isWhole || place <= 0) this.virtual = place;
    else if (Math.abs(step) < 3 * this.#height) this.virtual += step;
    else this.virtual = (place / Math.max(1, this.#shown - this.#height)) * (this.#real - this.#height);
    this.virtual = Math.min(this.virtual, Math.max(0, this.#real - this.#height));
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
    this.#rest();
  }

  #rest() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (!this.#isWhole && this.virtual > 0) this.#moveTo(this.virtual);
      this.draw();
      const { columns, rowHeight } = this.layout;
      const end = Math.ceil((this.virtual + this.#height) / rowHeight + BESIDE) * columns;
      if (this.area.clientWidth) this.want?.(this.first, Math.min(this.total, end));
    }, REST_MS);
  }

  #moveTo(virtual) {
    const most = Math.max(0, this.#real - this.#height);
    virtual = Math.min(virtual, most);
    const place = this.#isWhole ? virtual : (virtual / most) * (this.#shown - this.#height);
    this.scroller.scrollTop += place - this.#place;
    this.last = this.#place;
    this.virtual = this.#isWhole ? this.last : virtual;
  }

  /** Put the rows of the window into the document, and take the others out. */
  draw() {
    const { rowHeight } = this.layout, shift = this.#isWhole ? 0 : this.last - this.virtual;
    const first = Math.max(0, Math.floor(this.virtual / rowHeight) - BESIDE);
    const end = Math.min(this.#numRows, Math.ceil((this.virtual + this.#height) / rowHeight) + BESIDE);
    for (const [number, row] of this.rows) {
      if (number >= first && number < end) continue;
      if (row.contains(document.activeElement)) continue; // The keyboard stays where it is.
      row.remove();
      this.rows.delete(number);
    }
    for (let number = first; number < end; number++) if (!this.rows.has(number)) this.#addRow(number);
    for (const [number, row] of this.rows) row.style.transform = `translateY(${number * rowHeight + shift}px)`;
  }

  #addRow(number) {
    const { columns } = this.layout, start = number * columns;
    const cells = [];
    for (let index = start; index < Math.min(this.total, start + columns); index++) {
      const cell = element("div", { class: "cell", role: "gridcell", tabindex: index === this.active ? 0 : -1, "data-index": index, "aria-colindex": index - start + 1 });
      this.render(index, cell);
      cells.push(cell);
    }
    const row = element("div", { class: "row", role: "row", "aria-rowindex": number + 1 }, cells);
    row.style.setProperty("--columns", String(columns));
    row.style.height = `${this.layout.rowHeight}px`;
    const after = [...this.area.children].find((other) => Number(other.getAttribute("aria-rowindex")) > number + 1);
    this.area.insertBefore(row, after || null);
    this.rows.set(number, row);
  }

  #reveal(index) {
    const { columns, rowHeight } = this.layout, top = Math.floor(index / columns) * rowHeight;
    if (top < this.virtual) this.#moveTo(top);
    else if (top + rowHeight > this.virtual + this.#height) this.#moveTo(top + rowHeight - this.#height);
    this.draw();
    this.#rest();
  }

  #focused(event) {
    const cell = event.target.closest("[data-index]");
    if (!cell) return;
    const before = this.cell(this.active);
    if (before) before.tabIndex = -1;
    cell.tabIndex = 0;
    this.active = Number(cell.dataset.index);
    this.onActive?.(this.active);
  }

  #press(event) {
    if (event.ctrlKey && !["Home", "End"].includes(event.key) || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (event.target !== this.cell(this.active)) return;
    const { columns, rowHeight } = this.layout, rows = Math.max(1, Math.floor(this.#height / rowHeight));
    const start = this.active - (this.active % columns);
    const to = {
      ArrowRight: this.active + 1, ArrowLeft: this.active - 1, ArrowDown: this.active + columns, ArrowUp: this.active - columns,
      PageDown: this.active + rows * columns, PageUp: this.active - rows * columns,
      Home: event.ctrlKey ? 0 : start, End: event.ctrlKey ? this.total - 1 : start + columns - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const isDown = ["ArrowDown", "ArrowUp"].includes(event.key);
    if (isDown && (to < 0 || to >= this.total) && Math.floor(to / columns) !== this.#numRows - 1) return;
    this.activate(to);
  }
}
