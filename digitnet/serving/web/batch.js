// The Batch tab: reads many files one by one into a table.

import { readText } from "/web/api.js";
import { announce, find, make, tell } from "/web/element.js";
import { characters, isAbstained, lineText, percent } from "/web/words.js";

const AT_ONCE = 2;
const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet would run such a cell as a formula

let rows = []; // {name, file, page or error, element}
let stop = null; // cancels the running batch

/** Reads `files`, [{name, file}]; `open` shows one file in the Picture tab. */
export async function readAll(files, bytes, open) {
  stop?.abort();
  tell(find("batch-problem"), files.length ? null : "No pictures were found.");
  if (!files.length) return;
  const mine = (stop = new AbortController());
  rows = files.map(({ name, file }) => ({ name, file, element: make("tr") }));
  rows.forEach((row) => showRow(row, open));
  find("batch-rows").replaceChildren(...rows.map((row) => row.element));
  find("batch-drop").classList.add("compact");
  find("batch-result").hidden = false;
  find("batch-cancel").hidden = false;
  showCount();
  const waiting = rows.values();
  await Promise.all(Array.from({ length: AT_ONCE }, () => work(waiting, mine.signal, bytes, open)));
  if (stop !== mine) return;
  find("batch-cancel").hidden = true;
  announce(find("batch-count").textContent);
}

find("batch-cancel").addEventListener("click", () => stop.abort());
find("batch-csv").addEventListener("click", download);

async function work(waiting, signal, bytes, open) {
  for (const row of waiting) {
    if (signal.aborted) return;
    row.element.classList.add("reading");
    try {
      if (row.file.size > bytes) throw new Error("larger than this server accepts");
      row.page = await readText(row.file, { name: row.name, signal, patience: Infinity });
    } catch (problem) {
      if (!signal.aborted) row.error = problem.message;
    }
    row.element.classList.remove("reading");
    showRow(row, open);
    if (!signal.aborted) showCount();
  }
}

function showRow(row, open) {
  const lines = row.page?.lines ?? [];
  const name = make("button", { class: "link", onclick: () => open(row.file) }, row.name);
  const said = row.error ?? (row.page && !lines.length ? "no digits found" : "");
  row.element.classList.toggle("failed", Boolean(row.error));
  row.element.replaceChildren(
    make("th", { scope: "row" }, name),
    make("td", {}, ...lines.map((line) => make("div", { class: "digits-of" }, ...characters(line).map(glyph))), said),
    make("td", {}, ...lines.map((line) => make("div", {}, percent(line.confidence)))),
  );
}

const glyph = ({ text, digit }) => (digit && isAbstained(digit) ? make("mark", {}, text) : text);
const abstentions = (line) => line.digits.filter(isAbstained).length;

function showCount() {
  const failed = rows.filter((row) => row.error).length;
  const unsure = rows.filter((row) => row.page?.lines.some(abstentions)).length;
  const done = rows.filter((row) => row.page).length + failed;
  const parts = [`${done} of ${rows.length} done`];
  if (unsure) parts.push(`${unsure} with digits marked ?`);
  if (failed) parts.push(`${failed} could not be read`);
  find("batch-count").textContent = parts.join(", ");
  find("batch-progress").max = rows.length;
  find("batch-progress").value = done;
}

/** One row a line. A file without lines has one row too, so that every file is in the table. */
function csv() {
  const table = [["file", "line", "text", "confidence", "doubtful", "error"]];
  for (const { name, page, error } of rows) {
    const lines = page?.lines ?? [];
    if (!lines.length) table.push([name, "", "", "", "", error ?? (page ? "" : "not read")]);
    lines.forEach((line, index) =>
      table.push([name, index + 1, lineText(line), line.confidence.toFixed(4), abstentions(line), ""]),
    );
  }
  return table.map((cells) => cells.map(quoted).join(",") + "\r\n").join("");
}

function quoted(cell) {
  const text = FORMULA.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download() {
  const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  make("a", { href: address, download: "digits.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
