// A dialog to choose a name, or to type a new one.
import { count, element, fill, name } from "./dom.js";

const MOST_SHOWN = 100;
let number = 0;

/**
 * @param {{title: string, names: Object<string, number>, suggested?: string, kind: string}} options
 *   names: what there is, with how often
 * @returns {Promise<string | null>} null if nothing was chosen
 */
export function choose({ title, names, suggested = "", kind }) {
  const id = `choose-${++number}`;
  const field = element("input", { type: "text", id, value: suggested, maxlength: 200, autocomplete: "off", autofocus: true });
  const list = element("ul", { class: "choices" });
  const dialog = element(
    "dialog", { class: "dialog", "aria-label": title },
    element("form", { method: "dialog" },
      element("label", { for: id }, title), field, list,
      element("div", { class: "line end" },
        element("button", { type: "button", on: { click: () => finish(null) } }, "Cancel"),
        element("button", { class: "primary", value: "take" }, "OK")),
    ),
  );
  let typed = false, resolved;
  const matching = () => {
    const text = typed ? field.value.trim().toLowerCase() : "";
    return Object.entries(names).filter(([one]) => one.toLowerCase().includes(text));
  };
  const show = () => {
    const known = matching(), text = field.value.trim();
    fill(list,
      known.slice(0, MOST_SHOWN).map(([one, times]) => element("li", {}, element("button", { type: "button", on: { click: () => finish(one) } }, name(one), element("span", { class: "soft" }, count(times))))),
      known.length > MOST_SHOWN && element("li", { class: "soft" }, `and ${count(known.length - MOST_SHOWN)} more`),
      text && !(text in names) && element("li", { class: "soft" }, `New ${kind}: `, name(text)));
  };
  const finish = (value) => { resolved(value); dialog.close(); };
  field.addEventListener("input", () => { typed = true; show(); });
  dialog.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    (buttons[to] || field).focus();
  });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const known = matching(), text = field.value.trim();
    if (text) finish(!(text in names) && known.length === 1 ? known[0][0] : text);
  });
  const before = document.activeElement;
  document.body.append(dialog);
  show();
  dialog.showModal();
  field.select();
  return new Promise((resolve) => {
    resolved = resolve;
    dialog.addEventListener("close", () => { resolve(null); dialog.remove(); /** @type {any} */ (before)?.focus?.({ preventScroll: true }); });
  });
}
