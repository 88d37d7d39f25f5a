// Corrections of digits. The server keeps them if it was started with --corrections.

import { correct } from "/web/api.js";

let kept = false;

export const keepCorrections = (on) => {
  kept = on;
};

/**
 * Marks `digit` as `label`. If the server keeps corrections, sends it `picture`, or the `box` in it. Gives the
 * message for the user.
 */
export async function correctTo(digit, label, picture, box) {
  if (digit.corrected === label) return null;
  digit.corrected = label;
  if (!kept) {
    return "Changed on this page only. To keep corrections, start digitnet serve with --corrections DIR.";
  }
  const { file } = await correct(picture, label, box);
  return `Kept as a ${label} in ${file}`;
}
