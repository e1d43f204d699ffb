// A picture as large as the window, and from there to the next one.
import { actByKey, decisionButtons, tagList } from "./actions.js";
import { address } from "./api.js";
import { button, element, fill, keepingFocus, name, percent } from "./dom.js";
import { onNotes } from "./notes.js";
import { findLike } from "./state.js";
import { describeItem, predicted } from "./tile.js";

/** @type {{item: any, list: any, index: number, dialog: HTMLDialogElement} | null} */
let open = null;

/**
 * Show a picture of the store.
 * @param {any} item
 * @param {{get: (index: number) => any, total: number, activate?: (index: number) => void}} [list] what it is in
 * @param {number} [index]
 */
export function openViewer(item, list, index = 0) {
  open?.dialog.close();
  const dialog = element("dialog", { class: "viewer", "aria-label": "Picture" });
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  open = { item, list, index, dialog };
  dialog.addEventListener("keydown", press);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    dialog.remove();
    const last = open;
    if (open?.dialog === dialog) open = null;
    if (last?.list?.activate && last.dialog === dialog) last.list.activate(last.index);
    else before?.focus?.({ preventScroll: true });
  });
  document.body.append(dialog);
  show();
  dialog.showModal();
}

onNotes(() => { if (open) keepingFocus(open.dialog, showAbout); });

function show() {
  const { item, dialog, list } = open;
  const image = picture(item.key, describeItem(item));
  const around = (step) => element("span", { class: `step ${step < 0 ? "back" : "on"}` }, button({ icon: step < 0 ? "left" : "right", label: step < 0 ? "Previous picture" : "Next picture", key: step < 0 ? "←" : "→", class: "bare" }, () => move(step)));
  fill(dialog,
    element("div", { class: "viewer-picture" }, image, list && around(-1), list && around(1)),
    element("div", { class: "viewer-about" }),
    button({ icon: "close", label: "Close", key: "Esc", class: "bare viewer-close" }, () => dialog.close()));
  showAbout();
}

/** The picture itself; its thumbnail where browsers cannot show it. */
export function picture(key, alt) {
  const image = element("img", { alt, src: address("pictures", key), draggable: "false" });
  image.addEventListener("error", () => {
    image.addEventListener("error", () => image.replaceWith(element("span", { class: "none" }, "no picture")), { once: true });
    image.src = address("thumbnails", key);
  }, { once: true });
  return image;
}

function showAbout() {
  const { item, dialog } = open, says = predicted(item);
  fill(dialog.querySelector(".viewer-about"),
    element("p", { class: "viewer-name" }, name(item.key)),
    element("p", { class: "soft" }, item.label && name(item.label), says && [item.label ? " · the head says " : "The head says ", name(says.text), says.share === undefined ? "" : ` ${percent(says.share)}`]),
    decisionButtons(item), tagList(item),
    button({ icon: "find", text: "Find what looks like it", class: "primary", key: "Enter" }, alike));
}

function alike() {
  const { item, dialog } = open;
  dialog.close();
  findLike({ key: item.key });
}

function move(step) {
  const next = open.index + step, item = open.list?.get(next);
  if (!item) return;
  open.index = next;
  open.item = item;
  show();
}

function press(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) { event.preventDefault(); move(step); return; }
  if (event.target.closest("button") && event.key === "Enter") return;
  if (event.key === "Enter") { event.preventDefault(); alike(); return; }
  if (event.key !== "v") actByKey(event, open.item);
}
