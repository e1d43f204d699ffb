"use strict";
// The map of a page: a canvas over points, of which the first ones have thumbnails. Points are in an
// order in which any first ones are spread over the whole map, so that what is left out at a zoom,
// or while moving, is what is near something else.
const data = JSON.parse(document.getElementById("map-data").textContent);
const find = (id) => document.getElementById(id);
const canvas = find("map-canvas"), context = canvas.getContext("2d");
function bytes(text) {
  const chars = atob(text), values = new Uint8Array(chars.length);
  for (let place = 0; place < chars.length; place++) values[place] = chars.charCodeAt(place);
  return values.buffer;
}
const places = new Uint16Array(bytes(data.places)), count = places.length / 2;
const sizes = new Uint8Array(bytes(data.sizes)), numThumbnails = sizes.length / 2;
const tiles = new Uint32Array(bytes(data.tiles));
const kinds = data.kinds.map((kind) => ({ ...kind, numbers: new Uint32Array(bytes(kind.numbers)) }));
const calm = matchMedia("(prefers-reduced-motion: reduce)"), dark = matchMedia("(prefers-color-scheme: dark)");
const NONE = 0xffffffff, MOST_WHILE_MOVING = 10000, LEGEND = 24, LEAST = 0.6, MOST = 400, MOST_SHEETS = 100;
const view = { x: 0.5, y: 0.5, zoom: 1 }, wanted = { x: 0.5, y: 0.5, zoom: 1 };
let kind = kinds[0], groups = [], colours = [], only = null, selected = new Set(), picked = -1;
let width = 1, height = 1, frame = 0, moving = 0, lasso = null, ink = "#000", paper = "#fff", soft = "#888";

// Thumbnails are side by side in sheets, which are decoded when one of them is drawn. Those that were
// drawn longest ago are given up, but none that this frame draws.
const sheets = new Map();
let drawing = 0;
function sheetOf(number) {
  let sheet = sheets.get(number);
  if (sheet) sheets.delete(number);
  else {
    sheet = { bitmap: null };
    const content = bytes(JSON.parse(find(`map-sheet-${number}`).textContent));
    createImageBitmap(new Blob([content], { type: "image/jpeg" })).then((bitmap) => { sheet.bitmap = bitmap; redraw(); });
  }
  sheet.drawing = drawing;
  sheets.set(number, sheet);
  const [[first, oldest]] = sheets;
  if (sheets.size > MOST_SHEETS && oldest.bitmap && oldest.drawing !== drawing) { oldest.bitmap.close(); sheets.delete(first); }
  return sheet.bitmap;
}

const side = () => Math.min(width, height) * 0.94;
const px = (point) => (places[2 * point] / 65535 - view.x) * side() * view.zoom + width / 2;
const py = (point) => (places[2 * point + 1] / 65535 - view.y) * side() * view.zoom + height / 2;
const hue = (rank) => `hsl(${(215 + rank * 137.508) % 360} ${rank % 2 ? 72 : 58}% ${dark.matches ? 62 : 46}%)`;
const heat = (share) => `hsl(${210 - 200 * share} 75% ${dark.matches ? 60 : 45}%)`;
const colourOf = (point) => { const number = kind.numbers[point]; return number === NONE ? soft : colours[number]; };

function recolour() {
  const style = getComputedStyle(document.documentElement);
  [ink, paper, soft] = ["--ink", "--card", "--soft"].map((name) => style.getPropertyValue(name).trim());
  colours = kind.names.map((_, rank) => kind.ordered ? heat(rank / Math.max(1, kind.names.length - 1)) : hue(rank));
  const lists = new Map();
  for (let point = 0; point < count; point++) {
    const number = kind.numbers[point];
    if (!lists.has(number)) lists.set(number, []);
    lists.get(number).push(point);
  }
  groups = [...lists].map(([number, points]) => ({ number, points }));
  drawLegend();
  redraw();
}

function drawLegend() {
  const legend = find("map-legend"), sizesOf = new Map(groups.map((group) => [group.number, group.points.length]));
  legend.replaceChildren();
  const shown = kind.names.map((name, number) => ({ name, number })).slice(0, LEGEND);
  if (sizesOf.has(NONE)) shown.push({ name: kind.none, number: NONE });
  for (const { name, number } of shown) {
    const item = document.createElement("li"), button = document.createElement("button");
    const mark = document.createElement("span"), text = document.createElement("bdi");
    mark.className = "swatch";
    mark.style.background = number === NONE ? soft : colours[number];
    text.textContent = name;
    button.type = "button";
    button.setAttribute("aria-pressed", String(only === number));
    button.append(mark, text, ` ${(sizesOf.get(number) || 0).toLocaleString("en")}`);
    button.onclick = () => { only = only === number ? null : number; drawLegend(); redraw(); };
    item.append(button);
    legend.append(item);
  }
  if (kind.names.length > LEGEND) {
    const more = document.createElement("li");
    more.textContent = `and ${(kind.names.length - LEGEND).toLocaleString("en")} more`;
    legend.append(more);
  }
}

function redraw() { frame = frame || requestAnimationFrame(step); }

function step() {
  frame = 0;
  let far = false;
  for (const name of ["x", "y", "zoom"]) {
    const gap = wanted[name] - view[name], small = name === "zoom" ? 0.002 * view.zoom : 0.0004 / view.zoom;
    const near = calm.matches || Math.abs(gap) < small;
    view[name] = near ? wanted[name] : view[name] + gap * 0.3;
    far = far || !near;
  }
  const busy = far || performance.now() < moving;
  draw(busy);
  if (busy) redraw();
}

function draw(busy) {
  drawing++;
  context.clearRect(0, 0, width, height);
  const least = busy ? MOST_WHILE_MOVING : count;
  const radius = Math.max(1.5, Math.min(5, 1.5 * Math.sqrt(view.zoom)));
  for (const { number, points } of groups) {
    context.fillStyle = number === NONE ? soft : colours[number];
    context.globalAlpha = only === null || only === number ? 0.85 : 0.08;
    for (const point of points) {
      if (point >= least) break;
      const x = px(point), y = py(point);
      if (x > -9 && y > -9 && x < width + 9 && y < height + 9) context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
  }
  context.globalAlpha = 1;
  drawThumbnails();
  drawSelected();
  drawNames();
  if (lasso) drawLasso(context, lasso, ink);
}

const thumbnailSide = () => Math.max(30, Math.min(112, 32 * Math.sqrt(view.zoom)));

function shownThumbnails() {
  const size = thumbnailSide(), shown = [], margin = 3;
  const across = Math.ceil(width / size) + 2 * margin, down = Math.ceil(height / size) + 2 * margin;
  const taken = new Int32Array(across * down).fill(-1);
  for (let point = 0; point < numThumbnails; point++) {
    if (!sizes[2 * point] || (only !== null && kind.numbers[point] !== only)) continue;
    const x = px(point), y = py(point);
    if (x < -2 * size || y < -2 * size || x > width + 2 * size || y > height + 2 * size) continue;
    const cell = (Math.floor(y / size) + margin) * across + Math.floor(x / size) + margin;
    let free = true;
    for (let dy = -across; free && dy <= across; dy += across) {
      for (let dx = -1; free && dx <= 1; dx++) {
        const other = taken[cell + dy + dx];
        free = other < 0 || Math.abs(shown[other].x - x) >= size || Math.abs(shown[other].y - y) >= size;
      }
    }
    if (!free) continue;
    taken[cell] = shown.length;
    shown.push({ point, x, y });
  }
  return shown;
}

function drawThumbnail(target, point, x, y, size) {
  const sheet = sheetOf(Math.floor(tiles[point] / data.perSheet)), place = tiles[point] % data.perSheet;
  const [w, h] = [sizes[2 * point], sizes[2 * point + 1]], scale = size / Math.max(w, h);
  const [left, top] = [x - w * scale / 2, y - h * scale / 2];
  if (!sheet) return [left, top, w * scale, h * scale];
  const column = place % data.columns, row = Math.floor(place / data.columns);
  target.drawImage(sheet, column * data.tile, row * data.tile, w, h, left, top, w * scale, h * scale);
  return [left, top, w * scale, h * scale];
}

function drawThumbnails() {
  const size = thumbnailSide() - 4;
  context.lineWidth = 2;
  for (const { point, x, y } of shownThumbnails()) {
    const box = drawThumbnail(context, point, x, y, size);
    context.strokeStyle = colourOf(point);
    context.strokeRect(...box);
  }
}

function drawSelected() {
  context.lineWidth = 2;
  context.strokeStyle = ink;
  for (const point of selected) {
    const x = px(point), y = py(point);
    if (x > 0 && y > 0 && x < width && y < height) context.strokeRect(x - 5, y - 5, 10, 10);
  }
  if (picked >= 0) { context.lineWidth = 4; context.strokeRect(px(picked) - 9, py(picked) - 9, 18, 18); }
}

function drawNames() {
  if (!find("map-names").checked) return;
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  const boxes = [];
  for (const cluster of data.clusters) {
    const name = cluster.name.length > 32 ? `${cluster.name.slice(0, 31)}…` : cluster.name;
    let x = (cluster.x - view.x) * side() * view.zoom + width / 2;
    const y = (cluster.y - view.y) * side() * view.zoom + height / 2;
    const half = context.measureText(name).width / 2 + 4;
    if (x < 0 || x > width) continue;
    x = Math.max(half, Math.min(width - half, x));
    if (boxes.some((box) => Math.abs(box.x - x) < box.half + half && Math.abs(box.y - y) < 18)) continue;
    boxes.push({ x, y, half });
    context.lineWidth = 5;
    context.strokeStyle = paper;
    context.strokeText(name, x, y);
    context.fillStyle = ink;
    context.fillText(name, x, y);
  }
}

function select(test) {
  selected = new Set();
  for (let point = 0; point < count; point++) {
    if ((only === null || kind.numbers[point] === only) && test(px(point), py(point))) selected.add(point);
  }
  showSelection();
}

function showSelection() {
  find("map-selection").hidden = !selected.size;
  find("map-count").textContent = `${selected.size.toLocaleString("en")} selected`;
  find("map-keys").value = [...selected].sort((a, b) => data.rows[a] - data.rows[b]).map((point) => data.keys[point]).join("\n");
  redraw();
}

function pick(x, y, reach) {
  const over = shownThumbnails().find((one) => Math.max(Math.abs(one.x - x), Math.abs(one.y - y)) < thumbnailSide() / 2);
  let best = over ? over.point : -1, nearest = reach * reach;
  for (let point = 0; !over && point < count; point++) {
    const away = (px(point) - x) ** 2 + (py(point) - y) ** 2;
    if (away < nearest) { nearest = away; best = point; }
  }
  picked = best;
  showPicked();
  redraw();
}

function showPicked() {
  const box = find("map-picked"), text = find("map-picked-text"), small = find("map-picked-image");
  box.hidden = picked < 0;
  if (picked < 0) return;
  const has = picked < numThumbnails && sizes[2 * picked];
  small.hidden = !has;
  if (has) {
    const to = small.getContext("2d");
    to.clearRect(0, 0, small.width, small.height);
    drawThumbnail(to, picked, small.width / 2, small.height / 2, small.width);
  }
  text.replaceChildren();
  const lines = [["picture", data.keys[picked]], ...kinds.map((one) => [one.title, one.numbers[picked] === NONE ? one.none : one.names[one.numbers[picked]]])];
  for (const [name, value] of lines) {
    const term = document.createElement("dt"), detail = document.createElement("dd"), own = document.createElement("bdi");
    term.textContent = name;
    own.textContent = value;
    detail.append(own);
    text.append(term, detail);
  }
}

function zoomAt(factor, x = width / 2, y = height / 2) {
  const before = wanted.zoom, scale = side();
  wanted.zoom = Math.min(MOST, Math.max(LEAST, before * factor));
  wanted.x += (x - width / 2) / scale * (1 / before - 1 / wanted.zoom);
  wanted.y += (y - height / 2) / scale * (1 / before - 1 / wanted.zoom);
  redraw();
}

function move(dx, dy, at_once) {
  wanted.x -= dx / side() / wanted.zoom;
  wanted.y -= dy / side() / wanted.zoom;
  if (at_once) Object.assign(view, wanted);
  moving = performance.now() + 120;
  redraw();
}

function goTo(x, y, zoom) { Object.assign(wanted, { x, y, zoom }); redraw(); }

const pointers = new Map();
let dragged = 0;
const placeOf = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
const isLasso = () => find("map-lasso").getAttribute("aria-pressed") === "true";
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, placeOf(event));
  dragged = 0;
  lasso = pointers.size === 1 && (isLasso() || event.shiftKey) ? [placeOf(event)] : null;
};
canvas.onpointermove = (event) => {
  const before = pointers.get(event.pointerId), now = placeOf(event);
  if (!before) return;
  dragged += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
  if (lasso) { lasso.push(now); redraw(); }
  else if (pointers.size === 1) move(now[0] - before[0], now[1] - before[1], true);
  else {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const distance = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
    zoomAt(distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    Object.assign(view, wanted);
  }
  pointers.set(event.pointerId, now);
};
canvas.onpointerup = canvas.onpointercancel = (event) => {
  pointers.delete(event.pointerId);
  if (lasso && lasso.length > 2) { const corners = lasso; select((x, y) => isInside(x, y, corners)); }
  else if (dragged < 5 && event.type === "pointerup") pick(...placeOf(event), 14);
  lasso = null;
  redraw();
};
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...placeOf(event));
}, { passive: false });
canvas.onkeydown = (event) => {
  const step = 80, keys = {
    ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
    "+": () => zoomAt(1.5), "=": () => zoomAt(1.5), "-": () => zoomAt(1 / 1.5), 0: () => goTo(0.5, 0.5, 1),
    Enter: () => pick(width / 2, height / 2, Infinity), Escape: () => { lasso = null; selected = new Set(); picked = -1; showPicked(); showSelection(); },
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
};
find("map-in").onclick = () => zoomAt(1.6);
find("map-out").onclick = () => zoomAt(1 / 1.6);
find("map-whole").onclick = () => goTo(0.5, 0.5, 1);
find("map-names").onchange = redraw;
find("map-lasso").onclick = () => find("map-lasso").setAttribute("aria-pressed", String(!isLasso()));
find("map-view").onclick = () => select((x, y) => x >= 0 && y >= 0 && x <= width && y <= height);
find("map-clear").onclick = () => { selected = new Set(); showSelection(); };
find("map-copy").onclick = async () => {
  const keys = find("map-keys");
  try { await navigator.clipboard.writeText(keys.value); }
  catch { keys.select(); document.execCommand("copy"); }
  find("map-copied").textContent = "copied";
  setTimeout(() => { find("map-copied").textContent = ""; }, 2000);
};
for (const button of document.querySelectorAll("button[data-cluster]")) {
  button.onclick = () => {
    const { x, y, extent } = data.clusters[Number(button.dataset.cluster)];
    goTo(x, y, Math.min(40, Math.max(1, 0.8 / extent)));
    canvas.focus();
    canvas.scrollIntoView({ block: "nearest" });
  };
}
const chooser = find("map-colour");
kinds.forEach((one, number) => chooser.add(new Option(one.title, String(number))));
chooser.onchange = () => { kind = kinds[Number(chooser.value)]; only = null; recolour(); };
dark.onchange = recolour;
new ResizeObserver(() => {
  const box = canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
  [width, height] = [Math.max(1, box.width), Math.max(1, box.height)];
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw(false);
}).observe(canvas);
recolour();
