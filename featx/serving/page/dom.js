// Elements without HTML: what comes from the store is set as text and never parsed.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Return an element.
 * @param {string} tag
 * @param {Object<string, any>} [properties] `class`, `on` (listeners), or attributes; null and
 *   false leave one out, true gives it without a value
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [type, listener] of Object.entries(value)) made.addEventListener(type, listener);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, READ_OUT.has(name) ? visible(String(value)) : String(value));
  }
  made.append(...kept(children));
  return made;
}

/** @param {(Child | Child[])[]} children */
function kept(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false).map((one) => (one instanceof Node ? one : visible(String(one))));
}

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const READ_OUT = new Set(["title", "alt", "aria-label", "placeholder"]);

/** A text in which characters that turn the writing round, or cannot be seen, are written as \u202e. */
export const visible = (text) => text.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Replace what is in an element. */
export function fill(parent, ...children) {
  parent.replaceChildren(...kept(children));
  return parent;
}

/** Draw a part again; the keyboard stays at the same button of it. */
export function keepingFocus(parent, redraw) {
  const all = () => [...parent.querySelectorAll("button, input")], at = all().indexOf(document.activeElement);
  redraw();
  if (at >= 0) all()[at]?.focus({ preventScroll: true });
}

/** @param {string} id @returns {any} */
export const find = (id) => document.getElementById(id);

/** A name from the store, in its own direction of writing. */
export const name = (text, properties = {}) => element("bdi", { dir: "auto", ...properties }, text);

/**
 * How far something is that takes its time.
 * @param {import("./api.js").Progress} progress
 */
export function waiting({ stage, seconds, done = 0, total = 0, remarks = [] }) {
  const words = [stage, total > 0 && `${count(done)} of ${count(total)}`, `${count(seconds)} s`].filter(Boolean).join(" · ");
  return element("div", { class: "waiting" },
    total > 0 && element("progress", { max: total, value: done, "aria-label": "Progress" }),
    element("p", { class: "soft" }, words), remarked(remarks));
}

/** Others may wait for it, too. */
export const STOPPED = "Stopped. The server gives it up when nobody else asks for it.";

/** What was said while something was made. @param {string[]} remarks */
export const remarked = (remarks) => remarks.map((one) => element("p", { class: "soft remark" }, name(one)));

/** @param {number} value */
export const count = (value) => value.toLocaleString("en");

/** "1 picture", "2 pictures". */
export const counted = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

/** 0.917 as "92%"; what is not certain is never 100%. */
export function percent(share) {
  const value = Math.round(100 * share);
  if (value === 100 && share < 1) return ">99%";
  return value === 0 && share > 0 ? "<1%" : `${value}%`;
}

const PATHS = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  view: "M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5",
  crop: "M7 2v15h15M2 7h15v15",
  filter: "M3 6h18M6 12h12M10 18h4",
  find: "M10.5 4a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13M15.5 15.5L21 21",
  upload: "M12 16V4M7 9l5-5l5 5M4 16v4h16v-4",
  download: "M12 4v12M7 11l5 5l5-5M4 18v2h16v-2",
  help: "M9 9a3 3 0 1 1 4.2 2.7c-.8.4-1.2 1-1.2 1.8v.5M12 17.2v.6",
  keep: "M5 12.5l4.5 4.5L19 7.5",
  relabel: "M4 12V4h8l8 8l-8 8zM8 8v.1",
  reject: "M6 6l12 12M18 6L6 18",
  undo: "M8 5L4 9l4 4M4 9h9a6 6 0 0 1 0 12H9",
  lasso: "M12 4c5 0 8 2.6 8 5.5S17 15 12 15s-8-2.600-8-5.500S7 4 12 4M8 14.500c-2 1-2 4 .5 4s2 2.500.5 3.500",
  left: "M15 5l-7 7l7 7",
  right: "M9 5l7 7l-7 7",
};

/** A small drawing; says nothing to a screen reader. */
export function icon(which) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg"), path = document.createElementNS(space, "path");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[which]);
  drawing.append(path);
  return drawing;
}

/**
 * A button with a drawing.
 * @param {{icon?: string, text?: string, label?: string, key?: string, class?: string, pressed?: boolean,
 *   tabindex?: number, disabled?: boolean}} look
 * @param {(event: Event) => void} act
 */
export function button(look, act) {
  const title = look.key ? `${look.label || look.text} (${look.key})` : look.label;
  return element(
    "button",
    {
      type: "button", class: look.class, title, disabled: look.disabled, tabindex: look.tabindex,
      "aria-label": look.text ? null : look.label,
      "aria-pressed": look.pressed === undefined ? null : String(look.pressed),
      on: { click: act },
    },
    look.icon && icon(look.icon),
    look.text && element("span", {}, look.text),
  );
}
