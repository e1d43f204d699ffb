// What is shown, as the address of the page says it: it can be shared, and "back" works.

/**
 * A picture: one of the store, or one that was sent, which only this browser has.
 * @typedef {{key: string} | {upload: string}} Picture
 *
 * @typedef {{sign: 1 | -1, picture: Picture, weight: number}} Term
 *
 * @typedef {Object} Filters
 * @property {string[]} label
 * @property {string[]} with_label one of several labels
 * @property {string[]} split
 * @property {string[]} path
 * @property {string[]} tag
 * @property {string[]} decision
 * @property {string[]} cluster
 * @property {string} lasso polygon on the map: x,y,x,y,...
 * @property {string} where a condition on columns
 * @property {Object<string, string[]>} has column: one of these values
 * @property {Object<string, string>} from column: at least
 * @property {Object<string, string>} to column: at most
 *
 * @typedef {Object} State
 * @property {"pictures" | "map" | "duplicates" | "findings"} view
 * @property {Picture | null} like what the pictures look like
 * @property {Term[]} terms what is added and subtracted
 * @property {string} crop X,Y,W,H of the query, in per cent
 * @property {boolean} regions whether to show where matches match
 * @property {string} kind of findings
 * @property {Filters} filters
 */

export const LISTS = ["label", "with_label", "split", "path", "tag", "decision", "cluster"];
const TEXTS = ["lasso", "where"];
const SIGNS = /** @type {const} */ ({ add: 1, subtract: -1 });
const listeners = new Set();

/** @returns {Filters} */
export const noFilters = () => ({ label: [], with_label: [], split: [], path: [], tag: [], decision: [], cluster: [], lasso: "", where: "", has: {}, from: {}, to: {} });

/** @param {string} search @returns {State} */
export function read(search) {
  const query = new URLSearchParams(search), filters = noFilters();
  for (const name of LISTS) filters[name] = query.getAll(name);
  for (const name of TEXTS) filters[name] = query.get(name) || "";
  for (const [name, value] of query) {
    const [, how, column] = /^(has|from|to):(.*)$/s.exec(name) || [];
    if (how === "has") (filters.has[column] ??= []).push(value);
    else if (how) filters[how][column] = value;
  }
  const view = query.get("view");
  return {
    view: ["map", "duplicates", "findings"].includes(view) ? /** @type {any} */ (view) : "pictures",
    like: pictures(query, "like")[0] || null,
    terms: readTerms(query), filters,
    crop: query.get("crop") || "",
    regions: query.has("regions"),
    kind: query.get("kind") || "",
  };
}

/** What is added and subtracted: "add=KEY", "subtract:0.5=KEY", "add-upload:2=NAME". */
function readTerms(query) {
  const terms = [];
  for (const [name, value] of query) {
    const [found, which, upload, weight = "1"] = /^(add|subtract)(-upload)?(?::([\d.e-]+))?$/.exec(name) || [];
    if (found && isWeight(Number(weight))) terms.push({ sign: SIGNS[which], picture: upload ? { upload: value } : { key: value }, weight: Number(weight) });
  }
  return terms;
}

/** Whether the server takes a weight. */
export const isWeight = (weight) => weight > 0 && weight <= 1000;

const pictures = (query, name) => [
  ...query.getAll(name).map((key) => ({ key })),
  ...query.getAll(`${name}-upload`).map((upload) => ({ upload })),
];

/** @param {State} state */
export function write(state) {
  const query = new URLSearchParams();
  const add = (name, picture, weight = 1) => {
    const how = weight === 1 ? "" : `:${weight}`;
    return "key" in picture ? query.append(`${name}${how}`, picture.key) : query.append(`${name}-upload${how}`, picture.upload);
  };
  if (state.view !== "pictures") query.set("view", state.view);
  if (state.like) add("like", state.like);
  for (const { sign, picture, weight } of state.terms) add(sign > 0 ? "add" : "subtract", picture, weight);
  if (state.crop && state.like) query.set("crop", state.crop);
  if (state.regions) query.set("regions", "");
  if (state.kind) query.set("kind", state.kind);
  for (const name of LISTS) for (const value of state.filters[name]) query.append(name, value);
  for (const name of TEXTS) if (state.filters[name]) query.set(name, state.filters[name]);
  for (const [column, values] of Object.entries(state.filters.has)) for (const value of values) query.append(`has:${column}`, value);
  for (const how of ["from", "to"]) for (const [column, value] of Object.entries(state.filters[how])) if (value !== "") query.set(`${how}:${column}`, value);
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

/** The state now. @type {State} */
export let state = read(location.search);

/** Call a function with each new state, and the one before. */
export function onState(listener) { listeners.add(listener); }

/**
 * Go to another state.
 * @param {Partial<State>} change
 * @param {{replace?: boolean}} [options] replace: without a step that "back" would undo
 */
export function go(change, { replace = false } = {}) {
  const next = { ...state, ...change };
  if (next.like === null || next.like !== state.like) if (!("crop" in change)) next.crop = "";
  const where = write(next);
  if (where === write(state)) return;
  history[replace ? "replaceState" : "pushState"]({}, "", where);
  become(next);
}

/** Change filters only. @param {Partial<Filters>} change */
export function filter(change, options) { go({ filters: { ...state.filters, ...change } }, options); }

/** Remember in this step of the history how far the list was scrolled. */
export function remember(index) { history.replaceState({ ...history.state, index }, ""); }

function become(next) {
  const before = state;
  state = next;
  for (const listener of listeners) listener(state, before);
}

addEventListener("popstate", () => become(read(location.search)));

/** Look like this picture, and nothing else. @param {Picture} picture */
export function findLike(picture) {
  const view = state.view === "map" ? "map" : "pictures";
  go({ view, like: picture, terms: [] });
}

/** Add or subtract a picture; the first one added is what to look like. */
export function addTerm(sign, picture) {
  const view = state.view === "map" ? "map" : "pictures";
  if (!state.like && sign > 0) return findLike(picture);
  const others = state.terms.filter((term) => !same(term.picture, picture));
  go({ view, terms: [...others, { sign, picture, weight: 1 }] });
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Let a picture count more or less. */
export function weigh(picture, weight) {
  go({ terms: state.terms.map((term) => (same(term.picture, picture) ? { ...term, weight } : term)) });
}

/** Leave one picture out of the query. */
export function dropTerm(picture) {
  if (state.like && same(state.like, picture)) {
    const next = state.terms.find((term) => term.sign > 0);
    go({ like: next?.picture || null, terms: next ? state.terms.filter((term) => term !== next) : [] });
  } else go({ terms: state.terms.filter((term) => !same(term.picture, picture)) });
}

/** Filters as fields of a question. @param {Filters} filters */
export function asFields(filters) {
  const fields = {};
  for (const name of LISTS) if (filters[name].length) fields[name] = filters[name];
  if (filters.cluster.length) fields.cluster = filters.cluster.map(Number);
  if (filters.lasso) fields.lasso = filters.lasso;
  const condition = asCondition(filters);
  if (condition) fields.where_column = condition;
  return fields;
}

/** Filters as a query string, with more fields. */
export function asQuery(filters, more = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...asFields(filters), ...more })) for (const one of [value].flat()) query.append(name, String(one));
  return query.toString();
}

/** Filters on columns as the condition that the server reads. */
function asCondition({ has, from, to, where }) {
  const parts = where.trim() ? [`(${where})`] : [];
  for (const [column, values] of Object.entries(has)) if (values.length) parts.push(`${quoted(column)} in (${values.map(literal).join(", ")},)`);
  for (const [column, value] of Object.entries(from)) if (value !== "") parts.push(`${quoted(column)} >= ${value}`);
  for (const [column, value] of Object.entries(to)) if (value !== "") parts.push(`${quoted(column)} <= ${value}`);
  return parts.join(" and ");
}

const quoted = (column) => (/^[A-Za-z_]\w*$/.test(column) ? column : `\`${column}\``);
const literal = (value) => {
  if (value === "true" || value === "false") return value === "true" ? "True" : "False";
  return JSON.stringify(value);
};

/** How many filters are set. @param {Filters} filters */
export function countFilters(filters) {
  const lists = LISTS.reduce((sum, name) => sum + filters[name].length, 0);
  const columns = Object.values(filters.has).reduce((sum, values) => sum + values.length, 0);
  const bounds = [filters.from, filters.to].reduce((sum, one) => sum + Object.values(one).filter((value) => value !== "").length, 0);
  return lists + columns + bounds + TEXTS.filter((name) => filters[name]).length;
}
