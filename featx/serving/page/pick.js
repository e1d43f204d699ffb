// Ways in for a picture of one's own: choose a file, drop it, or paste it.
import { complain, notify } from "./announce.js";
import { element, find } from "./dom.js";
import { addTerm, findLike } from "./state.js";
import { keep } from "./uploads.js";

let limit = Infinity;

/** Know the most bytes that the server takes. */
export function knowLimit(bytes) { limit = bytes; }

/** Find what looks like a file; several are added up. @param {Iterable<File>} files */
async function useFiles(files) {
  const all = [...files];
  if (!all.length) { notify("No picture was in that.", { kind: "error" }); return; }
  const large = all.find((file) => file.size > limit);
  if (large) { notify(`${large.name || "The picture"} has ${mebibytes(large.size)}; the server takes ${mebibytes(limit)}.`, { kind: "error" }); return; }
  try {
    const [first, ...others] = await Promise.all(all.map(keep));
    findLike({ upload: first });
    for (const other of others) addTerm(1, { upload: other });
  } catch (error) {
    complain(error);
  }
}

const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Let a person choose files. */
export function pickFiles() {
  const field = element("input", { type: "file", accept: "image/*", multiple: true });
  field.addEventListener("change", () => useFiles(field.files));
  field.click();
}

/** Take pictures that are dropped on the page, or pasted. */
export function takePictures() {
  const sign = find("drop");
  const hasFiles = (event) => [...event.dataTransfer.types].includes("Files");
  let inside = 0;
  const show = (isShown) => { inside = isShown ? inside : 0; sign.hidden = !isShown; };
  addEventListener("dragenter", (event) => { if (hasFiles(event)) { inside++; show(true); } });
  addEventListener("dragleave", () => { if (--inside <= 0) show(false); });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(false);
    useFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (files.length) { event.preventDefault(); useFiles(files); }
    else if (!target.closest?.("input, textarea")) notify("There is no picture in the clipboard.", { kind: "error" });
  });
}

