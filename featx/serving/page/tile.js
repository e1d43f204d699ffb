// One picture in a list: the thumbnail, its class, and what the head says of it.
import { decisionMark } from "./actions.js";
import { address } from "./api.js";
import { button, element, fill, name, percent, visible } from "./dom.js";
import { decisionOf, notesOf } from "./notes.js";
import { addTerm } from "./state.js";
import { openViewer } from "./viewer.js";

/** @type {string[]} */
let targets = [];

/** Take note of what the numbers are that the head says. @param {{task: string, columns: string[]} | null} head */
export function knowHead(head) { targets = head?.task === "regression" ? head.columns : []; }

/** The thumbnail of a key, or words where there is none. */
export function thumbnail(key, box) {
  const frame = element("div", { class: "picture" });
  const image = element("img", { alt: "", src: address("thumbnails", key), decoding: "async", draggable: "false" });
  image.addEventListener("error", () => fill(frame, element("span", { class: "none" }, "no picture")));
  frame.append(image);
  if (box?.box) frame.append(outline(box.box, box.size));
  return frame;
}

/** Where a match matches, drawn over its thumbnail. */
function outline([left, top, right, bottom], [width, height]) {
  const space = "http://www.w3.org/2000/svg", drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("class", "outline");
  drawing.setAttribute("aria-hidden", "true");
  for (const look of ["frame-edge", "frame"]) {
    const part = document.createElementNS(space, "rect");
    part.setAttribute("class", look);
    for (const [attribute, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) part.setAttribute(attribute, value);
    drawing.append(part);
  }
  return drawing;
}

/**
 * What the head says, in short: text, how sure it is, and whether the label says the same.
 * @returns {{text: string, share?: number, agrees?: boolean} | null}
 */
export function predicted(item) {
  const said = item.prediction;
  if (!said) return null;
  if (said.classes?.length) {
    const [best] = said.classes;
    return { text: best.class, share: best.probability, agrees: item.label ? item.label === best.class : undefined };
  }
  if (said.labels) {
    const likely = Object.entries(said.labels).filter(([, share]) => share >= 0.5).map(([label]) => label);
    return { text: likely.join(", ") || "none" };
  }
  return said.number === undefined ? null : { text: [...targets, said.number.toPrecision(4)].join(" ") };
}

/** A picture in words, for those who do not see it. */
export function describeItem(item) {
  const says = predicted(item), decision = decisionOf(item.key), tags = notesOf(item.key).tags;
  return [
    item.key, item.label && `class ${item.label}`,
    item.score !== undefined && `similarity ${item.score.toFixed(2)}`,
    says && `predicted ${says.text}${says.share === undefined ? "" : ` ${percent(says.share)}`}`,
    decision && decision.action !== "clear" && `decision: ${decision.action}${decision.value ? ` to ${decision.value}` : ""}`,
    tags.length && `tags: ${tags.join(", ")}`,
  ].filter(Boolean).join(", ");
}

/**
 * Fill a cell of a list with a picture.
 * @param {HTMLElement} cell
 * @param {any} item undefined while it is being read
 * @param {{list: any, index: number}} place
 */
export function fillTile(cell, item, place) {
  cell.setAttribute("aria-label", item ? visible(describeItem(item)) : "Loading");
  cell.classList.toggle("is-waiting", !item);
  if (!item) { fill(cell, element("div", { class: "picture" })); cell.dataset.key = ""; return; }
  const kept = cell.dataset.key === item.key && !item.box ? cell.querySelector(".picture") : null; // Does not blink.
  cell.dataset.key = item.key;
  const frame = kept || thumbnail(item.key, item);
  frame.querySelectorAll(".mark, .tile-tools").forEach((one) => one.remove());
  const mark = decisionMark(item.key);
  cell.classList.toggle("is-rejected", decisionOf(item.key)?.action === "reject");
  if (mark) frame.append(mark);
  frame.append(tools(item, place));
  fill(cell, frame, caption(item));
}

function tools(item, { list, index }) {
  const small = (look, act) => button({ ...look, class: "bare", tabindex: -1 }, (event) => { event.stopPropagation(); act(); });
  return element(
    "div", { class: "tile-tools" },
    small({ icon: "plus", label: "Add to the query", key: "+" }, () => addTerm(1, { key: item.key })),
    small({ icon: "minus", label: "Subtract from the query", key: "-" }, () => addTerm(-1, { key: item.key })),
    small({ icon: "view", label: "View large", key: "v" }, () => openViewer(item, list, index)),
  );
}

function caption(item) {
  const says = predicted(item), file = item.key.split("/").at(-1), tags = notesOf(item.key).tags;
  const how = says?.agrees === undefined ? "soft" : says.agrees ? "right" : "wrong";
  return element(
    "div", { class: "caption", title: item.key },
    element("div", { class: "line" },
      name(item.label ?? file, { class: "title" }),
      item.score !== undefined && element("span", { class: "score", title: "Similarity" }, item.score.toFixed(2))),
    element("div", { class: "line second" },
      says ? element("span", { class: `says ${how}`, title: "What the head says" }, name(says.text)) : name(item.label === null || item.label === undefined ? item.key.split("/").slice(0, -1).join("/") : file, { class: "soft" }),
      says?.share !== undefined && element("span", { class: `share ${how}` }, percent(says.share)),
      tags.length > 0 && element("span", { class: "tagged", title: tags.join(", ") }, `#${tags.length}`)),
  );
}
