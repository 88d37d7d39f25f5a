// The words of the page for the server's answers.

const REASONS = {
  blank: "No digit found",
  "too faint": "Too faint to be sure",
  "not a digit": "This does not look like a digit",
  "more than one digit": "This does not look like one digit",
};

const SURE = 0.999; // a label that contradicts such an answer is likely a slip

const LIKELIEST = /^unsure: (\d) or (\d|no digit)/;

export const percent = (probability) => (probability > 0.9995 ? "over 99.9%" : `${(100 * probability).toFixed(1)}%`);

/** A digit with its article: "a 7", "an 8". */
export const a = (digit) => `${digit === 8 ? "an" : "a"} ${digit}`;

/** One character: the digit, or its correction; "?" if the reader abstained. */
export const mark = (digit) => String(digit.corrected ?? digit.digit ?? "?");

export const isAbstained = (digit) => digit.digit === null && digit.corrected === undefined;

export const isSure = (digit) => digit.digit !== null && digit.confidence >= SURE;

/** The probabilities of the digits 0 to 9 and of no digit; they add up to 1. */
export function eleven({ confidence, probabilities, best_guess: best }) {
  const none = Math.min(1, Math.max(0, 1 - confidence / probabilities[best]));
  return [...probabilities.map((probability) => probability * (1 - none)), none];
}

/** One character like `mark`, but with the best guess before the "?" if it is likely a digit. */
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
