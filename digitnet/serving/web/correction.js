// Corrections of digits. The server keeps them if it was started with --corrections.

import { correct } from "/web/api.js";

let isKeeping = false;

export const keepCorrections = (on) => {
  isKeeping = on;
};

/**
 * Marks `digit` as `label`. If the server keeps corrections, sends it `picture`, or the `box` in it. Gives the
 * message for the user.
 */
export async function correctTo(digit, label, picture, box) {
  if (digit.corrected === label) return null;
  digit.corrected = label;
  if (!isKeeping) {
    return "Changed on this page only. To keep corrections, start digitnet serve with --corrections DIR.";
  }
  const kept = await correct(picture, label, box);
  return learnt(kept, "Kept") ?? `Kept as a ${label} in ${kept.file}`;
}

/** What the server learnt after a change that was `done`; null if it does not learn. */
export function learnt({ learned_from: count, reason }, done) {
  if (reason) return `${done}; not learnt yet: ${reason}`;
  return count === null ? null : `Learned from ${count} correction${count === 1 ? "" : "s"}`;
}
