// The Picture tab: every digit of a picture with its box, its text and its probabilities.

import { predict, read, readPart } from "/web/api.js";
import { Answer } from "/web/answer.js";
import { Boxes } from "/web/boxes.js";
import { copy } from "/web/copy.js";
import { correctTo } from "/web/correction.js";
import { download } from "/web/download.js";
import { announce, find, make, tell } from "/web/element.js";
import { annotated, cut, decoded, turned } from "/web/image.js";
import { isInside, withDigit, without } from "/web/lines.js";
import { Rectangle } from "/web/rectangle.js";
import { remember } from "/web/session.js";
import { onSettings } from "/web/settings.js";
import { csv } from "/web/table.js";
import { characters, isAbstained, lineText, mark, verdict } from "/web/words.js";

const MOVES = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
const [LEAST_ZOOM, MOST_ZOOM, ZOOM] = [1, 8, 1.5];
const OF_THIS_PAGE = ["seen", "kept", "before"]; // what digits have here and files do not need

let file = null;
let bitmap = null; // the same in the browser; null if it cannot show it
let page = null;
let chosen = null;
let address = null; // blob: URL of the shown picture
let latest = 0;
let zoom = 1;
let past = []; // the lines before each box that the user added or removed
let rectangle = null; // while the user draws it
let open = () => {}; // shows a file in this tab

const boxes = new Boxes(find("picture-figure"), {
  choose: (digit) => choose(digit, { focus: true }),
  onKey,
});
const answer = new Answer(find("picture-answer"), (digit, label) => {
  const told = correctTo(digit, label, file, digit.box);
  showText();
  boxes.update(chosen);
  answer.show(digit);
  return told;
});

find("copy").addEventListener("click", () => copy(text(), find("copy"), find("lines")));
find("picture-again").addEventListener("click", () => open(file));
find("picture-turn").addEventListener("click", async () => open(await turned(bitmap, file.name)));
find("zoom-in").addEventListener("click", () => zoomTo(zoom * ZOOM));
find("zoom-out").addEventListener("click", () => zoomTo(zoom / ZOOM));
find("box-add").addEventListener("click", () => (rectangle ? rectangle.end(null) : draw()));
find("box-remove").addEventListener("click", () => removeBox(chosen));
find("box-undo").addEventListener("click", undo);
find("picture-csv").addEventListener("click", () => download("digits.csv", csv([{ name: file.name, page }])));
find("picture-json").addEventListener("click", () => {
  const told = { file: file.name, ...page };
  download("digits.json", JSON.stringify(told, (key, value) => (OF_THIS_PAGE.includes(key) ? undefined : value), 2));
});
find("picture-jpeg").addEventListener("click", async () => download("digits.jpg", await annotated(bitmap, boxes.digits)));
onSettings(() => file && !find("picture").hidden && open(file));

/** Reads `picture`, a file, and shows it. The server takes files of so many `bytes`; `reopen(file)` comes here again. */
export async function showPicture(picture, bytes, reopen) {
  const number = ++latest;
  open = reopen;
  tell(find("picture-problem"), null);
  find("picture-result").hidden = true;
  find("picture-busy").hidden = false;
  announce("Reading");
  try {
    if (picture.size > bytes) {
      const [found, most] = [picture.size, bytes].map((size) => `${(size / 2 ** 20).toFixed(1)} MB`);
      throw new Error(`${picture.name}: ${found} is too large; this server accepts at most ${most}.`);
    }
    const [found, shown] = await Promise.all([read(picture, { name: picture.name }), decoded(picture)]);
    if (number === latest) show(picture, found, shown);
  } catch (problem) {
    if (number === latest) tell(find("picture-problem"), problem.message);
  }
  if (number === latest) find("picture-busy").hidden = true;
}

const digitsOf = () => page.lines.flatMap((line) => line.digits);
const text = () => page.lines.map(lineText).join("\n");

function show(picture, found, shown) {
  rectangle?.end(null);
  file = picture;
  bitmap = shown;
  page = found;
  past = [];
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(picture);
  find("picture-drop").classList.add("compact");
  find("picture-result").hidden = false;
  find("picture-name").textContent = `${picture.name}, ${page.width} × ${page.height} pixels`;
  tell(find("picture-unshown"), bitmap ? null : "This browser cannot show this kind of picture. Its digits are read.");
  for (const name of ["box-add", "picture-turn", "picture-jpeg"]) find(name).disabled = !bitmap;
  zoomTo(1);
  boxes.show(address, page);
  showDigits();
  announce(chosen ? `Read: ${page.lines.map(lineText).join(", ")}` : "No digits found");
  remember(picture, picture.name, text().replaceAll("\n", ", "), () => open(picture));
}

/** Shows the digits of the page and chooses one: `wanted`, or the first that is not sure. */
function showDigits(wanted = null) {
  const digits = digitsOf();
  find("box-undo").disabled = !past.length;
  choose(wanted ?? digits.find(isAbstained) ?? digits[0] ?? null);
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
  find("picture-answer").hidden = find("box-remove").disabled = digit === null;
  boxes.update(digit);
  showText();
  answer.show(digit);
  if (focus) boxes.focus(digit);
}

function onKey(event, digit) {
  const { digits } = boxes;
  const next = { Home: 0, End: digits.length - 1 }[event.key] ?? digits.indexOf(digit) + (MOVES[event.key] ?? NaN);
  if (digits[next]) boxes.focus(digits[next]);
  else if (event.key === "Enter" || event.key === " ") {
    choose(digit);
    announce(`${mark(digit)}, ${verdict(digit)}`);
  } else if (/^\d$/.test(event.key)) {
    choose(digit);
    answer.onKey(event);
  } else if (event.key === "Delete" || event.key === "Backspace") removeBox(digit);
  else return;
  event.preventDefault();
}

function zoomTo(times) {
  zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, times));
  find("picture-figure").style.setProperty("--zoom", zoom);
  find("zoom-in").disabled = zoom === MOST_ZOOM;
  find("zoom-out").disabled = zoom === LEAST_ZOOM;
}

/** Lets the user draw a box, and reads what is in it. */
function draw() {
  find("box-add").setAttribute("aria-pressed", true);
  announce("Arrow keys move the box; with Shift they change its size. Enter reads it, Escape gives up.");
  rectangle = new Rectangle(boxes.overlay, (box) => {
    rectangle = null;
    find("box-add").setAttribute("aria-pressed", false);
    if (box) addBox(box);
  });
}

async function addBox(box) {
  const [number, { part, left, top }] = [latest, await cut(bitmap, box)];
  const shifted = (digit) => {
    const [x, y, width, height] = digit.box;
    return { ...digit, box: [x + left, y + top, width, height] };
  };
  tell(find("picture-problem"), null);
  announce("Reading");
  try {
    const found = await readPart(part);
    let digits = found.lines.flatMap((line) => line.digits).map(shifted).filter((digit) => isInside(digit, box));
    if (!digits.length) {
      const single = await predict(part);
      if (single.box) digits = [shifted(single)].filter((digit) => isInside(digit, box));
    }
    if (number !== latest) return; // another picture is shown by now
    if (!digits.length) throw new Error("No digit found in this box. Draw it around all of the ink.");
    const others = without(page.lines, digitsOf().filter((digit) => isInside(digit, box)));
    change(digits.reduce(withDigit, others), digits[0]);
    announce(`Read: ${digits.map(mark).join("")}`);
  } catch (problem) {
    tell(find("picture-problem"), problem.message);
  }
}

function removeBox(digit) {
  const { digits } = boxes;
  const next = digits[digits.indexOf(digit) + 1] ?? digits[digits.length - 2] ?? null;
  change(without(page.lines, [digit]), next);
  if (next) boxes.focus(next);
  announce(`Removed ${mark(digit)}`);
}

function change(lines, wanted) {
  past.push(page.lines);
  page.lines = lines;
  boxes.refresh();
  showDigits(wanted);
}

function undo() {
  page.lines = past.pop();
  boxes.refresh();
  showDigits();
}
