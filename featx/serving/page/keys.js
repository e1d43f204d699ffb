// Shortcuts, and the list of them.
import { element, name } from "./dom.js";
import { openFilters } from "./filters.js";
import { undo } from "./notes.js";
import { pickFiles } from "./pick.js";
import { go, state } from "./state.js";

const VIEWS = ["pictures", "map", "duplicates", "findings"];
const SETTING = "featx-letters";
const LISTED = [
  ["Everywhere", [["u", "choose a picture of your own"], ["Ctrl V", "paste one"], ["1 2 3 4", "pictures, map, duplicates, findings"], ["f", "filters"], ["z", "undo the latest decision or tag"], ["Esc", "close, or end the search"], ["?", "this list"]]],
  ["On a picture", [["← ↑ → ↓", "go to others; also Page Up, Page Down, Home, End, Ctrl Home, Ctrl End"], ["Enter", "find what looks like it"], ["+", "add it to the query"], ["-", "subtract it from the query"], ["v", "view it large"], ["t", "tag it"]]],
  ["Deciding", [["k", "keep"], ["l", "relabel"], ["r", "reject"], ["c", "take the decision back"], ["b", "in a group of duplicates: keep the best, reject the others"]]],
  ["On the map", [["← ↑ → ↓", "move"], ["+ -", "zoom"], ["0", "the whole map"], ["Enter", "find what looks like the picture in the middle"], ["Shift drag", "select"]]],
];

const wanted = () => localStorage.getItem(SETTING) !== "off";

/** Show the shortcuts. */
export function showKeys() {
  const box = element("input", { type: "checkbox", on: { change: () => localStorage.setItem(SETTING, box.checked ? "on" : "off") } });
  box.checked = wanted();
  const dialog = element(
    "dialog", { class: "dialog wide", "aria-labelledby": "keys-title" },
    element("h2", { id: "keys-title", tabindex: -1, autofocus: true }, "Shortcuts"),
    element("div", { class: "keys" }, LISTED.map(([title, rows]) => element("section", {}, element("h3", {}, title),
      element("dl", {}, rows.map(([keys, text]) => [element("dt", {}, keys.split(" ").map((one) => element("kbd", {}, one))), element("dd", {}, name(text))]))))),
    element("label", { class: "line" }, box, "Shortcuts of a single letter, wherever I am on the page"),
    element("form", { method: "dialog", class: "line end" }, element("button", { class: "primary" }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Act on shortcuts that hold everywhere. */
export function listenToKeys() {
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") { escape(); return; }
    if (target.closest("input:not([type=checkbox]), textarea, select") || !wanted()) return;
    const acts = { u: pickFiles, f: () => openFilters(true), z: undo, "?": showKeys };
    VIEWS.forEach((view, number) => { acts[number + 1] = () => go({ view: /** @type {any} */ (view) }); });
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function escape() {
  if (document.getElementById("body").classList.contains("filters-open")) openFilters(false);
  else if (state.like) go({ like: null, terms: [] });
}
