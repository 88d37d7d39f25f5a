// The panel of one digit: what it was read as, what the model saw, its alternatives, and its correction.

import { make, tell } from "/web/element.js";
import { guess, isDoubtful, verdict } from "/web/words.js";

const DIGITS = [...Array(10).keys()];

export class Answer {
  #parts;
  #correct;
  #digit = null;

  /** `correct(digit, label)` is called with what the user says it is, and gives what to tell them. */
  constructor(element, correct) {
    this.#correct = correct;
    const part = (name, tag = "div") => make(tag, { class: name });
    const rows = DIGITS.map((value) => {
      const row = { fill: part("fill"), share: part("share", "span") };
      row.item = make("li", {}, make("span", {}, String(value)), make("div", { class: "track" }, row.fill), row.share);
      return row;
    });
    const buttons = DIGITS.map((value) =>
      make("button", { "aria-label": `It is a ${value}`, onclick: () => this.correctTo(value) }, String(value)),
    );
    const seen = make("img", { class: "seen", width: 28, height: 28, alt: "The 28 by 28 pixels that DigitNet saw" });
    this.#parts = { value: part("value"), said: part("said", "p"), seen, rows, buttons, told: part("told", "p") };
    this.#parts.figure = make("figure", {}, seen, make("figcaption", {}, "What it saw"));
    this.#parts.correction = make(
      "fieldset",
      { class: "correction" },
      make("legend", {}, "Not right? It is a"),
      make("div", { class: "digits" }, ...buttons),
      this.#parts.told,
    );
    const items = rows.map((row) => row.item);
    this.#parts.bars = make("ol", { class: "bars", "aria-label": "How likely each digit is" }, ...items);
    this.#parts.told.setAttribute("role", "status");
    element.append(
      make("div", { class: "head" }, make("div", {}, this.#parts.value, this.#parts.said), this.#parts.figure),
      this.#parts.bars,
      this.#parts.correction,
    );
    element.addEventListener("keydown", (event) => this.onKey(event));
    this.show(null);
  }

  /** Shows `digit`; `value`, elements, stand for its one character where it is one of several. */
  show(digit, value = [], said = "") {
    const { rows, buttons, seen, figure, correction, told } = this.#parts;
    if (digit !== this.#digit) tell(told, "");
    this.#digit = digit;
    const doubtful = digit !== null && isDoubtful(digit);
    this.#parts.value.replaceChildren(...(value.length || !digit ? value : [guess(digit)]));
    this.#parts.value.classList.toggle("doubt", doubtful && !value.length);
    this.#parts.said.textContent = digit ? verdict(digit) : said;
    this.#parts.said.classList.toggle("doubt", doubtful);
    figure.classList.toggle("empty", !digit?.seen);
    if (digit?.seen) seen.src = digit.seen;
    else seen.removeAttribute("src");
    const best = digit?.corrected ?? digit?.best_guess;
    rows.forEach(({ item, fill, share }, index) => {
      const probability = digit?.seen ? digit.probabilities[index] : 0;
      item.classList.toggle("best", index === best);
      fill.style.transform = `scaleX(${probability})`;
      share.textContent = digit?.seen ? `${(100 * probability).toFixed(1)}%` : "";
    });
    correction.disabled = !digit?.seen;
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", digit?.corrected === index));
  }

  /** Corrects the shown digit by the keys 0 to 9; whether it did. */
  onKey(event) {
    if (!/^\d$/.test(event.key) || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (!this.#digit?.seen) return false;
    event.preventDefault();
    event.stopPropagation();
    this.correctTo(Number(event.key));
    return true;
  }

  async correctTo(label) {
    const digit = this.#digit;
    let told;
    try {
      told = await this.#correct(digit, label);
    } catch (problem) {
      told = problem.message;
    }
    if (told && digit === this.#digit) tell(this.#parts.told, told);
  }
}
