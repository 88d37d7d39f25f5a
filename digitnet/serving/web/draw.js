// The Draw tab: reads the drawing while the user draws.

import { predict, read } from "/web/api.js";
import { Answer } from "/web/answer.js";
import { copy } from "/web/copy.js";
import { correctTo } from "/web/correction.js";
import { announce, find, make } from "/web/element.js";
import { remember } from "/web/session.js";
import { hasConstraints, onSettings } from "/web/settings.js";
import { Sheet } from "/web/sheet.js";
import { characters, guess, isAbstained, lineText, mark, verdict } from "/web/words.js";

const WIDE = 1.25; // width / height; a wider drawing is more likely a number
const SHEET_WIDTH = 140; // pixels of the whole sheet if it is read as one digit
const NUMBER_HEIGHT = 40; // pixels of a number in its picture; higher numbers are rejected more often
const NUMBER_WIDTH = 560; // pixels of that picture at most
const AROUND = 0.5; // of its height; margin around a number
const PAUSE = 120; // milliseconds between two readings during a stroke
const MAYBE_SEVERAL = new Set(["more than one digit", "not a digit"]);
const WAITING = "Draw a digit or a number. It is read while you draw.";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

let lines = null; // the reading of the drawing; one digit is a line with one digit
let chosen = null; // the digit in the panel
let isSettled = false; // whether the user corrected a digit after the last stroke
let wanted = null; // the next reading, asked for while another one runs
let isReading = false;
let lastAsked = 0;
let drawing = Symbol(); // what the session's list calls the drawing

const sheet = new Sheet(find("sheet"), (ended) => {
  isSettled = false;
  find("undo").disabled = !sheet.canUndo;
  find("redo").disabled = !sheet.canRedo;
  find("clear").disabled = sheet.isEmpty;
  find("draw-hint").hidden = !sheet.isEmpty;
  if (sheet.isEmpty) return forget();
  answer.isStale = lines !== null;
  announce("");
  if (ended || performance.now() - lastAsked > PAUSE) ask(ended);
});

const answer = new Answer(find("draw-answer"), (digit, label) => {
  isSettled = true;
  const told = correctTo(digit, label, wholeSheet(), digit.place);
  show();
  note(drawing, sheet.strokes);
  return told;
});
answer.show(null, [], WAITING);

find("undo").addEventListener("click", () => sheet.undo());
find("redo").addEventListener("click", () => sheet.redo());
find("clear").addEventListener("click", () => sheet.clear());
find("eraser").addEventListener("click", toggleEraser);
find("pen").addEventListener("change", () => {
  sheet.pen = Number(find("pen").value);
});
find("draw-copy").addEventListener("click", (event) =>
  copy(lines.map(lineText).join("\n"), event.target, find("draw-answer").querySelector(".value")),
);
onSettings(() => sheet.isEmpty || ask(true));
find("sheet").addEventListener("keydown", (event) => {
  if (onKey(event) || answer.onKey(event)) event.preventDefault();
});

function onKey(event) {
  const arrow = ARROWS[event.key];
  if (arrow) sheet.step(...arrow.map((steps) => steps * (event.shiftKey ? 4 : 1)));
  else if (event.key === " ") sheet.press();
  else if (event.key === "Delete" || event.key === "Backspace") sheet.clear();
  else if (event.key === "u" || (event.key === "z" && isCommand(event))) sheet.undo();
  else if (event.key === "r" || (/^(y|Z)$/.test(event.key) && isCommand(event))) sheet.redo();
  else if (event.key === "e") toggleEraser();
  else return false;
  return true;
}

const isCommand = (event) => event.ctrlKey || event.metaKey;

function toggleEraser() {
  sheet.erases = !sheet.erases;
  find("eraser").setAttribute("aria-pressed", sheet.erases);
}

/** Reads the drawing. Of the readings that wait, only the last one is done. */
async function ask(ended) {
  if (!ended && isWide()) return; // a number takes longer, and the next stroke should not wait
  lastAsked = performance.now();
  wanted = { ended };
  if (isReading) return;
  isReading = true;
  while (wanted) {
    const { ended: isWhole } = wanted;
    wanted = null;
    await readDrawing(isWhole);
  }
  isReading = false;
}

async function readDrawing(ended) {
  if (sheet.isEmpty) return;
  const [key, strokes] = [drawing, sheet.strokes];
  try {
    const found = await readLines();
    if (sheet.isEmpty || isSettled) return;
    lines = found;
    chosen = lines[0].digits.find(isAbstained) ?? lines[0].digits[0];
    show();
    answer.isStale = !ended || wanted !== null;
    if (!ended) return;
    announce(summary());
    note(key, strokes);
  } catch (problem) {
    if (!sheet.isEmpty) forget(problem.message);
  }
}

async function readLines() {
  const picture = wholeSheet();
  const single = isWide() || hasConstraints() ? null : await predict(picture);
  if (single && !MAYBE_SEVERAL.has(single.reason)) return [lineOf(single)];
  const number = await readNumber();
  return isNumber(number) ? number : [lineOf(single ?? (await predict(picture)))];
}

/** The lines of a number, each digit with its `place` in the picture of the whole sheet. */
async function readNumber() {
  const { left, top, width, height } = sheet.extent;
  const around = AROUND * height;
  const box = { left: left - around, top: top - around, width: width + 2 * around, height: height + 2 * around };
  const scale = Math.min(NUMBER_HEIGHT / height, NUMBER_WIDTH / box.width);
  const page = await read(sheet.picture(box, scale));
  for (const digit of page.lines.flatMap((line) => line.digits)) {
    const [x, y, wide, tall] = digit.box.map((pixels) => pixels / scale);
    digit.place = [x + box.left, y + box.top, wide, tall].map((share) => Math.max(0, Math.round(share * SHEET_WIDTH)));
  }
  return page.lines;
}

/** The picture for reading one digit; a correction keeps it. */
const wholeSheet = () => sheet.picture(sheet.whole, SHEET_WIDTH);

function isWide() {
  const { width, height } = sheet.extent;
  return width > WIDE * height;
}

const isNumber = (found) => found.flatMap((line) => line.digits).length > 1;
const lineOf = (digit) => ({ text: mark(digit), digits: [digit] });

function summary() {
  return isNumber(lines) ? lines.map(lineText).join(", ") : `${mark(chosen)}, ${verdict(chosen)}`;
}

function show() {
  const hadFocus = document.activeElement.matches(".glyph");
  find("draw-copy").disabled = false;
  answer.show(chosen, isNumber(lines) ? lines.map(row) : []);
  if (hadFocus) find("draw-answer").querySelector(".glyph[aria-pressed=true]")?.focus();
}

function row(line) {
  const parts = characters(line).map(({ digit }) =>
    digit === null
      ? make("span", { class: "gap" })
      : make(
          "button",
          {
            class: isAbstained(digit) ? "glyph abstained" : "glyph",
            "aria-pressed": digit === chosen,
            "aria-label": `${mark(digit)}, ${verdict(digit)}`,
            onclick: () => choose(digit),
          },
          guess(digit),
        ),
  );
  const number = make("div", { class: "number" }, ...parts);
  number.style.setProperty("--characters", parts.length);
  return number;
}

function choose(digit) {
  chosen = digit;
  show();
}

function note(key, strokes) {
  remember(key, "drawing", lines.map(lineText).join(", "), () => reopen(strokes));
}

/** Shows an earlier drawing again. */
function reopen(strokes) {
  location.hash = "draw";
  drawing = Symbol();
  sheet.strokes = strokes;
}

function forget(said = WAITING) {
  if (sheet.isEmpty) drawing = Symbol();
  announce("");
  lines = chosen = null;
  find("draw-copy").disabled = true;
  answer.show(null, [], said);
}
