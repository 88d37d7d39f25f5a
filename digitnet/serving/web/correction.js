// What the user says a digit is: kept where the server was started to keep it.

import { correct } from "/web/api.js";

let kept = false;

export const keepCorrections = (on) => {
  kept = on;
};

/**
 * Marks `digit` as `label` and, where that is wanted, keeps `picture`, or its `box`; gives what the user is told.
 */
export async function correctTo(digit, label, picture, box) {
  if (digit.corrected === label) return null;
  digit.corrected = label;
  if (!kept) {
    return "Changed here only, nothing is kept. To keep corrections, start digitnet serve with --corrections DIR.";
  }
  const { file } = await correct(picture, label, box);
  return `Kept as a ${label} in ${file}`;
}
