// The token, where the server wants one.
import { element, fill } from "./dom.js";

/** @type {Promise<void> | null} */
let waiting = null;

/** Ask for the token; resolves when the server has taken it. All questions that wait share one form. */
export function login() {
  waiting ??= show().finally(() => { waiting = null; });
  return waiting;
}

function show() {
  const field = element("input", { type: "password", id: "token", autocomplete: "current-password", required: true, autofocus: true });
  const problem = element("p", { class: "wrong", role: "alert" });
  const form = element(
    "form", { class: "login" },
    element("h2", { id: "login-title" }, "This server needs a token"),
    element("p", { class: "soft" }, "It is in the file that the server was started with: --token-file."),
    element("label", { for: "token" }, "Token"), field, problem,
    element("button", { class: "primary" }, "Log in"),
  );
  const dialog = element("dialog", { class: "dialog", "aria-labelledby": "login-title", on: { cancel: (event) => event.preventDefault() } }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      fill(problem);
      try {
        const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: field.value }) };
        const response = await fetch("/login", options);
        if (response.ok) { dialog.close(); dialog.remove(); resolve(); return; }
        const said = await response.json().catch(() => ({}));
        fill(problem, said.error || "The server does not take this token.");
      } catch {
        fill(problem, "The server does not answer.");
      }
      field.select();
    });
  });
}
