// Corrections of digits. The server keeps them if it was started with --corrections.

import { correct, kept, relabel, remove } from "/web/api.js";
import { a } from "/web/words.js";

let isKeeping = false;
let changes = Promise.resolve(); // the last change of those that run or wait

export const keepCorrections = (on) => {
  isKeeping = on;
};

/**
 * Marks `digit` as `label`, or takes its mark back if that is undefined. If the server keeps corrections, it is told,
 * with the `picture` or the `box` in it. Gives the message for the user; what the server refused can be repeated.
 */
export function correctTo(digit, label, picture, box) {
  digit.corrected = label;
  if (!isKeeping) return label === undefined ? "Taken back" : HERE_ONLY;
  const change = changes.then(() => tellServer(digit, label, picture, box));
  changes = change.catch(() => {}); // the next change does not need this one
  return change;
}

const HERE_ONLY = "Changed on this page only. To keep corrections, start digitnet serve with --corrections DIR.";

/** One correction a digit is kept: a second label replaces the first. `digit.kept` is what the server has. */
async function tellServer(digit, label, picture, box) {
  if (digit.corrected !== label) return null; // another label was chosen while this one waited
  if (label === undefined) {
    const learned = digit.kept && (await unlessGone(remove(digit.kept)));
    digit.kept = null;
    return (learned && learnt(learned, "Taken back")) ?? "Taken back";
  }
  const relabelled = digit.kept && (await unlessGone(relabel(digit.kept, label)));
  const learned = relabelled ?? (await correct(picture, label, box));
  digit.kept = kept(learned.file);
  return learnt(learned, "Kept") ?? `Kept as ${a(label)} in ${learned.file}`;
}

/** The answer, or null if the correction was deleted elsewhere. */
async function unlessGone(answer) {
  try {
    return await answer;
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

/** What the server learnt after a change that was `done`; null if it does not learn. */
export function learnt({ learned_from: count, reason }, done) {
  if (reason) return `${done}; not learnt yet: ${reason}`;
  return count === null ? null : `Learned from ${count} correction${count === 1 ? "" : "s"}`;
}
