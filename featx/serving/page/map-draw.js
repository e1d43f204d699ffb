// Drawing the map: any number of points into the pixels of a canvas, pictures and names above them.
import { drawLasso } from "./lasso.js";

const MOST_WHILE_MOVING = 250_000;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The colour of the n-th of many groups: [hue, saturation, lightness]. */
export const hue = (number) => [(215 + number * 137.508) % 360, number % 2 ? 70 : 58, dark.matches ? 62 : 47];
export const css = ([h, s, l]) => `hsl(${h} ${s}% ${l}%)`;
export const GREY = [215, 8, 55];

/** A colour as a pixel: alpha, blue, green, red. */
function pixel([h, s, l]) {
  const a = (s / 100) * Math.min(l / 100, 1 - l / 100);
  const part = (n) => { const k = (n + h / 30) % 12; return Math.round(255 * (l / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1)))); };
  return ((255 << 24) | (part(4) << 16) | (part(8) << 8) | part(0)) >>> 0;
}

export class Drawing {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.width = this.height = 1;
  }

  /** Fit the pixels to the element. */
  fit() {
    const box = this.canvas.getBoundingClientRect();
    this.ratio = Math.min(2, devicePixelRatio || 1);
    [this.width, this.height] = [Math.max(1, box.width), Math.max(1, box.height)];
    [this.canvas.width, this.canvas.height] = [Math.round(this.width * this.ratio), Math.round(this.height * this.ratio)];
  }

  /** Pixels of the page that the whole map takes. */
  get side() { return Math.min(this.width, this.height) * 0.92 * this.view.zoom; }
  toScreen(x, y) { return [(x - this.view.x) * this.side + this.width / 2, (y - this.view.y) * this.side + this.height / 2]; }
  toMap(x, y) { return [(x - this.width / 2) / this.side + this.view.x, (y - this.height / 2) / this.side + this.view.y]; }
  get window() {
    const [left, top] = this.toMap(0, 0), [right, bottom] = this.toMap(this.width, this.height);
    return { left, top, right, bottom };
  }

  /**
   * Draw the points.
   * @param {import("./map-points.js").Points} points
   * @param {{codes: Int32Array, dim: Uint8Array | null, moving: boolean}} look dim: 1 for points that stand back
   */
  points(points, { codes, dim, moving }) {
    const { context, ratio } = this, [width, height] = [this.canvas.width, this.canvas.height];
    const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const many = points.count > 50_000, base = many ? 1 : points.count > 5000 ? 1.6 : 2.4;
    const half = Math.max(0, Math.round(ratio * Math.min(4, base * Math.sqrt(Math.min(this.view.zoom, 8)) ** 0.7) - 0.5));
    const scale = this.side * ratio, [cx, cy] = [width / 2 - this.view.x * scale, height / 2 - this.view.y * scale];
    const step = moving ? Math.max(1, Math.ceil(points.count / MOST_WHILE_MOVING)) : 1;
    const colours = new Map(), back = pixel([215, 8, dark.matches ? 26 : 88]);
    const colour = (code) => { if (!colours.has(code)) colours.set(code, pixel(code < 0 ? GREY : hue(code))); return colours.get(code); };
    for (const isFront of dim ? [false, true] : [true]) for (let point = 0; point < points.count; point += step) {
      if (dim && Boolean(dim[point]) === isFront) continue;
      const x = Math.round(points.x[point] * scale + cx), y = Math.round(points.y[point] * scale + cy);
      if (x < half || y < half || x >= width - half || y >= height - half) continue;
      const paint = isFront ? colour(codes[point]) : back;
      for (let row = y - half; row <= y + half; row++) pixels.fill(paint, row * width + x - half, row * width + x + half + 1);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.putImageData(image, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** Draw a thumbnail around a point, with a frame in a colour. */
  picture(image, [x, y], size, colour) {
    const scale = size / Math.max(image.naturalWidth, image.naturalHeight), [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    this.context.drawImage(image, x - w / 2, y - h / 2, w, h);
    this.context.lineWidth = 2;
    this.context.strokeStyle = colour;
    this.context.strokeRect(x - w / 2, y - h / 2, w, h);
  }

  /** Draw names where they do not cover each other, the largest first. */
  names(middles, { ink, paper }) {
    const { context } = this, boxes = [];
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const one of [...middles].sort((a, b) => b.count - a.count)) {
      const text = one.title.length > 28 ? `${one.title.slice(0, 27)}…` : one.title, half = context.measureText(text).width / 2 + 5;
      const [at, y] = this.toScreen(one.x, one.y);
      if (at < 0 || at > this.width || y < 0 || y > this.height) continue;
      const x = Math.max(half, Math.min(this.width - half, at));
      if (boxes.some((box) => Math.abs(box.x - x) < box.half + half && Math.abs(box.y - y) < 19)) continue;
      boxes.push({ x, y, half });
      context.lineWidth = 5;
      context.strokeStyle = paper;
      context.strokeText(text, x, y);
      context.fillStyle = ink;
      context.fillText(text, x, y);
    }
  }

  /** Draw a polygon of places on the map. */
  polygon(corners, ink) {
    drawLasso(this.context, corners.map((at) => this.toScreen(...at)), ink);
  }

  /** Draw a ring around a point. */
  ring(x, y, ink, paper) {
    const { context } = this, [at, height] = this.toScreen(x, y);
    for (const [width, colour] of [[6, paper], [3, ink]]) {
      context.beginPath();
      context.arc(at, height, 11, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
  }
}
