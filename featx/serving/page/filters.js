// The side of the page where pictures are filtered: by class, split, folder, column, tag, decision.
import { button, count, element, fill, find, name } from "./dom.js";
import { notesSummary, onNotes } from "./notes.js";
import { countFilters, filter, go, noFilters, onState, state } from "./state.js";

const MANY = 10; // From so many names on, they can be searched.
const MOST_SHOWN = 200;
const TYPING_MS = 350;

/** Fill the side with what a store can be filtered by. @param {any} store what is served */
export function drawFilters(store) {
  const side = find("filters");
  const parts = [
    Object.keys(store.single_labels).length && names("Label", store.single_labels, () => state.filters.with_label, (values) => filter({ with_label: values })),
    names("Class", store.classes, () => state.filters.label, (label) => filter({ label }), { isOpen: !Object.keys(store.single_labels).length }),
    Object.keys(store.splits).length && names("Split", store.splits, () => state.filters.split, (split) => filter({ split })),
    ...store.columns.map(column),
    decisions(), tags(), folders(store.folders),
    store.columns.length && condition(store.columns),
  ].filter(Boolean);
  const clear = button({ text: "Clear", class: "quiet" }, () => go({ filters: noFilters() }));
  const close = button({ icon: "close", label: "Close the filters", class: "bare drawer-only" }, () => openFilters(false));
  fill(side, element("div", { class: "filters-head" }, element("h2", {}, "Filters"), clear, close), parts.map((part) => part.node));
  const update = () => {
    clear.hidden = !countFilters(state.filters);
    for (const part of parts) part.update();
  };
  onState(update);
  onNotes(update);
  update();
}

/** Open or close the side where it is a drawer. */
export function openFilters(isOpen) {
  find("body").classList.toggle("filters-open", isOpen);
  find("filters-button")?.setAttribute("aria-expanded", String(isOpen));
  if (isOpen) find("filters").querySelector("input, button, summary")?.focus();
  else if (find("filters").contains(document.activeElement)) find("filters-button")?.focus();
}

function group(title, content, isOpen = true) {
  return element("details", { class: "group", open: isOpen }, element("summary", {}, name(title)), content);
}

/** Names to tick, with counts. */
function names(title, counts, chosen, choose, { isOpen = true, word = title } = {}) {
  const all = Object.entries(counts), list = element("ul", { class: "ticks" });
  const search = all.length > MANY && element("input", { type: "search", placeholder: `Find among ${count(all.length)}`, "aria-label": `Find: ${word}`, on: { input: () => update() } });
  function update() {
    const text = search ? search.value.trim().toLowerCase() : "", now = new Set(chosen());
    const focused = list.contains(document.activeElement) ? /** @type {any} */ (document.activeElement).value : null;
    const shown = all.filter(([one]) => now.has(one) || one.toLowerCase().includes(text));
    fill(list,
      shown.slice(0, MOST_SHOWN).map(([one, times]) => tick(one, times, now.has(one), (isOn) => choose(isOn ? [...chosen(), one] : chosen().filter((other) => other !== one)))),
      shown.length > MOST_SHOWN && element("li", { class: "soft" }, `and ${count(shown.length - MOST_SHOWN)} more`),
      !shown.length && element("li", { class: "soft" }, all.length ? "none of this name" : "none"));
    if (focused !== null) [...list.querySelectorAll("input")].find((one) => one.value === focused)?.focus();
  }
  return { node: group(title, [search, list], isOpen), update };
}

function tick(value, times, isOn, choose, text = value) {
  const box = element("input", { type: "checkbox", value, checked: isOn, on: { change: () => choose(box.checked) } });
  box.checked = isOn;
  return element("li", {}, element("label", {}, box, name(text, { class: "tick-name", title: text }), element("span", { class: "soft" }, times === null ? "" : count(times))));
}

/** A column: texts to tick, or numbers between two. */
function column(one) {
  const { name: title } = one;
  if (one.values) return names(title, one.values, () => state.filters.has[title] || [], (values) => filter({ has: { ...state.filters.has, [title]: values } }), { isOpen: false });
  if (one.least === undefined) return null;
  const bound = (how, shown, label) => {
    const field = element("input", { type: "number", step: "any", placeholder: Number(shown.toPrecision(4)), "aria-label": `${title}: ${label}` });
    field.addEventListener("change", () => filter({ [how]: { ...state.filters[how], [title]: field.value } }));
    return { field, update: () => { if (document.activeElement !== field) field.value = state.filters[how][title] || ""; } };
  };
  const least = bound("from", one.least, "at least"), most = bound("to", one.most, "at most");
  const node = group(title, element("div", { class: "between" }, least.field, element("span", { class: "soft" }, "to"), most.field), false);
  return { node, update: () => { least.update(); most.update(); } };
}

function decisions() {
  const list = element("ul", { class: "ticks" });
  const texts = { keep: "kept", relabel: "relabelled", reject: "rejected", none: "undecided" };
  const update = () => fill(list, Object.entries(texts).map(([value, text]) => {
    const chosen = state.filters.decision;
    return tick(value, value === "none" ? null : notesSummary().decisions[value] || 0, chosen.includes(value), (isOn) => filter({ decision: isOn ? [...chosen, value] : chosen.filter((other) => other !== value) }), text);
  }));
  return { node: group("Decision", list, false), update };
}

function tags() {
  const list = element("ul", { class: "ticks" }), node = group("Tag", list, false);
  const update = () => {
    const counts = notesSummary().tags, chosen = state.filters.tag;
    node.hidden = !Object.keys(counts).length && !chosen.length;
    const all = { ...Object.fromEntries(chosen.map((one) => [one, 0])), ...counts };
    fill(list, Object.entries(all).map(([one, times]) => tick(one, times, chosen.includes(one), (isOn) => filter({ tag: isOn ? [...chosen, one] : chosen.filter((other) => other !== one) }))));
  };
  return { node, update };
}

/** Folders, and a pattern to type. */
function folders(counts) {
  const isFolder = (path) => Object.hasOwn(counts, asFolder(path));
  const pattern = element("input", { type: "text", placeholder: "train/*, *_01.jpg", "aria-label": "File name or folder, as a pattern" });
  pattern.addEventListener("change", () => {
    const typed = pattern.value.split(",").map((one) => one.trim()).filter(Boolean);
    filter({ path: [...state.filters.path.filter(isFolder), ...typed] });
  });
  const chosen = () => state.filters.path.filter(isFolder).map(asFolder);
  const others = () => state.filters.path.filter((one) => !isFolder(one));
  const list = names("Folder", counts, chosen, (values) => filter({ path: [...values.map(asGlob), ...others()] }), { isOpen: false });
  list.node.querySelector("summary").after(element("label", { class: "pattern" }, element("span", { class: "soft" }, "Pattern"), pattern));
  const update = () => { list.update(); if (document.activeElement !== pattern) pattern.value = others().join(", "); };
  return { node: list.node, update };
}

const asGlob = (folder) => `${folder.replace(/[[*?]/g, "[$&]")}/*`;
const asFolder = (glob) => glob.replace(/\/\*$/, "").replace(/\[([[*?])\]/g, "$1");

/** A condition for those who know how to write one. */
function condition(columns) {
  const field = element("input", { type: "text", placeholder: example(columns), "aria-label": "Condition on columns", spellcheck: "false" });
  let timer = 0;
  const take = () => { clearTimeout(timer); filter({ where: field.value.trim() }); };
  field.addEventListener("change", take);
  field.addEventListener("input", () => { clearTimeout(timer); if (!field.value) timer = setTimeout(take, TYPING_MS); });
  const node = group("Condition", element("label", { class: "pattern" }, element("span", { class: "soft" }, "on columns, as the command line has it"), field), false);
  return { node, update: () => { if (document.activeElement !== field) field.value = state.filters.where; } };
}

function example(columns) {
  const number = columns.find((one) => one.least !== undefined);
  return number ? `${number.name} < ${Number(number.most.toPrecision(2))}` : `${columns[0].name} == "..."`;
}
