// A line that is drawn around pictures of a map, on the page of a file and on that of a server.

/**
 * Draw it, closed.
 * @param {CanvasRenderingContext2D} context
 * @param {[number, number][]} corners in pixels
 * @param {string} ink
 */
export function drawLasso(context, corners, ink) {
  context.beginPath();
  corners.forEach(([x, y], number) => number ? context.lineTo(x, y) : context.moveTo(x, y));
  context.closePath();
  context.globalAlpha = 0.1;
  context.fillStyle = ink;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.setLineDash([6, 4]);
  context.stroke();
  context.setLineDash([]);
}

/** Whether a place is inside: even-odd rule. @param {[number, number][]} corners */
export function isInside(x, y, corners) {
  let is = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [xi, yi] = corners[i], [xj, yj] = corners[j];
    if ((yi > y) !== (yj > y) && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) is = !is;
  }
  return is;
}
