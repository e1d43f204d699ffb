// Lists to go through: groups of duplicates, and what the audit finds doubtful.
import { actByKey, decide, DECISION_KEYS, decisionButtons, decisionMark } from "./actions.js";
import { complain, say } from "./announce.js";
import { askUntilReady } from "./api.js";
import { button, count, counted, element, fill, keepingFocus, name, remarked, STOPPED, visible, waiting } from "./dom.js";
import { change, decisionOf, onNotes } from "./notes.js";
import { Pages } from "./pages.js";
import { findLike, go, onState, state } from "./state.js";
import { thumbnail } from "./tile.js";
import { Windowed } from "./windowed.js";

/**
 * A list with a bar, which is read when it is first shown.
 * @param {{name: string, label: string, rowHeight: (width: number) => number, read: Function, render: Function,
 *   press: Function, bar: (answer: any) => any, empty: string}} options
 */
function reviewList({ name: which, label, rowHeight, read, render, press, bar, empty }) {
  const top = element("div", { class: "bar-top" }), message = element("div", { class: "state", hidden: true });
  const results = element("div", { class: "results review-results" });
  const scroller = element("div", { class: "scroller" }, results);
  const node = element("section", { class: `review ${which}`, "aria-label": label }, top, scroller);
  let pages = null, answer = null;
  const list = new Windowed({
    scroller, label, measure: (width) => ({ columns: 1, rowHeight: rowHeight(width) }),
    render: (index, cell) => { const one = pages?.get(index); fill(cell); if (one) render(one, cell, index, list); else cell.setAttribute("aria-label", "Loading"); },
    want: (first, end) => pages?.want(first, end),
  });
  results.append(message, list.area);
  list.area.addEventListener("keydown", (event) => {
    const one = pages?.get(list.active);
    if (one && event.target === list.cell(list.active)) press(event, one, list.active, list);
  }, { capture: true });
  addEventListener("keydown", (event) => {  // Arrows lead into the list from the rest of the page.
    const target = /** @type {HTMLElement} */ (event.target);
    if (state.view !== which || !list.total || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (target.closest("input, textarea, select, [data-index]")) return;
    event.preventDefault();
    list.activate(list.active);
  });

  const tell = (...content) => { message.hidden = !content.length; fill(message, content); };
  async function show() {
    if (pages) { list.relayout(); return; }
    const progress = element("div");
    const onWait = (now) => fill(progress, waiting(now));
    const giveUp = () => { pages?.stop(); pages = null; tell(element("p", { role: "status" }, STOPPED), button({ text: "Begin again" }, show)); };
    tell(element("p", { role: "status" }, "Looking through the store. This takes a moment the first time."), progress, button({ text: "Stop" }, giveUp));
    const mine = pages = new Pages(async (offset, limit, signal) => {
      const { total, items, ...rest } = await read(offset, limit, { signal, onWait });
      answer = rest;
      return { total, items };
    }, (first, end) => { if (mine === pages) { list.resize(mine.total); list.refresh((index) => index >= first && index < end); } }, (error) => {
      if (mine !== pages) return;
      if (mine.total) complain(error);
      else { pages = null; tell(element("h2", {}, "That did not work"), element("p", { role: "alert" }, error.message), button({ text: "Try again" }, show)); }
    });
    await mine.start();
    if (mine !== pages || !answer) return;
    tell(...(mine.total ? [] : [element("h2", {}, "Nothing here"), element("p", {}, empty)]));
    list.reset(mine.total);
    draw();
    say(`${label}: ${count(mine.total)}`);
  }
  function draw() { if (answer && pages) fill(top, bar({ ...answer, total: pages.total, items: [...pages] }), remarked(answer.remarks)); }
  onNotes(() => { if (pages) { keepingFocus(list.area, () => list.refresh()); keepingFocus(top, draw); } });
  return { node, list, show, renew() { pages?.stop(); pages = null; answer = null; show(); } };
}

const HINT = "↑ ↓ go through them; k keep, l relabel, r reject, z undo";
const hint = (text) => element("p", { class: "soft hint" }, text);

/** Findings of the audit, of one kind or of all. */
export function findingsView() {
  const view = reviewList({
    name: "findings", label: "Findings", empty: "The audit finds nothing doubtful of this kind.",
    rowHeight: (width) => (width < 620 ? 184 : 178),
    async read(offset, limit, options) {
      const query = new URLSearchParams({ offset: String(offset), limit: String(limit), ...(state.kind ? { kind: state.kind } : {}) });
      const { findings, ...rest } = await askUntilReady(`/audit?${query}`, options);
      return { items: findings, ...rest };
    },
    bar: ({ counts, kinds, skipped, total, items }) => [
      element("div", { class: "kinds", role: "group", "aria-label": "Kinds of findings" },
        kind("", "All", Object.values(counts).reduce((sum, one) => sum + one, 0)),
        Object.entries(counts).map(([one, times]) => kind(one, one, times)),
        Object.entries(skipped).map(([one, why]) => element("button", { type: "button", disabled: true, title: why }, name(one.replaceAll("_", " "))))),
      kinds[state.kind] && element("p", { class: "kind-about" }, element("strong", {}, `${kinds[state.kind].title}. `), element("span", { class: "soft" }, kinds[state.kind].advice)),
      element("p", { class: "status" }, `${count(items.filter((one) => one.key && decisionOf(one.key, one.kind)).length)} of ${count(total)} decided`),
      hint(HINT),
    ],
    render: fillFinding,
    press(event, finding, index, list) {
      if (!finding.key) return;
      const about = { finding: finding.kind, suggested: finding.suggested };
      const action = DECISION_KEYS[event.key];
      if (action && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        decide({ key: finding.key }, action, about).then((done) => { if (done && action !== "clear") list.activate(index + 1); });
      } else actByKey(event, { key: finding.key, label: finding.given }, { about });
    },
  });
  onState((now, before) => { if (now.view === "findings" && now.kind !== before.kind) view.renew(); });
  return view;
}

function kind(value, title, times) {
  return element("button", { type: "button", "aria-pressed": String(state.kind === value), on: { click: () => go({ kind: value }) } }, name(title.replaceAll("_", " ")), element("span", { class: "soft" }, count(times)));
}

function fillFinding(finding, cell, index, list) {
  const { key, kind: which, given, suggested, other, detail } = finding, about = { finding: which, suggested };
  cell.setAttribute("aria-label", visible([which, key, given && `given ${given}`, suggested && `suggested ${suggested}`, detail, key && decisionOf(key, which)?.action].filter(Boolean).join(", ")));
  cell.className = "cell card";
  const seen = (one) => { const frame = thumbnail(one); frame.addEventListener("click", () => findLike({ key: one })); return frame; };
  const second = other && which !== "overlap" && which !== "drift" ? seen(other) : null;
  second?.querySelector("img").addEventListener("error", () => second.remove()); // It is a class or split.
  fill(cell,
    key && element("div", { class: "card-pictures" }, seen(key), second),
    element("div", { class: "card-text" },
      element("p", { class: "card-title" }, suggested ? [name(given ?? ""), " → ", name(suggested, { class: "suggested" })] : name(detail || given || which)),
      element("p", { class: "soft" }, name(suggested ? detail : given ?? "")),
      key && element("p", { class: "soft file" }, name(key)),
      other && key && element("p", { class: "soft file" }, name(other)),
      key && decisionButtons({ key }, about, () => list.activate(index + 1))));
}

/** Groups of duplicates. */
export function duplicatesView() {
  const chosen = new Map(); // Index of a group to the number of the picture that keys act on.
  const at = (group, index) => Math.min(chosen.get(index) ?? Math.max(0, group.pictures.findIndex((one) => one.can_go)), group.pictures.length - 1);
  const choosePicture = (group, index, number, list) => {
    chosen.set(index, Math.max(0, Math.min(group.pictures.length - 1, number)));
    list.refresh((one) => one === index);
    list.cell(index).querySelector(".is-chosen")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    say(describePicture(group.pictures[chosen.get(index)], group));
  };
  return reviewList({
    name: "duplicates", label: "Groups of duplicates", empty: "No two pictures are copies of each other.",
    rowHeight: (width) => (width < 620 ? 272 : 268),
    async read(offset, limit, options) {
      const { groups, ...rest } = await askUntilReady(`/duplicates?offset=${offset}&limit=${limit}`, options);
      return { items: groups, ...rest };
    },
    bar: ({ total, items, threshold }) => [
      element("p", { class: "status" }, `${counted(total, "group")}, ${count(items.filter(isDone).length)} done`),
      hint(["Similarity from ", String(Number(threshold.toFixed(4))), " on. b keeps the best and rejects the others; ← → choose one; ", HINT]),
    ],
    render: (group, cell, index, list) => fillGroup(group, cell, at(group, index), {
      choose: (number) => { list.activate(index); choosePicture(group, index, number, list); },
      best: () => keepBest(group).then((done) => done && list.activate(index + 1)),
    }),
    press(event, group, index, list) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const now = at(group, index), step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); choosePicture(group, index, now + step, list); return; }
      if (event.key === "b") { event.preventDefault(); keepBest(group).then((done) => done && list.activate(index + 1)); return; }
      actByKey(event, group.pictures[now], { about: { finding: "duplicate" } });
    },
  });
}

const isDone = (group) => group.pictures.some((one) => decisionOf(one.key));
const describePicture = (one, group) => [one.key, one.key === group.best && "the best", one.label, one.split, `${one.width} × ${one.height}`, decisionOf(one.key)?.action].filter(Boolean).join(", ");

const keepBest = (group) => change(group.pictures.map((one) => ({ key: one.key, action: one.key === group.best ? "keep" : "reject", finding: "duplicate" })));

function fillGroup(group, cell, now, { choose, best }) {
  const { pictures } = group;
  cell.className = "cell card group-card";
  cell.setAttribute("aria-label", visible(`${counted(pictures.length, "picture")}, ${group.exact ? "the same file" : `similarity ${group.similarity.toFixed(3)}`}. ${describePicture(pictures[now], group)}`));
  fill(cell,
    element("div", { class: "line group-head" },
      element("p", {}, element("strong", {}, counted(pictures.length, "picture")), element("span", { class: "soft" }, group.exact ? " · the same file" : ` · similarity ${group.similarity.toFixed(3)}`),
        new Set(pictures.map((one) => one.split)).size > 1 && element("span", { class: "wrong" }, " · in several splits"),
        new Set(pictures.map((one) => one.label)).size > 1 && element("span", { class: "wrong" }, " · different classes")),
      button({ icon: "keep", text: "Keep the best", label: "Keep the best, reject the others", key: "b", class: "quiet", tabindex: -1 }, best)),
    element("div", { class: "strip" }, pictures.map((one, number) => {
      const frame = thumbnail(one.key), mark = decisionMark(one.key);
      if (mark) frame.append(mark);
      const rejected = decisionOf(one.key)?.action === "reject" ? " is-rejected" : "";
      return element("div", { class: `copy${number === now ? " is-chosen" : ""}${rejected}`, title: one.key, on: { click: () => choose(number), dblclick: () => findLike({ key: one.key }) } },
        frame,
        element("div", { class: "caption" },
          element("div", { class: "line" }, name(one.label ?? one.key.split("/").at(-1), { class: "title" }), one.key === group.best && element("span", { class: "best" }, "best")),
          element("div", { class: "line second soft" }, one.split && name(one.split), one.width && element("span", {}, `${one.width} × ${one.height}`), one.file_size && element("span", {}, size(one.file_size)))));
    })));
}

const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
