// The words of the page for the server's answers.

const REASONS = {
  blank: "No ink found",
  "too faint": "Too faint to be sure",
  "not a digit": "This does not look like a digit",
  "no digit found": "No digit found",
  "more than one digit": "More than one digit",
};

const LIKELIEST = /^unsure: (\d) or (\d|no digit)/;

export const percent = (probability) => (probability > 0.9995 ? "over 99.9%" : `${(100 * probability).toFixed(1)}%`);

/** One character: the digit, or its correction; "?" if the reader abstained. */
export const mark = (digit) => String(digit.corrected ?? digit.digit ?? "?");

export const isAbstained = (digit) => digit.digit === null && digit.corrected === undefined;

/** The same, but with the best guess before the "?" if it is likely a digit. */
export const guess = (digit) =>
  isAbstained(digit) && LIKELIEST.test(digit.reason) ? `${digit.best_guess}?` : mark(digit);

/** How sure the reading is, or why the reader abstained. */
export function verdict(digit) {
  if (digit.corrected !== undefined) return "Corrected by you";
  if (digit.digit !== null) return `${percent(digit.confidence)} sure`;
  const likeliest = digit.reason?.match(LIKELIEST);
  return likeliest ? `Not sure: ${likeliest[1]} or ${likeliest[2]}?` : (REASONS[digit.reason] ?? digit.reason);
}

/** The characters of a line, each with its digit; the digit is null for the space of a wide gap. */
export function characters(line) {
  let index = 0;
  return [...line.text].map((character) => {
    const digit = character === " " ? null : line.digits[index++];
    return { text: digit ? mark(digit) : " ", digit };
  });
}

export const lineText = (line) => characters(line).map(({ text }) => text).join("");
