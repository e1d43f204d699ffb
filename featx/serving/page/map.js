// The map: all pictures at once, those that look alike near each other. What is circled on it is what
// the list beside it shows.
import { complain, say } from "./announce.js";
import { address, ask } from "./api.js";
import { button, count, element, fill, keepingFocus, name, remarked, STOPPED, waiting } from "./dom.js";
import { css, Drawing, GREY, hue } from "./map-draw.js";
import { listenToMap } from "./map-moves.js";
import { MapPictures } from "./map-pictures.js";
import { inside, middles, nearest, parsePolygon, readPoints, spread, writePolygon } from "./map-points.js";
import { filter, findLike, onState, same, state } from "./state.js";
import { thumbnail } from "./tile.js";

const REST_MS = 160;
const REACH = 14; // Pixels.
const MOST_NAMES = 40;

/** The map of a store. */
export function mapView() {
  const canvas = element("canvas", { class: "map-canvas", tabindex: 0, role: "application", "aria-label": "Map of the pictures: arrows move it, plus and minus zoom, 0 shows all of it, Enter takes the picture in the middle" });
  const bar = element("div", { class: "map-bar" }), legend = element("ul", { class: "legend", "aria-label": "Colours" });
  const card = element("div", { class: "map-card", hidden: true }), message = element("div", { class: "map-state" }, element("p", { role: "status" }, "Reading the map…"));
  const node = element("section", { class: "map-pane", "aria-label": "Map" }, bar, element("div", { class: "map-stage" }, canvas, card, message), legend);
  const drawing = new Drawing(canvas), pictures = new MapPictures(() => redraw());
  /** @type {import("./map-points.js").Points | null} */
  let points = null;
  let colourBy = "label", hasPictures = true, lassoing = false, tops = [], dim = null, shown = [], likeAt = null;
  let frame = 0, timer = 0, moving = false, corners = [], stop = null, hovered = -1;

  async function show() {
    if (points || stop) { redraw(); return; }
    const mine = stop = new AbortController();
    message.hidden = false;
    const progress = element("div");
    fill(message, element("p", { role: "status" }, "The map is being made. It is kept for the next time."), progress, button({ text: "Stop" }, () => mine.abort()));
    try {
      points = await readPoints(stop.signal, (now) => fill(progress, waiting(now)));
      message.hidden = true;
      colourBy = points.classes.length && points.label.some((one) => one >= 0) ? "label" : "cluster";
      tops = middles(points);
      drawBar();
      drawLegend();
      restate();
      findQuery();
    } catch (error) {
      if (mine.signal.aborted) fill(message, element("p", { role: "status" }, STOPPED), button({ text: "Begin again" }, show));
      else fill(message, element("span", { role: "alert" }, error.message), " ", button({ text: "Try again" }, show));
    }
    stop = null;
  }

  function drawBar() {
    const act = (look, does) => button({ ...look, class: "bare" }, does);
    const colour = element("select", { "aria-label": "Colours", on: { change: () => { colourBy = colour.value; drawLegend(); redraw(); } } },
      [["label", "by class"], ["cluster", "by cluster"]].map(([value, text]) => element("option", { value }, text)));
    colour.value = colourBy;
    const small = element("input", { type: "checkbox", checked: true, on: { change: () => { hasPictures = small.checked; rest(); redraw(); } } });
    const lasso = button({ icon: "lasso", text: "Select", label: "Select by circling", pressed: lassoing }, () => {
      lassoing = !lassoing;
      lasso.setAttribute("aria-pressed", String(lassoing));
      canvas.classList.toggle("is-lassoing", lassoing);
    });
    fill(bar, lasso, act({ icon: "plus", label: "Zoom in" }, () => zoomAt(1.6)), act({ icon: "minus", label: "Zoom out" }, () => zoomAt(1 / 1.6)), act({ icon: "view", label: "The whole map", key: "0" }, whole),
      element("label", { class: "line map-option" }, small, "pictures"), colour, remarked(points.remarks));
  }

  /** Names with their colours; each filters, too. */
  function drawLegend() {
    if (!points) return;
    const field = colourBy, names = field === "label" ? points.classes : points.clusters, chosen = state.filters[field];
    const sizes = new Int32Array(names.length);
    for (const code of points[field]) if (code >= 0) sizes[code]++;
    fill(legend, names.slice(0, MOST_NAMES).map((title, code) => {
      const value = field === "label" ? title : String(code), pressed = chosen.includes(value), swatch = element("span", { class: "swatch" });
      swatch.style.background = css(hue(code));
      const press = () => filter({ [field]: pressed ? chosen.filter((one) => one !== value) : [...chosen, value] });
      return element("li", {}, element("button", { type: "button", "aria-pressed": String(pressed), on: { click: press } }, swatch, name(title), element("span", { class: "soft" }, count(sizes[code]))));
    }), names.length > MOST_NAMES && element("li", { class: "soft" }, `and ${count(names.length - MOST_NAMES)} more`));
  }

  /** Points that filters leave stand out: by class, cluster and polygon, which are known here. */
  function restate() {
    if (!points) return;
    const { label, cluster, lasso } = state.filters;
    corners = parsePolygon(lasso);
    const wanted = new Set(label.map((title) => points.classes.indexOf(title))), held = corners.length > 2 ? inside(points, corners) : null;
    const clusters = new Set(cluster.map(Number));
    dim = null;
    if (wanted.size || clusters.size || held) {
      dim = new Uint8Array(points.count);
      for (let point = 0; point < points.count; point++) {
        if ((wanted.size && !wanted.has(points.label[point])) || (clusters.size && !clusters.has(points.cluster[point])) || (held && !held[point])) dim[point] = 1;
      }
    }
    rest();
    redraw();
  }

  async function findQuery() {
    const like = state.like;
    likeAt = null;
    if (!points || !like || !("key" in like)) { redraw(); return; }
    const { row } = await ask(address("items", like.key)).catch(() => ({ row: -1 }));
    const point = points.row.indexOf(row);
    if (point >= 0 && same(like, state.like)) likeAt = [points.x[point], points.y[point]];
    redraw();
  }

  const squareSize = () => Math.max(34, Math.min(96, 38 * Math.sqrt(drawing.view.zoom)));
  const codesOf = () => points[colourBy];

  function redraw() { frame ||= requestAnimationFrame(draw); }

  function draw() {
    frame = 0;
    if (!points || !canvas.clientWidth) return;
    const style = getComputedStyle(document.documentElement), [ink, paper] = ["--ink", "--card"].map((one) => style.getPropertyValue(one).trim());
    drawing.points(points, { codes: codesOf(), dim, moving });
    if (hasPictures) {
      const size = squareSize() - 5;
      for (const point of shown) {
        const image = pictures.image(points.row[point]), code = codesOf()[point];
        if (image) drawing.picture(image, drawing.toScreen(points.x[point], points.y[point]), size, css(code < 0 ? GREY : hue(code)));
      }
    }
    if (corners.length > 2) drawing.polygon(corners, ink);
    drawing.names(tops, { ink, paper });
    if (likeAt) drawing.ring(likeAt[0], likeAt[1], ink, paper);
  }

  /** When the map has come to rest, read the pictures that fit on it. */
  function rest() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      moving = false;
      if (!points || !canvas.clientWidth) return;
      const size = 2 ** (Math.round(2 * Math.log2(squareSize() / drawing.side)) / 2); // In steps, so that the grid stays.
      shown = hasPictures ? spread(points, drawing.window, size * 1.25, (point) => !dim || !dim[point]).slice(0, 220) : [];
      redraw();
      pictures.want(shown.map((point) => points.row[point])).then(redraw);
    }, REST_MS);
  }

  function changed() { moving = true; redraw(); rest(); }
  function whole() { Object.assign(drawing.view, { x: 0.5, y: 0.5, zoom: 1 }); changed(); }

  function zoomAt(factor, x = drawing.width / 2, y = drawing.height / 2) {
    const before = drawing.toMap(x, y), { view } = drawing;
    view.zoom = Math.max(0.6, Math.min(400, view.zoom * factor));
    const after = drawing.toMap(x, y);
    view.x += before[0] - after[0];
    view.y += before[1] - after[1];
    changed();
  }

  function move(dx, dy) {
    drawing.view.x -= dx / drawing.side;
    drawing.view.y -= dy / drawing.side;
    changed();
  }

  /** The point at a place of the screen: that of a picture there, or the nearest. */
  function pointAt(x, y, reach = REACH) {
    if (!points) return -1;
    const half = squareSize() / 2;
    const over = hasPictures && shown.find((point) => pictures.image(points.row[point]) && drawing.toScreen(points.x[point], points.y[point]).every((at, axis) => Math.abs(at - [x, y][axis]) < half));
    return over !== false && over !== undefined ? over : nearest(points, ...drawing.toMap(x, y), reach / drawing.side);
  }

  async function take(x, y, reach) {
    const point = pointAt(x, y, reach);
    if (point < 0) return;
    const item = await pictures.item(points.row[point]).catch(complain);
    if (item) findLike({ key: item.key });
  }

  async function hover(x, y) {
    const point = x === null ? -1 : pointAt(x, y);
    if (point === hovered) return;
    hovered = point;
    const item = point >= 0 ? await pictures.item(points.row[point]).catch(() => null) : null;
    if (hovered !== point) return;
    card.hidden = !item;
    if (!item) return;
    fill(card, thumbnail(item.key), element("div", {}, name(item.label ?? ""), element("br"), name(item.key.split("/").at(-1), { class: "soft" })));
    const [left, top] = drawing.toScreen(points.x[point], points.y[point]);
    card.style.left = `${Math.max(4, Math.min(drawing.width - 164, left + 18))}px`;
    card.style.top = `${Math.max(4, Math.min(drawing.height - 214, top + 18))}px`;
  }

  listenToMap(canvas, {
    isLassoing: () => lassoing, move, zoomAt, whole, take, hover,
    middle: () => take(drawing.width / 2, drawing.height / 2, Infinity),
    draft(places) { corners = places.map(([x, y]) => drawing.toMap(x, y)); redraw(); },
    select(places) {
      const polygon = writePolygon(places.map(([x, y]) => drawing.toMap(x, y)));
      filter({ lasso: polygon });
      say("Selected: the list shows what is inside.");
    },
    unselect() { corners = parsePolygon(state.filters.lasso); redraw(); },
  });
  new ResizeObserver(() => { drawing.fit(); redraw(); rest(); }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawLegend(); redraw(); });
  onState((now, before) => {
    if (!same(now.filters, before.filters)) { restate(); keepingFocus(legend, drawLegend); }
    if (!same(now.like, before.like)) findQuery();
  });
  return { node, show, renew() { points = null; show(); } };
}
