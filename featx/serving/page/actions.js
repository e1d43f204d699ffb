// What can be done with a picture of the store: by a key, or by a button.
import { choose } from "./choose.js";
import { change, decisionOf, notesOf, notesSummary } from "./notes.js";
import { addTerm, findLike } from "./state.js";
import { openViewer } from "./viewer.js";
import { button, element, icon, name } from "./dom.js";

const DECISIONS = { keep: "Keep", relabel: "Relabel", reject: "Reject" };
export const DECISION_KEYS = { k: "keep", l: "relabel", r: "reject", c: "clear" };

/** Classes that a picture can be given, with counts; set once the server has described them. */
let classes = {};
export function knowClasses(counts) { classes = counts; }

/**
 * Decide on a picture.
 * @param {{key: string}} item
 * @param {string} action
 * @param {{finding?: string, suggested?: string}} [about]
 * @returns {Promise<boolean>} whether it was done
 */
export async function decide(item, action, { finding, suggested } = {}) {
  const about = finding ? { finding } : {};
  if (action !== "relabel") return change([{ key: item.key, action, ...about }]);
  const value = await choose({ title: "The right class", kind: "class", names: classes, suggested: suggested || "" });
  return value !== null && change([{ key: item.key, action, value, ...about }]);
}

/** Ask for a tag, and give it. */
async function giveTag(item) {
  const value = await choose({ title: "Tag this picture", kind: "tag", names: notesSummary().tags });
  if (value) await change([{ key: item.key, action: "tag", value }]);
}

/** Take a tag away. */
const dropTag = (item, value) => change([{ key: item.key, action: "untag", value }]);

/**
 * Do what a key stands for.
 * @returns {boolean} whether it stands for anything
 */
export function actByKey(event, item, { list, index, about } = {}) {
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return false;
  const acts = {
    Enter: () => findLike({ key: item.key }),
    "+": () => addTerm(1, { key: item.key }),
    "=": () => addTerm(1, { key: item.key }),
    "-": () => addTerm(-1, { key: item.key }),
    v: () => openViewer(item, list, index),
    t: () => giveTag(item),
  };
  for (const [key, action] of Object.entries(DECISION_KEYS)) acts[key] = () => decide(item, action, about);
  const act = acts[event.key];
  if (!act) return false;
  event.preventDefault();
  act();
  return true;
}

/** Buttons to decide with, of which the one that was pressed says so. */
export function decisionButtons(item, about = {}, onDecided = () => {}) {
  const now = decisionOf(item.key, about.finding === undefined ? undefined : about.finding);
  return element(
    "div", { class: "decisions", role: "group", "aria-label": "Decision" },
    Object.entries(DECISIONS).map(([action, text]) => {
      const key = Object.keys(DECISION_KEYS).find((one) => DECISION_KEYS[one] === action);
      const pressed = now?.action === action;
      const label = pressed && now.value ? `${text}: ${now.value}` : text;
      return button({ icon: action, text: label, key, pressed, class: `decide ${action}` }, async (event) => {
        event.stopPropagation();
        const done = await decide(item, pressed && action !== "relabel" ? "clear" : action, about);
        if (done && !pressed) onDecided();
      });
    }),
  );
}

/** A mark that says what was decided on a picture, or nothing. */
export function decisionMark(key) {
  const now = decisionOf(key);
  if (!now || now.action === "clear") return null;
  const text = now.action === "relabel" ? now.value : DECISIONS[now.action];
  return element("span", { class: `mark ${now.action}` }, icon(now.action), name(text));
}

/** Tags of a picture, each with a button that takes it away, and one that gives another. */
export function tagList(item) {
  return element(
    "ul", { class: "tags", "aria-label": "Tags" },
    notesOf(item.key).tags.map((tag) => element("li", { class: "chip" }, name(tag), button({ icon: "close", label: `Take the tag ${tag} away`, class: "bare" }, () => dropTag(item, tag)))),
    element("li", {}, button({ icon: "plus", text: "Tag", key: "t", class: "quiet" }, () => giveTag(item))),
  );
}
