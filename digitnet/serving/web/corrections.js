// The Corrections tab: shows what the server keeps, the last one first, to relabel and to delete.

import { correct, corrections, pictureOf, relabel, remove } from "/web/api.js";
import { learnt } from "/web/correction.js";
import { find, make, tell } from "/web/element.js";
import { a } from "/web/words.js";

const pictures = new Map(); // by file: what `pictureOf` promised
const watcher = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((entry) => entry.isIntersecting)) load(target);
});

let kept = []; // the last correction first
let chosen = null; // one of `kept`
let changes = Promise.resolve(); // the last one of those that run or wait
let undo = null; // takes the last change back: its work and what was done then

const list = find("corrections-list");
const digits = [...Array(10).keys()].map((label) =>
  make("button", { "aria-label": `It is ${a(label)}`, onclick: () => relabelTo(label) }, String(label)),
);
find("corrections-digits").append(...digits);
find("corrections-delete").addEventListener("click", () => discard(chosen, true));
find("corrections-undo").addEventListener("click", () => discard(kept[0]));
find("corrections-restore").addEventListener("click", async () => {
  await change(undo.work, undo.done);
  choose(chosen ?? kept[0], true); // the button is gone, and with it the focus
});
list.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !chosen) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
  if (step) choose(kept[kept.indexOf(chosen) + step], true);
  else if (/^\d$/.test(event.key)) relabelTo(Number(event.key));
  else if (event.key === "Delete" || event.key === "Backspace") discard(chosen, true);
  else return;
  event.preventDefault();
});

/** How many pictures stand in a row. */
const columns = () => [...list.children].filter((item) => item.offsetTop === list.firstChild.offsetTop).length;

export async function showCorrections() {
  try {
    kept = (await corrections()).reverse();
  } catch (problem) {
    say(problem.message);
    return;
  }
  for (const file of pictures.keys()) if (!kept.some((one) => one.file === file)) pictures.delete(file);
  chosen = kept.find((one) => one.file === chosen?.file) ?? null;
  const hadFocus = list.contains(document.activeElement);
  watcher.disconnect();
  list.replaceChildren(...kept.map(item));
  find("corrections-count").textContent = kept.length ? `${kept.length} kept` : "No corrections yet";
  find("corrections-undo").disabled = !kept.length;
  mark();
  if (hadFocus) choose(chosen, true);
}

function item(correction) {
  const { file, label, time } = correction;
  const image = make("img", { alt: "", "data-file": file });
  watcher.observe(image);
  const when = time ? `, kept ${new Date(time).toLocaleString()}` : "";
  const events = { onclick: () => choose(correction), onfocus: () => choose(correction) };
  return make("li", {}, make("button", { "aria-label": `${label}${when}`, ...events }, image, String(label)));
}

/** Gives an image its picture, which is fetched once. */
async function load(image) {
  watcher.unobserve(image);
  const correction = kept.find((one) => one.file === image.dataset.file);
  if (!correction) return;
  try {
    const url = URL.createObjectURL(await fetched(correction));
    image.onload = () => URL.revokeObjectURL(url);
    image.src = url;
  } catch {
    image.alt = "No picture";
  }
}

function fetched(correction) {
  if (!pictures.has(correction.file)) pictures.set(correction.file, pictureOf(correction));
  return pictures.get(correction.file);
}

function choose(correction, focus = false) {
  if (!correction) return;
  chosen = correction;
  mark();
  if (focus) list.children[kept.indexOf(chosen)].firstChild.focus();
}

/** Shows which correction is chosen. Only one can be reached with Tab; the arrow keys reach the others. */
function mark() {
  [...list.children].forEach(({ firstChild: button }, index) => {
    button.setAttribute("aria-pressed", kept[index] === chosen);
    button.tabIndex = kept[index] === (chosen ?? kept[0]) ? 0 : -1;
  });
  digits.forEach((button, label) => button.setAttribute("aria-pressed", chosen?.label === label));
  find("corrections-panel").disabled = !chosen;
  find("corrections-chosen").textContent = chosen ? `This is kept as ${a(chosen.label)}. Wrong?` : "Choose a picture";
}

async function relabelTo(label) {
  const correction = chosen;
  const before = correction.label;
  if (before === label) return;
  const back = { work: () => relabel(correction, before), done: `Changed back to ${a(before)}` };
  await change(() => relabel(correction, label), `Changed to ${a(label)}`, back);
}

/** Deletes a correction; `focus` goes to the one after it. */
async function discard(correction, focus = false) {
  if (correction.isLeaving) return; // a second press of the key
  correction.isLeaving = true;
  const index = kept.indexOf(correction);
  const { label } = correction;
  const picture = await fetched(correction).catch(() => null); // what has no picture any more cannot come back
  const restore = async () => {
    const told = await correct(picture, label);
    chosen = { file: told.file };
    return told;
  };
  await change(() => remove(correction), `Deleted ${a(label)}`, picture && { work: restore, done: `Restored ${a(label)}` });
  choose(kept[Math.min(index, kept.length - 1)], focus);
}

/** Shows the corrections after a change, and what the server learnt from them. Changes wait for each other. */
function change(work, done, back = null) {
  changes = changes.then(() => changeNow(work, done, back));
  return changes;
}

async function changeNow(work, done, back) {
  try {
    const learned = learnt(await work(), done);
    undo = back;
    say(learned?.startsWith(done) ? learned : [done, learned].filter(Boolean).join(". "));
  } catch (problem) {
    say(problem.message);
  }
  await showCorrections();
}

function say(text) {
  tell(find("corrections-told"), text);
  find("corrections-restore").hidden = !undo;
}
