// Readings as a CSV table for spreadsheets, by the same rules as digitnet/spreadsheet.py.

import { isAbstained, lineText } from "/web/words.js";

const BYTE_ORDER_MARK = "\ufeff"; // without it, spreadsheets take names for another encoding
// A spreadsheet would run such a text as a formula, or lose its leading zero or its last digits.
const CHANGED = /^(?:[=+\-@\t\r\n]|(?:0\d|\d+ |\d{16})[\d ]*$)/;

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
  return BYTE_ORDER_MARK + table.map((cells) => cells.map(quoted).join(",") + "\r\n").join("");
}

function quoted(cell) {
  const text = typeof cell === "string" && CHANGED.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
