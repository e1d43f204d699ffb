// The page of featx serve: what is in which module is said at the head of each.
import { knowClasses } from "./actions.js";
import { complain, say } from "./announce.js";
import { ask, onVersion } from "./api.js";
import { button, element, fill, find, name, visible } from "./dom.js";
import { exportDialog } from "./export.js";
import { drawFilters, openFilters } from "./filters.js";
import { listenToKeys, showKeys } from "./keys.js";
import { mapView } from "./map.js";
import { refreshNotes } from "./notes.js";
import { knowLimit, pickFiles, takePictures } from "./pick.js";
import { picturesView } from "./pictures.js";
import { duplicatesView, findingsView } from "./review.js";
import { countFilters, go, onState, state, write } from "./state.js";
import { knowHead } from "./tile.js";

const VIEWS = { pictures: "Pictures", map: "Map", duplicates: "Duplicates", findings: "Findings" };

async function begin() {
  fill(find("content"), element("p", { class: "state", role: "status" }, "Reading the store…"));
  let store;
  try {
    store = await ask("/describe");
    await refreshNotes();
  } catch (error) {
    fill(find("content"), element("div", { class: "state" }, element("h2", {}, "The store cannot be shown"), element("p", { role: "alert" }, error.message), button({ text: "Try again" }, begin)));
    return;
  }
  build(store);
}

function build(store) {
  fill(find("store-name"), store.store);
  knowClasses(store.classes);
  knowHead(store.head);
  knowLimit(store.limits.max_upload);
  drawTools();
  drawFilters(store);
  const pictures = picturesView(store);
  const views = { map: mapView(store), duplicates: duplicatesView(store), findings: findingsView(store) };
  fill(find("content"), store.problem && element("p", { class: "problem", role: "alert" }, store.problem), views.map.node, pictures.node, views.duplicates.node, views.findings.node);
  const show = (before) => {
    document.body.dataset.view = state.view;
    document.body.classList.toggle("is-searching", Boolean(state.like));
    document.title = visible(`${state.like ? "Looks like" : VIEWS[state.view]} · ${store.store} · featx`);
    drawViews();
    if (before?.view !== state.view) { views[state.view]?.show(); if (before) say(VIEWS[state.view]); }
  };
  onState((now, before) => show(before));
  show();
  if (state.view === "pictures" || state.view === "map") pictures.start(history.state?.index || 0);
  onVersion(() => renew(pictures, views));
}

/** The store, its index or its head is another now: read what is shown again. */
async function renew(pictures, views) {
  try {
    const store = await ask("/describe");
    knowClasses(store.classes);
    knowHead(store.head);
    drawFilters(store);
    say("The store has changed; it was read again.");
    if (views[state.view]) views[state.view].renew();
    if (state.view === "pictures" || state.view === "map") pictures.start(pictures.grid.first);
  } catch (error) {
    complain(error);
  }
}

function drawViews() {
  const links = Object.entries(VIEWS).map(([view, text]) => element("a", {
    href: write({ ...state, view: /** @type {any} */ (view) }), "aria-current": view === state.view ? "page" : null,
    on: { click: (event) => { if (event.ctrlKey || event.metaKey || event.shiftKey) return; event.preventDefault(); go({ view: /** @type {any} */ (view) }); } },
  }, name(text)));
  const focused = find("views").contains(document.activeElement);
  fill(find("views"), links);
  if (focused) find("views").querySelector("[aria-current]")?.focus();
}

function drawTools() {
  const filters = button({ icon: "filter", text: "Filters", class: "drawer-only" }, () => openFilters(!find("body").classList.contains("filters-open")));
  filters.id = "filters-button";
  filters.setAttribute("aria-expanded", "false");
  filters.setAttribute("aria-controls", "filters");
  const number = element("span", { class: "badge" });
  filters.append(number);
  const update = () => { const set = countFilters(state.filters); number.hidden = !set; number.textContent = String(set); };
  onState(update);
  update();
  fill(find("tools"),
    filters,
    button({ icon: "upload", text: "Search with a picture", label: "Search with a picture", key: "u", class: "primary" }, pickFiles),
    button({ icon: "download", label: "Export decisions", class: "bare" }, exportDialog),
    button({ icon: "help", label: "Shortcuts", key: "?", class: "bare" }, showKeys));
}

listenToKeys();
takePictures();
addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (find("body").classList.contains("filters-open") && !target.closest("#filters, #filters-button, dialog") && target.isConnected) openFilters(false);
});
begin();
