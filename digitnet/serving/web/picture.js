// The Picture tab: every digit of a picture with its box, its text and its probabilities.

import { read } from "/web/api.js";
import { Answer } from "/web/answer.js";
import { correctTo } from "/web/correction.js";
import { announce, find, make, makeSvg, tell } from "/web/element.js";
import { characters, guess, isAbstained, lineText, mark, verdict } from "/web/words.js";

const LEAST_LABEL = 13; // pixels on the screen
const LABEL = 0.45; // of a box's height
const MOVES = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

let file = null;
let page = null;
let chosen = null;
let address = null; // blob: URL of the shown picture
let latest = 0;
let boxes = new Map(); // each digit's box on the picture

const resized = new ResizeObserver(() => sizeLabels());
const answer = new Answer(find("picture-answer"), async (digit, label) => {
  const told = correctTo(digit, label, file, digit.box);
  showText();
  updateBox(digit);
  answer.show(digit);
  return told;
});

find("copy").addEventListener("click", copy);

/** Reads `picture`, a file, and shows it. */
export async function showPicture(picture, bytes) {
  const number = ++latest;
  tell(find("picture-problem"), null);
  find("picture-result").hidden = true;
  find("picture-busy").hidden = false;
  try {
    if (picture.size > bytes) {
      const [found, most] = [picture.size, bytes].map((size) => `${(size / 2 ** 20).toFixed(1)} MB`);
      throw new Error(`${picture.name}: ${found} is too large; this server accepts at most ${most}.`);
    }
    const found = await read(picture, { name: picture.name });
    if (number === latest) show(picture, found);
  } catch (problem) {
    if (number === latest) tell(find("picture-problem"), problem.message);
  }
  if (number === latest) find("picture-busy").hidden = true;
}

const digitsOf = () => page.lines.flatMap((line) => line.digits);

function show(picture, found) {
  file = picture;
  page = found;
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(picture);
  const digits = digitsOf();
  chosen = digits.find(isAbstained) ?? digits[0] ?? null;
  find("picture-drop").classList.add("compact");
  find("picture-result").hidden = false;
  find("picture-name").textContent = `${picture.name}, ${page.width} × ${page.height} pixels`;
  showFigure();
  showText();
  choose(chosen);
  announce(digits.length ? `Read: ${page.lines.map(lineText).join(", ")}` : "No digits found");
}

function showFigure() {
  // The browser cannot show some formats, such as TIFF. Then the boxes stand on an empty area of the same shape.
  const image = make("img", { src: address, alt: "", width: page.width, height: page.height });
  boxes = new Map();
  page.lines.forEach((line, row) =>
    line.digits.forEach((digit, column) => boxes.set(digit, box(digit, `line ${row + 1}, digit ${column + 1}`))),
  );
  const overlay = makeSvg(
    "svg",
    { viewBox: `0 0 ${page.width} ${page.height}`, role: "group", "aria-label": "Digits found in the picture" },
    ...boxes.values(),
  );
  find("picture-figure").style.setProperty("--shape", page.width / page.height);
  find("picture-figure").replaceChildren(image, overlay);
  resized.disconnect();
  resized.observe(overlay);
}

function box(digit, place) {
  const [x, y, width, height] = digit.box;
  const group = makeSvg(
    "g",
    { class: "box", role: "button", tabindex: -1, "data-place": place },
    makeSvg("rect", { x, y, width, height }),
    makeSvg("text", { x, y }),
  );
  group.addEventListener("click", () => choose(digit, { focus: true }));
  group.addEventListener("keydown", (event) => onKey(event, digit));
  return group;
}

/** Updates the box of a digit. */
function updateBox(digit) {
  const group = boxes.get(digit);
  group.classList.toggle("abstained", isAbstained(digit));
  group.classList.toggle("corrected", digit.corrected !== undefined);
  group.setAttribute("aria-label", `${mark(digit)}, ${verdict(digit)}, ${group.dataset.place}`);
  group.setAttribute("aria-pressed", digit === chosen);
  group.lastChild.textContent = guess(digit);
}

function sizeLabels() {
  const overlay = find("picture-figure").querySelector("svg");
  if (!overlay.clientWidth) return; // in a tab that is not open
  const scale = page.width / overlay.clientWidth; // pixels of the picture for one pixel on the screen
  for (const [{ box: place }, group] of boxes) {
    const size = Math.max(LEAST_LABEL * scale, LABEL * place[3]);
    group.lastChild.setAttribute("font-size", size);
    group.lastChild.setAttribute("y", Math.max(place[1] - 0.2 * size, 0.85 * size));
  }
}

function showText() {
  find("lines").replaceChildren(...page.lines.map((line) => make("li", {}, ...characters(line).map(glyph))));
  const abstained = digitsOf().filter(isAbstained).length;
  find("copy").hidden = page.lines.length === 0;
  find("lines-note").textContent = !page.lines.length
    ? "No digits found in this picture."
    : abstained
      ? `${abstained} not sure, marked with ?`
      : "";
}

function glyph({ text, digit }) {
  if (!digit) return " ";
  const name = isAbstained(digit) ? "mark" : "span";
  return make(name, { class: digit === chosen ? "chosen" : "", onclick: () => choose(digit, { focus: true }) }, text);
}

function choose(digit, { focus = false } = {}) {
  chosen = digit;
  find("picture-answer").hidden = digit === null;
  for (const [other, group] of boxes) {
    updateBox(other);
    group.setAttribute("tabindex", other === digit ? 0 : -1);
  }
  showText();
  answer.show(digit);
  if (focus) boxes.get(digit).focus({ preventScroll: true });
}

function onKey(event, digit) {
  const digits = [...boxes.keys()];
  const next = { Home: 0, End: digits.length - 1 }[event.key] ?? digits.indexOf(digit) + (MOVES[event.key] ?? NaN);
  if (digits[next]) boxes.get(digits[next]).focus();
  else if (event.key === "Enter" || event.key === " ") {
    choose(digit);
    announce(`${mark(digit)}, ${verdict(digit)}`);
  } else if (/^\d$/.test(event.key)) {
    choose(digit);
    answer.onKey(event);
  } else return;
  event.preventDefault();
}

async function copy() {
  const text = page.lines.map(lineText).join("\n");
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give no clipboard to a page that comes from another machine over plain HTTP.
    getSelection().selectAllChildren(find("lines"));
    announce("The lines are selected; copy them with Ctrl C");
    return;
  }
  find("copy").textContent = "Copied";
  announce("Copied");
  setTimeout(() => (find("copy").textContent = "Copy"), 2000);
}
