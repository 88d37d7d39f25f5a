// Readings as a CSV table for spreadsheets.

import { isAbstained, lineText } from "/web/words.js";

const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet would run such a cell as a formula

export const abstentions = (line) => line.digits.filter(isAbstained).length;

/** One row a line, for [{name, page or error}]. A file without lines has one row too, so that every file is there. */
export function csv(readings) {
  const table = [["file", "line", "text", "confidence", "doubtful", "error"]];
  for (const { name, page, error } of readings) {
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
