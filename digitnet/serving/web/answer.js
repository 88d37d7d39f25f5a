// The panel of one digit: its reading, the picture that the model saw, the probabilities, and the correction.

import { make, tell } from "/web/element.js";
import { guess, isAbstained, verdict } from "/web/words.js";

const DIGITS = [...Array(10).keys()];

export class Answer {
  #elements;
  #correct;
  #digit = null;

  /** `correct(digit, label)` is called when the user corrects the digit; it gives the message for the user. */
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
    this.#elements = { value: part("value"), said: part("said", "p"), seen, rows, buttons, told: part("told", "p") };
    this.#elements.figure = make("figure", {}, seen, make("figcaption", {}, "What DigitNet saw"));
    this.#elements.correction = make(
      "fieldset",
      { class: "correction" },
      make("legend", {}, "Wrong? Choose the right digit"),
      make("div", { class: "digits" }, ...buttons),
      this.#elements.told,
    );
    const items = rows.map((row) => row.item);
    this.#elements.bars = make("ol", { class: "bars", "aria-label": "How likely each digit is" }, ...items);
    this.#elements.told.setAttribute("role", "status");
    element.append(
      make("div", { class: "head" }, make("div", {}, this.#elements.value, this.#elements.said), this.#elements.figure),
      this.#elements.bars,
      this.#elements.correction,
    );
    element.addEventListener("keydown", (event) => this.onKey(event));
    this.show(null);
  }

  /** Shows `digit`. The elements in `value` replace its character if it is one digit of a number. */
  show(digit, value = [], said = "") {
    const { rows, buttons, seen, figure, correction, told } = this.#elements;
    if (digit !== this.#digit) tell(told, "");
    this.#digit = digit;
    const abstained = digit !== null && isAbstained(digit);
    this.#elements.value.replaceChildren(...(value.length || !digit ? value : [guess(digit)]));
    this.#elements.value.classList.toggle("abstained", abstained && !value.length);
    this.#elements.said.textContent = digit ? verdict(digit) : said;
    this.#elements.said.classList.toggle("abstained", abstained);
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

  /** Corrects the shown digit with the keys 0 to 9; returns whether it did. */
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
    if (told && digit === this.#digit) tell(this.#elements.told, told);
  }
}
