// A part of a picture, chosen by dragging over it, or with the keyboard.
import { element } from "./dom.js";

const LEAST = 4; // Per cent of a side; less is a click.
const STEP = 2;

/** "10%,20%,30%,40%" as numbers. @returns {number[] | null} */
function parseCrop(text) {
  const numbers = text.split(",").map((part) => Number(part.replace("%", "")));
  return numbers.length === 4 && numbers.every((one) => Number.isFinite(one)) ? numbers : null;
}

/** @param {number[]} box */
const writeCrop = (box) => box.map((one) => `${Number(one.toFixed(1))}%`).join(",");

/**
 * Let a person choose a part of the picture in an element.
 * @param {HTMLElement} stage has the size of the picture
 * @param {string} now the part that is chosen, or ""
 * @param {(crop: string) => void} onCrop
 * @param {() => void} onClick
 * @returns {{start: () => void}} begins with the keyboard
 */
export function cropping(stage, now, onCrop, onClick) {
  let box = parseCrop(now), from = null, moved = null, drawn = null;
  stage.querySelectorAll(".crop").forEach((one) => one.remove());
  const frame = element("div", { class: "crop", role: "application", tabindex: box ? 0 : -1, hidden: !box, "aria-label": "Part of the picture: arrows move it, with Shift they change its size, Enter takes it, Escape leaves it" });
  const place = () => {
    frame.hidden = !box;
    if (!box) return;
    for (const [side, value] of [["left", box[0]], ["top", box[1]], ["width", box[2]], ["height", box[3]]]) frame.style[side] = `${value}%`;
  };
  const at = (event) => {
    const area = stage.getBoundingClientRect();
    const share = (value, size) => Math.max(0, Math.min(100, (100 * value) / size));
    return [share(event.clientX - area.left, area.width), share(event.clientY - area.top, area.height)];
  };
  stage.onpointerdown = (event) => {
    if (event.button) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    from = at(event);
    moved = event.target === frame && box ? [...box] : null;
    drawn = null;
  };
  stage.onpointermove = (event) => {
    if (!from) return;
    const to = at(event), [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    if (!drawn && Math.max(Math.abs(dx), Math.abs(dy)) < LEAST / 2) return;
    drawn = moved
      ? [limit(moved[0] + dx, 100 - moved[2]), limit(moved[1] + dy, 100 - moved[3]), moved[2], moved[3]]
      : [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(dx), Math.abs(dy)];
    box = drawn;
    place();
  };
  stage.onpointerup = stage.onpointercancel = (event) => {
    const was = drawn;
    from = drawn = null;
    if (was && was[2] >= LEAST && was[3] >= LEAST && event.type === "pointerup") onCrop(writeCrop(was));
    else {
      box = parseCrop(now);
      place();
      if (!was && event.type === "pointerup") onClick();
    }
  };
  frame.onkeydown = (event) => {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (event.key === "Enter") onCrop(writeCrop(box));
    else if (event.key === "Escape") { box = parseCrop(now); place(); }
    else if (step && event.shiftKey) box = [box[0], box[1], Math.max(LEAST, limit(box[2] + step[0], 100 - box[0])), Math.max(LEAST, limit(box[3] + step[1], 100 - box[1]))];
    else if (step) box = [limit(box[0] + step[0], 100 - box[2]), limit(box[1] + step[1], 100 - box[3]), box[2], box[3]];
    else return;
    event.preventDefault();
    event.stopPropagation();
    place();
  };
  stage.append(frame);
  place();
  return {
    start() {
      box ??= [25, 25, 50, 50];
      place();
      frame.tabIndex = 0;
      frame.focus();
    },
  };
}

const limit = (value, most) => Math.max(0, Math.min(most, value));
