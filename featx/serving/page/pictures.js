// The pictures: all that filters leave, or those that look most like the query.
import { actByKey } from "./actions.js";
import { complain, say } from "./announce.js";
import { ask, askUntilReady } from "./api.js";
import { button, count, counted, element, fill, name } from "./dom.js";
import { onNotes } from "./notes.js";
import { Pages } from "./pages.js";
import { asPrediction, queryPanel, questionOf } from "./query.js";
import { asFields, asQuery, countFilters, filter, findLike, go, LISTS, noFilters, onState, remember, same, state } from "./state.js";
import { fillTile } from "./tile.js";
import { askAbout } from "./uploads.js";
import { Windowed } from "./windowed.js";

const MOST_MATCHES = 1000;
const CAPTION = 46, GAP = 14, WIDEST = 164, NARROW = 104;

/** The list of pictures with its bar. @param {any} store what is served */
export function picturesView(store) {
  const status = element("p", { class: "status" }), chips = element("div", { class: "chips" }), tools = element("div", { class: "bar-tools" });
  const bar = element("div", { class: "bar-top" }, status, chips, tools);
  const message = element("div", { class: "state", hidden: true });
  const results = element("div", { class: "results" });
  const scroller = element("div", { class: "scroller", id: "pictures" }, results);
  const node = element("section", { class: "pictures", "aria-label": "Pictures" }, bar, scroller);
  /** @type {Pages} */
  let pages = new Pages(async () => ({ total: 0, items: [] }), () => {}, () => {});
  const list = { get: (index) => pages.get(index), get total() { return pages.total; }, activate: (index) => grid.activate(index) };

  const grid = new Windowed({
    scroller, label: "Pictures", measure,
    render: (index, cell) => fillTile(cell, pages.get(index), { list, index }),
    want(first, end) {
      if (!pages.total) return; // Another list is being read: this was for the one before.
      pages.want(first, Math.min(end, pages.total));
      remember(first);
    },
  });
  grid.area.addEventListener("click", (event) => {
    const item = itemAt(event);
    if (item) findLike({ key: item.key });
  });
  grid.area.addEventListener("keydown", (event) => {
    if (event.target.getAttribute("role") === "gridcell") actByKey(event, itemAt(event), { list, index: grid.active });
  });
  const itemAt = (event) => pages.get(Number(event.target.closest("[data-index]")?.dataset.index));
  results.append(queryPanel(store), element("div", { class: "list" }, message, grid.area));

  /** Read the list of a state; from an index on where "back" came to it. */
  async function start(index = 0) {
    pages.stop();
    const load = state.like ? matches(store) : (offset, limit, signal) => listItems(store, offset, limit, signal);
    const mine = pages = new Pages(load, (first, end) => loaded(mine, first, end), (error) => failed(mine, error));
    node.setAttribute("aria-busy", "true");
    node.classList.add("is-busy");
    drawBar();
    await mine.start(index);
    if (mine !== pages || !mine.total) return;
    grid.reset(mine.total, index);
    if (!index) scroller.scrollTop = 0;
  }

  function loaded(mine, first, end) {
    if (mine !== pages) return;
    node.removeAttribute("aria-busy");
    node.classList.remove("is-busy");
    drawBar();
    if (mine.pages.size === 1) say(status.textContent);
    showMessage(mine.total ? null : empty());
    if (!mine.total) { grid.reset(0); return; }
    grid.resize(mine.total);
    grid.refresh((index) => index >= first && index < end);
  }

  function failed(mine, error) {
    if (mine !== pages) return;
    node.removeAttribute("aria-busy");
    node.classList.remove("is-busy");
    if (mine.total) { complain(error); return; }
    grid.reset(0);
    drawBar();
    const isMissing = error.status === 404 && state.like && "key" in state.like;
    showMessage([element("h2", {}, isMissing ? "This picture is not in the store" : "That did not work"), element("p", { role: "alert" }, error.message), isMissing ? button({ text: "Show all pictures" }, () => go({ like: null, terms: [], crop: "" })) : button({ text: "Try again" }, () => start())]);
  }

  function empty() {
    if (!countFilters(state.filters)) return [element("h2", {}, "No pictures"), element("p", {}, "The store has no images.")];
    return [element("h2", {}, "No pictures"), element("p", {}, "None is left by these filters."), button({ text: "Clear the filters" }, () => go({ filters: noFilters() }))];
  }

  function showMessage(content) {
    message.hidden = !content;
    fill(message, content || []);
  }

  function drawBar() {
    const total = pages.total, waiting = node.hasAttribute("aria-busy");
    fill(status, waiting && !total ? "Looking…" : state.like ? ["Most alike first", element("span", { class: "soft" }, ` · ${pages.searched > total ? `${count(total)} of ${count(pages.searched)}` : counted(total, "picture")}`)] : [counted(total, "picture"), store.head?.predicts_rows && store.head.name && element("span", { class: "soft wide-only" }, " · predictions by the head “", name(store.head.name), "”")]);
    fill(chips, filterChips());
    fill(tools, state.like && store.has_maps && button({ text: "Where it matches", pressed: state.regions, class: "quiet" }, () => go({ regions: !state.regions })));
  }

  onState((now, before) => {
    if (now.view !== "pictures" && now.view !== "map") return;
    const wasShown = before.view === "pictures" || before.view === "map";
    const names = ["like", "terms", "crop", "regions", "filters"];
    if (wasShown && names.every((one) => same(now[one], before[one]))) return;
    start(history.state?.index || 0);
  });
  onNotes(() => grid.refresh());
  return { node, start, grid, list };
}

function measure(width) {
  const least = width < 620 ? NARROW : WIDEST, gap = width < 620 ? 8 : GAP;
  const columns = Math.max(2, Math.floor((width + gap) / (least + gap)));
  const side = (width - gap * (columns - 1)) / columns;
  return { columns, rowHeight: Math.round(side + CAPTION + gap) };
}

async function listItems(store, offset, limit, signal) {
  await waitForMap(state.filters, signal);
  const predictions = store.head?.predicts_rows ? 1 : 0;
  return ask(`/items?${asQuery(state.filters, { offset, limit, predictions })}`, { signal });
}

/** Filters on places of the map need the map, which may be minutes from being made. */
async function waitForMap({ lasso, cluster }, signal) {
  if (lasso || cluster.length) await askUntilReady("/map", { signal });
}

/** How matches of the query are read: a part at a time, the best first. */
function matches(store) {
  const asked = state, { question, uploads } = questionOf(asked);
  return async function load(offset, limit, signal) {
    const k = Math.min(limit, MOST_MATCHES - offset);
    const whole = { ...question, ...asFields(asked.filters), k, skip: offset, where: asked.regions && store.has_maps };
    await waitForMap(asked.filters, signal);
    const { results, searched } = await askAbout("/search", whole, uploads, signal);
    const items = (results[0]?.matches || []).map((match) => ({ ...match }));
    this.searched = searched;
    if (store.head?.predicts_rows && items.length) await addPredictions(items, signal);
    const total = items.length < k ? offset + items.length : Math.min(MOST_MATCHES, searched);
    return { total, items };
  };
}

async function addPredictions(items, signal) {
  try {
    const { results } = await ask("/predict", { body: { keys: items.map((one) => one.key), top: 1 }, signal });
    const said = new Map(results.map((one) => [one.query, asPrediction(one)]));
    for (const item of items) item.prediction = said.get(item.key);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // Matches are worth showing without predictions.
  }
}

/** What is filtered by, each with a button that ends it. */
function filterChips() {
  const { filters } = state, chip = (text, act) => element("span", { class: "chip" }, name(text), button({ icon: "close", label: `Without the filter ${text}`, class: "bare" }, act));
  const chips = [];
  for (const field of LISTS) for (const value of filters[field]) {
    const text = { label: value, with_label: value, split: value, path: value, tag: `#${value}`, decision: value === "none" ? "undecided" : value, cluster: `cluster ${value}` }[field];
    chips.push(chip(text, () => filter({ [field]: filters[field].filter((one) => one !== value) })));
  }
  if (filters.lasso) chips.push(chip("selected on the map", () => filter({ lasso: "" })));
  if (filters.where) chips.push(chip(filters.where, () => filter({ where: "" })));
  for (const [column, values] of Object.entries(filters.has)) for (const value of values) chips.push(chip(`${column}: ${value}`, () => filter({ has: { ...filters.has, [column]: values.filter((one) => one !== value) } })));
  for (const [how, sign] of [["from", "≥"], ["to", "≤"]]) for (const [column, value] of Object.entries(filters[how])) if (value !== "") chips.push(chip(`${column} ${sign} ${value}`, () => filter({ [how]: { ...filters[how], [column]: "" } })));
  return chips;
}
