// Moving the map: by pointer, by two fingers, by wheel, and by keys.
const STEP = 80;
const CLICK = 6; // Pixels; a longer way is a drag.

/**
 * @param {HTMLCanvasElement} canvas
 * @param {any} map what can be done with it
 */
export function listenToMap(canvas, map) {
  const pointers = new Map();
  let way = 0, lasso = null;
  const placeOf = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, placeOf(event));
    way = 0;
    lasso = pointers.size === 1 && (map.isLassoing() || event.shiftKey) ? [placeOf(event)] : null;
    map.hover(null);
  };
  canvas.onpointermove = (event) => {
    const before = pointers.get(event.pointerId), now = placeOf(event);
    if (!before) { if (event.pointerType === "mouse") map.hover(...now); return; }
    way += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (lasso) { lasso.push(now); map.draft(lasso); }
    else if (pointers.size === 1) map.move(now[0] - before[0], now[1] - before[1]);
    else pinch(event.pointerId, before, now);
    pointers.set(event.pointerId, now);
  };
  function pinch(id, before, now) {
    const [, other] = [...pointers].find(([one]) => one !== id);
    const away = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
    map.zoomAt(away(now) / away(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const drawn = lasso;
    lasso = null;
    if (drawn && drawn.length > 3 && way > 3 * CLICK && event.type === "pointerup") map.select(drawn);
    else {
      if (drawn) map.unselect();
      if (way < CLICK && event.type === "pointerup") map.take(...placeOf(event));
    }
  };
  canvas.onpointerleave = () => map.hover(null);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    map.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...placeOf(event));
  }, { passive: false });
  canvas.onkeydown = (event) => {
    const acts = {
      ArrowLeft: () => map.move(STEP, 0), ArrowRight: () => map.move(-STEP, 0), ArrowUp: () => map.move(0, STEP), ArrowDown: () => map.move(0, -STEP),
      "+": () => map.zoomAt(1.5), "=": () => map.zoomAt(1.5), "-": () => map.zoomAt(1 / 1.5), 0: map.whole, Enter: map.middle,
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  };
}
