// Pictures in the browser: cut, turned, and with their readings drawn in.

import { guess, isAbstained } from "/web/words.js";

const MARGIN = 1.5; // of a box's longer side; whole neighbours help to read a digit
const MOST_PIXELS = 4096; // of a turned picture's longer side
const QUALITY = 0.95; // of a JPEG
const [SURE, UNSURE] = ["#0a64d8", "#b93c0a"];

/** The upright picture in a file; null if this browser cannot show its format. */
export const decoded = (file) => createImageBitmap(file).catch(() => null);

/** A `box` [x, y, w, h] of a picture with some of its surroundings, as a file; and where that is in the picture. */
export async function cut(bitmap, [x, y, width, height]) {
  const margin = Math.round(MARGIN * Math.max(width, height));
  const [left, top] = [Math.max(0, x - margin), Math.max(0, y - margin)];
  const [right, bottom] = [Math.min(bitmap.width, x + width + margin), Math.min(bitmap.height, y + height + margin)];
  const canvas = new OffscreenCanvas(right - left, bottom - top);
  canvas.getContext("2d").drawImage(bitmap, -left, -top);
  return { left, top, part: await canvas.convertToBlob() };
}

/** A picture after a quarter turn to the right, as a file of that name. */
export async function turned(bitmap, name) {
  const scale = Math.min(1, MOST_PIXELS / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.height * scale), Math.round(bitmap.width * scale));
  const context = canvas.getContext("2d");
  context.translate(canvas.width, 0);
  context.rotate(Math.PI / 2);
  context.drawImage(bitmap, 0, 0, canvas.height, canvas.width);
  return new File([await jpeg(canvas)], name, { type: "image/jpeg" });
}

/** A picture with a box around each digit, as a JPEG. */
export function annotated(bitmap, digits) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  context.lineJoin = "round";
  for (const digit of digits) {
    const [x, y, width, height] = digit.box;
    const size = Math.max(13, 0.45 * height);
    context.strokeStyle = context.fillStyle = isAbstained(digit) ? UNSURE : SURE;
    context.lineWidth = Math.max(1, size / 12);
    context.strokeRect(x, y, width, height);
    context.font = `bold ${size}px sans-serif`;
    context.strokeStyle = "white";
    context.lineWidth = size / 5;
    const place = [guess(digit), x, Math.max(y - 0.2 * size, 0.85 * size)];
    context.strokeText(...place);
    context.fillText(...place);
  }
  return jpeg(canvas);
}

const jpeg = (canvas) => canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
