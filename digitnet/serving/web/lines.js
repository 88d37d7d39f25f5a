// The lines of a page while the user adds and removes digits. No function changes the lines that it gets.

const WIDE_GAP = 0.8; // heights of a digit; a wider gap is a blank in a line's text, as on the server
const SAME_LINE = 0.5; // of the lower digit's height; digits of a line overlap by so much

/** Whether the centre of a digit is in a box [x, y, w, h]. */
export function isInside({ box }, [x, y, width, height]) {
  const [across, down] = [box[0] + box[2] / 2 - x, box[1] + box[3] / 2 - y];
  return across >= 0 && across <= width && down >= 0 && down <= height;
}

/** The lines without those of their digits that are `unwanted`. */
export function without(lines, unwanted) {
  return lines.flatMap((line) => {
    const digits = line.digits.filter((digit) => !unwanted.includes(digit));
    if (digits.length === line.digits.length) return [line];
    return digits.length ? [lineOf(digits)] : [];
  });
}

/** The lines with one more digit: in the line beside it, or in a line of its own. */
export function withDigit(lines, digit) {
  const neighbour = lines.flatMap((line) => line.digits).filter((other) => overlap(digit, other) >= SAME_LINE);
  neighbour.sort((one, other) => gap(digit, one) - gap(digit, other));
  const beside = lines.find((line) => line.digits.includes(neighbour[0]));
  if (!beside) return [...lines, lineOf([digit])].sort((one, other) => one.box[1] - other.box[1]);
  return lines.map((line) => (line === beside ? lineOf([...line.digits, digit]) : line));
}

/** How much of the lower one of two digits stands beside the other. */
function overlap({ box: [, top, , height] }, { box: [, otherTop, , otherHeight] }) {
  const common = Math.min(top + height, otherTop + otherHeight) - Math.max(top, otherTop);
  return common / Math.min(height, otherHeight);
}

const gap = ({ box: [x, , width] }, { box: [otherX, , otherWidth] }) =>
  Math.max(otherX - x - width, x - otherX - otherWidth);

function lineOf(unordered) {
  const digits = [...unordered].sort((one, other) => one.box[0] - other.box[0]);
  const lefts = digits.map(({ box: [x] }) => x);
  const tops = digits.map(({ box: [, y] }) => y);
  const [left, top] = [Math.min(...lefts), Math.min(...tops)];
  const right = Math.max(...digits.map(({ box: [x, , width] }) => x + width));
  const bottom = Math.max(...digits.map(({ box: [, y, , height] }) => y + height));
  const confidence = digits.reduce((product, digit) => product * digit.confidence, 1);
  return { text: textOf(digits), confidence, box: [left, top, right - left, bottom - top], note: null, digits };
}

function textOf(digits) {
  return digits
    .map((digit, index) => {
      const before = digits[index - 1];
      const isWide = before && gap(before, digit) > (WIDE_GAP * (before.box[3] + digit.box[3])) / 2;
      return (isWide ? " " : "") + (digit.digit ?? "?");
    })
    .join("");
}
