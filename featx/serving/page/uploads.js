// Pictures that were sent. They stay in this browser, so that "back" and a reload find them again.
import { request, Refusal } from "./api.js";

const MOST_KEPT = 50;
/** @type {Map<string, {file: Blob, name: string, url: string}>} */
const known = new Map();

function openBase() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("featx-uploads", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("files");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

async function inBase(mode, act) {
  const base = await openBase();
  return new Promise((resolve, reject) => {
    const change = base.transaction("files", mode), asked = act(change.objectStore("files"));
    change.oncomplete = () => resolve(asked?.result);
    change.onerror = change.onabort = () => reject(change.error);
  }).finally(() => base.close());
}

/** Keep a picture; returns its name in addresses. @param {Blob & {name?: string}} file */
export async function keep(file) {
  const id = Date.now().toString(36) + Math.random().toString(36).slice(2, 8);
  const title = file.name || "pasted picture";
  known.set(id, { file, name: title, url: URL.createObjectURL(file) });
  try {
    await inBase("readwrite", (files) => {
      files.put({ file, name: title }, id);
      const keys = files.getAllKeys(); // They begin with the time.
      keys.onsuccess = () => keys.result.slice(0, -MOST_KEPT).forEach((old) => files.delete(old));
    });
  } catch {
    // Without a base, as in a private window, it is kept until the page is closed.
  }
  return id;
}

/** Return a picture that was sent. */
export async function recall(id) {
  if (!known.has(id)) {
    const found = await inBase("readonly", (files) => files.get(id)).catch(() => undefined);
    if (!found) throw new Refusal(0, "This address asks for a picture that was sent from another browser. Choose it again.");
    known.set(id, { ...found, url: URL.createObjectURL(found.file) });
  }
  return known.get(id);
}

/**
 * Ask a question about pictures, some of which may have been sent.
 * @param {string} route
 * @param {Object} question
 * @param {string[]} ids of uploads, in the order of their numbers
 * @param {AbortSignal} [signal]
 */
export async function askAbout(route, question, ids, signal) {
  let options = { body: question, signal };
  if (ids.length) {
    const form = new FormData();
    for (const id of ids) {
      const { file, name } = await recall(id);
      form.append("picture", file, name);
    }
    form.append("question", JSON.stringify(question));
    options = { form, signal };
  }
  const response = await request(route, options);
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, value.error || `The server answers with ${response.status}.`);
  if (value.failures?.length) throw new Refusal(422, `${value.failures[0].key} cannot be used: ${value.failures[0].reason}.`);
  return value;
}
