// The points of the map, as arrays: where they are, what they are, and which a polygon holds.
import { askUntilReady, request } from "./api.js";
import { isInside } from "./lasso.js";

/**
 * @typedef {Object} Points
 * @property {number} count
 * @property {Float32Array} x in [0, 1]
 * @property {Float32Array} y in [0, 1], downwards
 * @property {Int32Array} cluster -1 for none
 * @property {Int32Array} label -1 for none
 * @property {Int32Array} row of the store
 * @property {string[]} clusters
 * @property {string[]} classes
 * @property {string[]} remarks
 */

/**
 * Read the map; it is made when it is first asked for.
 * @param {AbortSignal} signal
 * @param {(progress: import("./api.js").Progress) => void} onWait
 * @returns {Promise<Points>}
 */
export async function readPoints(signal, onWait) {
  const about = await askUntilReady("/map", { signal, onWait });
  const response = await request("/map/points", { signal });
  if (!response.ok) throw new Error((await response.json()).error);
  const data = await response.arrayBuffer(), { count } = about;
  const part = (Kind, number) => new Kind(data, 4 * count * number, count);
  return {
    count, clusters: about.clusters, classes: about.classes, remarks: about.remarks,
    x: part(Float32Array, 0), y: part(Float32Array, 1), cluster: part(Int32Array, 2), label: part(Int32Array, 3), row: part(Int32Array, 4),
  };
}

/** "0.1,0.2,..." as corners. @returns {[number, number][]} */
export function parsePolygon(text) {
  const numbers = text ? text.split(",").map(Number) : [], corners = [];
  for (let at = 0; at + 1 < numbers.length; at += 2) corners.push([numbers[at], numbers[at + 1]]);
  return corners.every(([x, y]) => Number.isFinite(x) && Number.isFinite(y)) ? corners : [];
}

/** Corners as the server reads them: at most MOST, of four decimals. */
export function writePolygon(corners, most = 80) {
  const step = Math.max(1, Math.ceil(corners.length / most));
  return corners.filter((_, number) => number % step === 0).flatMap(([x, y]) => [x, y].map((one) => Number(one.toFixed(4)))).join(",");
}

/** Which points are inside a polygon: 1 or 0 each. @param {Points} points */
export function inside(points, corners) {
  const held = new Uint8Array(points.count), xs = corners.map(([x]) => x), ys = corners.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  for (let point = 0; point < points.count; point++) {
    const x = points.x[point], y = points.y[point];
    if (x < left || x > right || y < top || y > bottom) continue;
    if (isInside(x, y, corners)) held[point] = 1;
  }
  return held;
}

/** The point nearest to a place, within a reach; -1 if there is none. @param {Points} points */
export function nearest(points, x, y, reach) {
  let best = -1, least = reach * reach;
  for (let point = 0; point < points.count; point++) {
    const away = (points.x[point] - x) ** 2 + (points.y[point] - y) ** 2;
    if (away < least) { least = away; best = point; }
  }
  return best;
}

/** The middle of each cluster, and how many points it has. @param {Points} points */
export function middles(points) {
  const sums = points.clusters.map((title) => ({ title, x: 0, y: 0, count: 0 }));
  for (let point = 0; point < points.count; point++) {
    const one = sums[points.cluster[point]];
    if (one) { one.x += points.x[point]; one.y += points.y[point]; one.count++; }
  }
  return sums.map((one) => ({ ...one, x: one.x / one.count, y: one.y / one.count }));
}

/**
 * Points that are shown as pictures: one for each square of a grid that is fixed to the map, so that
 * they stay the same while it is moved.
 * @param {Points} points
 * @param {{left: number, right: number, top: number, bottom: number}} window
 * @param {number} size of a square
 * @param {(point: number) => boolean} isShown
 */
export function spread(points, { left, right, top, bottom }, size, isShown) {
  const taken = new Map();
  for (let point = 0; point < points.count; point++) {
    const x = points.x[point], y = points.y[point];
    if (x < left || x > right || y < top || y > bottom || !isShown(point)) continue;
    const column = Math.floor(x / size), row = Math.floor(y / size), square = column * 1e6 + row;
    const away = (x / size - column - 0.5) ** 2 + (y / size - row - 0.5) ** 2, other = taken.get(square);
    if (!other || away < other.away) taken.set(square, { point, away });
  }
  return [...taken.values()].filter(({ away }) => away < 0.16).map(({ point }) => point);
}
