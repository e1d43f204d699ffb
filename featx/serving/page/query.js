// What the pictures look like: the picture itself, a part of it, and what is added and subtracted.
import { decisionButtons, tagList } from "./actions.js";
import { complain } from "./announce.js";
import { address, ask } from "./api.js";
import { cropping } from "./crop.js";
import { button, element, fill, keepingFocus, name, percent } from "./dom.js";
import { onNotes } from "./notes.js";
import { dropTerm, findLike, go, isWeight, onState, same, state, weigh } from "./state.js";
import { askAbout, recall } from "./uploads.js";
import { openViewer, picture } from "./viewer.js";

const MOST_CLASSES = 5;
/** The question of a state, as the server takes it, and the uploads that it refers to. */
export function questionOf({ like, terms, crop }) {
  const uploads = [], question = { add: [], subtract: [] };
  const refer = (one) => {
    if ("key" in one) return { key: one.key };
    if (!uploads.includes(one.upload)) uploads.push(one.upload);
    return { upload: uploads.indexOf(one.upload) };
  };
  if ("key" in like) question.keys = [like.key];
  else uploads.push(like.upload);
  if (crop) question.crop = crop;
  for (const { sign, picture: one, weight } of terms) question[sign > 0 ? "add" : "subtract"].push({ ...refer(one), weight });
  return { question, uploads };
}

/** The panel of the query. @param {{head: any}} store what is served */
export function queryPanel(store) {
  const panel = element("section", { class: "query", "aria-label": "Query", hidden: true });
  let item = null, predictions = null, shown = null, isMissing = false;

  async function read() {
    const like = state.like;
    item = predictions = null;
    isMissing = false;
    draw();
    try {
      if ("key" in like) {
        const found = await ask(address("items", like.key));
        if (!same(like, state.like)) return;
        [item, predictions] = [found, found.prediction];
      } else if (store.head) {
        const { results } = await askAbout("/predict", { top: MOST_CLASSES }, [like.upload]);
        if (!same(like, state.like)) return;
        predictions = results[0] && asPrediction(results[0]);
      }
    } catch (error) {
      if (!same(like, state.like)) return;
      isMissing = error.status === 404; // The list tells so, and what is wrong with an upload.
      if ("key" in like && !isMissing) complain(error);
    }
    drawAbout();
  }

  function draw() {
    panel.hidden = !state.like;
    if (!state.like) return;
    const like = state.like, stage = element("div", { class: "stage" });
    shown = like;
    fill(panel,
      element("div", { class: "query-head" }, element("h2", {}, "Looks like"), button({ icon: "close", label: "End this search", key: "Esc", class: "bare" }, () => go({ like: null, terms: [] }))),
      element("div", { class: "query-picture" }, stage, element("div", { class: "crop-tools" })),
      element("div", { class: "query-terms" }),
      element("div", { class: "query-about" }));
    showPicture(stage, like).catch(() => fill(stage, element("span", { class: "none" }, "no picture")));
    drawCrop();
    drawTerms();
    drawAbout();
  }

  async function showPicture(stage, like) {
    if ("key" in like) { stage.prepend(picture(like.key, like.key)); return; }
    const { url, name: title } = await recall(like.upload);
    const image = element("img", { alt: title, src: url, draggable: "false" });
    image.addEventListener("error", () => fill(stage, element("span", { class: "none" }, "no preview")));
    stage.prepend(image);
  }

  function drawCrop() {
    const stage = panel.querySelector(".stage");
    const large = () => "key" in state.like && openViewer(item || { key: state.like.key });
    const crop = cropping(stage, state.crop, (value) => go({ crop: value }), large);
    fill(panel.querySelector(".crop-tools"),
      state.crop ? button({ icon: "close", text: "Whole picture", class: "quiet" }, () => go({ crop: "" })) : button({ icon: "crop", text: "Choose a part", class: "quiet" }, () => crop.start()),
      "key" in state.like && button({ icon: "view", text: "View large", class: "quiet" }, large));
  }

  function drawTerms() {
    const rows = state.terms.map(({ sign, picture: one, weight }) => {
      const label = "key" in one ? one.key : "a picture that was sent";
      const image = element("img", { alt: "", src: "key" in one ? address("thumbnails", one.key) : null });
      if (!("key" in one)) recall(one.upload).then(({ url }) => { image.src = url; }, () => {});
      return element("li", { class: sign > 0 ? "term plus" : "term minus" },
        element("span", { class: "sign", "aria-label": sign > 0 ? "plus" : "minus" }, sign > 0 ? "+" : "−"),
        element("button", { type: "button", class: "bare", "aria-label": `Look like ${label} alone`, on: { click: () => findLike(one) } }, image),
        name(label.split("/").at(-1), { class: "term-name", title: label }),
        weightField(one, label, weight),
        button({ icon: "close", label: `Leave ${label} out`, class: "bare" }, () => dropTerm(one)));
    });
    fill(panel.querySelector(".query-terms"), rows.length > 0 && element("ul", { "aria-label": "Added and subtracted" }, rows));
  }

  function drawAbout() {
    const about = panel.querySelector(".query-about");
    if (!about || !state.like) return;
    const key = "key" in state.like ? state.like.key : null;
    fill(about,
      key && element("p", { class: "query-name" }, name(key)),
      item && facts(item),
      predictions && predictionBars(predictions, item?.label, store.head),
      key && !isMissing && [decisionButtons({ key }), tagList({ key })]);
  }

  onState((now, before) => {
    if (!same(now.like, shown) || !now.like) { shown = null; if (now.like) read(); else draw(); return; }
    if (now.crop !== before.crop) drawCrop();
    if (!same(now.terms, before.terms)) keepingFocus(panel.querySelector(".query-terms"), drawTerms);
  });
  onNotes(() => keepingFocus(panel, drawAbout));
  if (state.like) read();
  return panel;
}

/** How much a picture counts. */
function weightField(picture, label, weight) {
  const field = element("input", { type: "number", class: "weight", min: 0.1, max: 1000, step: "any", value: weight, "aria-label": `Weight of ${label}`, title: "How much it counts" });
  field.addEventListener("change", () => {
    const value = Number(field.value);
    if (isWeight(value)) weigh(picture, value); else field.value = weight;
  });
  return field;
}

/** Class, split and columns of a picture. */
function facts(item) {
  const rows = [["class", item.label], ["split", item.split], ...Object.entries(item.columns || {})];
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length > 0 && element("dl", { class: "facts" }, known.map(([term, value]) => [element("dt", {}, name(term)), element("dd", {}, name(String(value)))]));
}

/** A result of /predict in the form that /items has. */
export function asPrediction(result) {
  const [first] = result.predictions || [];
  if (!first) return null;
  if ("class" in first) return { classes: result.predictions.map((one) => ({ class: one.class, probability: one.probability })) };
  return "labels" in first ? { labels: first.labels } : { number: first.number };
}

/** What the head says, with how probable it is. */
function predictionBars(said, label, head) {
  const who = head?.name ? element("h3", {}, "The head “", name(head.name), "” says") : element("h3", {}, "The head says");
  if (said.number !== undefined) return element("div", { class: "bars" }, who, element("p", { class: "says-number" }, head?.columns?.length > 0 && [name(head.columns.join(", ")), " "], element("strong", {}, said.number.toPrecision(4))));
  const pairs = said.classes ? said.classes.map((one) => [one.class, one.probability]) : Object.entries(said.labels || {}).sort((a, b) => b[1] - a[1]);
  return element("div", { class: "bars" },
    who,
    element("ul", {}, pairs.slice(0, MOST_CLASSES).map(([one, share]) => {
      const bar = element("span", { class: "bar" });
      bar.style.inlineSize = `${Math.max(0.5, 100 * share)}%`;
      return element("li", { class: one === label ? "is-label" : null }, name(one, { class: "bar-name" }), element("span", { class: "track" }, bar), element("span", { class: "bar-share" }, percent(share)));
    })));
}
