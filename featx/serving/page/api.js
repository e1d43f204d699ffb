// Questions to the server: answers as values, errors in its words.
import { login } from "./login.js";

const MOST_TRIES = 6;
const listeners = new Set();
let version = "";

/** An answer that is an error; its message is the server's sentence. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Call a function when the server has read a new version of its files. */
export function onVersion(listener) { listeners.add(listener); }

/** A key as a part of an address. */
export const address = (route, key) => `/${route}/${key.split("/").map(encodeURIComponent).join("/")}`;

/**
 * Ask, and ask again while the server says that it is busy.
 * @param {string} path
 * @param {{body?: any, form?: FormData, signal?: AbortSignal, headers?: Object<string, string>}} [options]
 * @returns {Promise<Response>}
 */
export async function request(path, { body, form, signal, headers = {} } = {}) {
  const options = { signal, headers: { ...headers }, method: body || form ? "POST" : "GET", body: form };
  if (body) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  for (let tries = 1; ; tries++) {
    const response = await reach(path, options);
    if (response.status === 401) await login();
    else if ((response.status === 429 || response.status === 503) && tries < MOST_TRIES && response.headers.has("Retry-After")) {
      await rest(1000 * Number(response.headers.get("Retry-After")) || 1000, signal);
    } else return notice(response);
  }
}

/** Ask for JSON; a refusal is thrown. */
export async function ask(path, options) {
  const response = await request(path, options);
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, value.error || `The server answers with ${response.status}.`);
  return value;
}

/**
 * Ask for something that takes its time to be made, until it is there.
 * @param {string} path
 * @param {{signal?: AbortSignal, onWait?: (progress: Progress) => void}} [options] onWait: is told how far it is
 *
 * @typedef {{stage: string, seconds: number, done?: number, total?: number, remarks?: string[]}} Progress
 */
export async function askUntilReady(path, { signal, onWait } = {}) {
  for (;;) {
    const value = await ask(path, { signal });
    if (value.state !== "computing") return value;
    onWait?.(value);
    await rest(1000, signal);
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer. Is featx serve still running?");
  }
}

function notice(response) {
  const now = response.headers.get("Featx-Version");
  if (now && response.ok) {
    const changed = version && now !== version;
    version = now;
    if (changed) for (const listener of listeners) listener();
  }
  return response;
}

/** Wait, or throw when it is given up. */
export function rest(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("given up", "AbortError")); });
  });
}
