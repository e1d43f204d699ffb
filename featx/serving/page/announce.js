// What is said to people: to a screen reader, and in notices that go away.
import { button, element, find, visible } from "./dom.js";

const SHOWN_MS = 7000;
let pending = 0;

/** Say something through the live region, once things have come to rest. */
export function say(text) {
  clearTimeout(pending);
  pending = setTimeout(() => { find("live").textContent = visible(text); }, 150);
}

/**
 * Show a notice.
 * @param {string} text
 * @param {{kind?: "error" | "note", action?: {text: string, act: () => void}, about?: string}} [options]
 *   `about`: it takes the place of an earlier notice about the same
 */
export function notify(text, { kind = "note", action, about = "" } = {}) {
  const notice = element("div", { class: `toast ${kind}`, role: kind === "error" ? "alert" : null, "data-about": about || null }, element("p", {}, text));
  const remove = () => notice.remove();
  if (action) notice.append(button({ text: action.text, class: "quiet" }, () => { remove(); action.act(); }));
  notice.append(button({ icon: "close", label: "Close this notice", class: "bare" }, remove));
  const all = find("toasts");
  if (about) for (const one of all.querySelectorAll(`[data-about="${about}"]`)) one.remove();
  while (all.children.length > 2) all.firstChild.remove();
  all.append(notice);
  setTimeout(remove, kind === "error" ? 2 * SHOWN_MS : SHOWN_MS);
  if (kind !== "error") say(text);
}

/** Show an error in the words of the server, unless the question was given up. */
export function complain(error) {
  if (error.name === "AbortError") return;
  if (error.status === undefined) console.error(error);
  notify(error.message || String(error), { kind: "error" });
}
