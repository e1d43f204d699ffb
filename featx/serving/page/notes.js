// Decisions and tags: kept by the server beside the store, never in the pictures.
import { ask, request } from "./api.js";
import { complain, notify } from "./announce.js";

const POLL_MS = 8000;
const NAMES = { keep: "kept", relabel: "relabelled", reject: "rejected", clear: "decision taken back", tag: "tagged", untag: "tag removed" };
const NOTHING = { tags: [], decisions: [] };
const listeners = new Set();
let images = new Map();
let summary = { tags: {}, decisions: {} };
let tag = "";

/** Call a function when notes have changed, with the keys that have: null for any. */
export function onNotes(listener) { listeners.add(listener); }

/** Tags and decisions of a key. */
export const notesOf = (key) => images.get(key) || NOTHING;

/** Counts of all tags and decisions. */
export const notesSummary = () => summary;

/** The latest decision about a key, or about one of its findings. */
export function decisionOf(key, finding) {
  const decisions = notesOf(key).decisions;
  return finding === undefined ? decisions.at(-1) : decisions.find((one) => (one.finding || "") === finding);
}

/** Read the notes again if they have changed, as by another tab. */
export async function refreshNotes() {
  const response = await request("/notes", { headers: tag ? { "If-None-Match": tag } : {} });
  if (!response.ok) return;
  const now = response.headers.get("ETag");
  if (now === tag) return;
  tag = now;
  const value = await response.json();
  images = new Map(value.images.map((one) => [one.key, one]));
  summary = value;
  for (const listener of listeners) listener();
}

setInterval(() => { if (!document.hidden) refreshNotes().catch(() => {}); }, POLL_MS);

/**
 * Decide on pictures, or tag them.
 * @param {{key: string, action: string, value?: string, finding?: string}[]} changes
 * @param {{quiet?: boolean}} [options]
 */
export async function change(changes, { quiet = false } = {}) {
  const back = changes.map(inverse);
  try {
    await ask("/notes", { body: { changes } });
    await refreshNotes();
  } catch (error) {
    complain(error);
    return false;
  }
  undoable.push(back);
  if (!quiet) notify(describe(changes), { action: { text: "Undo", act: undo }, about: LATEST });
  return true;
}

/** @type {any[][]} */
const undoable = [];
const LATEST = "change"; // One notice at a time, so that its "Undo" is of the change that it names.

/** Take the latest change of this tab back. */
export async function undo() {
  const back = undoable.pop();
  if (!back) return notify("There is nothing to undo.");
  if (await change(back, { quiet: true })) {
    undoable.pop();
    notify("Undone.", { about: LATEST });
  } else undoable.push(back);
}

function inverse({ key, action, value, finding }) {
  if (action === "tag") return notesOf(key).tags.includes(value) ? { key, action: "tag", value } : { key, action: "untag", value };
  if (action === "untag") return { key, action: "tag", value };
  const before = decisionOf(key, finding || "");
  const which = finding ? { finding } : {};
  if (!before) return { key, action: "clear", ...which };
  return { key, action: before.action, ...which, ...(before.value ? { value: before.value } : {}) };
}

function describe(changes) {
  const [{ key, action, value }] = changes, done = value ? `${NAMES[action]}: ${value}` : NAMES[action];
  return changes.length === 1 ? `${key.split("/").at(-1)} ${done}` : `${changes.length} pictures decided on`;
}
