// The Batch tab: reads many files one by one into a table.

import { readText } from "/web/api.js";
import { download } from "/web/download.js";
import { announce, find, make, tell } from "/web/element.js";
import { abstentions, csv } from "/web/table.js";
import { characters, isAbstained, percent } from "/web/words.js";

const AT_ONCE = 2;

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
find("batch-csv").addEventListener("click", () => download("digits.csv", csv(rows)));
find("batch-doubtful").addEventListener("change", (event) =>
  find("batch-rows").classList.toggle("only-doubtful", event.target.checked),
);

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
  row.element.classList.toggle("doubtful", isDoubtful(row));
  row.element.replaceChildren(
    make("th", { scope: "row" }, name),
    make("td", {}, ...lines.map((line) => make("div", { class: "digits-of" }, ...characters(line).map(glyph))), said),
    make("td", {}, ...lines.map((line) => make("div", {}, percent(line.confidence)))),
  );
}

const glyph = ({ text, digit }) => (digit && isAbstained(digit) ? make("mark", {}, text) : text);
const isDoubtful = (row) => Boolean(row.page?.lines.some(abstentions));

function showCount() {
  const failed = rows.filter((row) => row.error).length;
  const unsure = rows.filter(isDoubtful).length;
  const done = rows.filter((row) => row.page).length + failed;
  const parts = [`${done} of ${rows.length} done`];
  if (unsure) parts.push(`${unsure} with digits marked ?`);
  if (failed) parts.push(`${failed} could not be read`);
  find("batch-count").textContent = parts.join(", ");
  find("batch-progress").max = rows.length;
  find("batch-progress").value = done;
}
