// The table of decisions, which the server writes: labels as decided, without what was rejected.
import { countFilters, asQuery, state } from "./state.js";
import { counted, element, fill } from "./dom.js";
import { notesSummary } from "./notes.js";

/** Let a person choose how the table is written, and save it. */
export function exportDialog() {
  const format = choice("Format", { csv: "CSV", jsonl: "JSON Lines" }), paths = choice("Names", { key: "keys, as in the store", absolute: "paths of the server's machine" });
  const few = element("input", { type: "checkbox" }), set = countFilters(state.filters);
  few.checked = set > 0;
  const { keep = 0, relabel = 0, reject = 0 } = notesSummary().decisions;
  const link = element("a", { class: "button primary", download: "" }, "Save the table");
  const dialog = element(
    "dialog", { class: "dialog", "aria-labelledby": "export-title" },
    element("h2", { id: "export-title" }, "Export decisions"),
    element("p", {}, `A table of paths and labels as decided here: ${counted(keep, "picture")} kept, ${relabel} relabelled; ${reject} rejected, which are left out. The pictures themselves are not touched.`),
    format.node, paths.node,
    set > 0 && element("label", { class: "line" }, few, "Only what the filters leave"),
    element("form", { method: "dialog", class: "line end" }, element("button", {}, "Cancel"), link));
  const update = () => {
    const options = { format: format.value(), paths: paths.value() };
    link.href = `/export?${few.checked ? asQuery(state.filters, options) : new URLSearchParams(options)}`;
    link.download = `labels.${options.format}`;
  };
  dialog.addEventListener("change", update);
  link.addEventListener("click", () => setTimeout(() => dialog.close()));
  dialog.addEventListener("close", () => dialog.remove());
  update();
  document.body.append(dialog);
  dialog.showModal();
}

function choice(title, values) {
  const field = element("select", {}, Object.entries(values).map(([value, text]) => element("option", { value }, text)));
  return { node: fill(element("label", { class: "line" }), element("span", {}, title), field), value: () => field.value };
}
