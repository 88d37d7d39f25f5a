// The panel of one digit: its reading, the picture that the model saw, the probabilities, and the correction.

import { make, tell } from "/web/element.js";
import { a, eleven, guess, isAbstained, isSure, percent, verdict } from "/web/words.js";

const DIGITS = [...Array(10).keys()];

export class Answer {
  #element;
  #elements;
  #correct;
  #digit = null;
  #asked = null; // the label that a sure answer contradicts, after it was chosen once

  /**
   * `correct(digit, label)` is called when the user corrects the digit, and without a label when the user takes that
   * back; it gives the message for the user.
   */
  constructor(element, correct) {
    this.#element = element;
    this.#correct = correct;
    const part = (name, tag = "div") => make(tag, { class: name });
    const rows = [...DIGITS, "none"].map((value) => {
      const row = { fill: part("fill"), share: part("share", "span") };
      row.item = make("li", {}, make("span", {}, String(value)), make("div", { class: "track" }, row.fill), row.share);
      return row;
    });
    const buttons = DIGITS.map((value) =>
      make("button", { "aria-label": `It is ${a(value)}`, onclick: () => this.correctTo(value) }, String(value)),
    );
    const seen = make("img", { class: "seen", width: 28, height: 28, alt: "The 28 by 28 pixels that DigitNet saw" });
    const undo = make("button", { class: "small undo", onclick: () => this.#undo() }, "Undo");
    this.#elements = { value: part("value"), said: part("said", "p"), seen, rows, buttons, undo, told: part("told", "p") };
    this.#elements.figure = make("figure", {}, seen, make("figcaption", {}, "What DigitNet saw"));
    this.#elements.correction = make(
      "fieldset",
      { class: "correction" },
      make("legend", {}, "Wrong? Choose the right digit"),
      make("div", { class: "digits" }, ...buttons),
    );
    const items = rows.map((row) => row.item);
    this.#elements.bars = make(
      "ol",
      { class: "bars", "aria-label": "How likely each digit is, and that there is none" },
      ...items,
    );
    this.#elements.told.setAttribute("role", "status");
    element.append(
      make("div", { class: "head" }, make("div", {}, this.#elements.value, this.#elements.said), this.#elements.figure),
      this.#elements.correction,
      make("div", { class: "row" }, this.#elements.told, undo),
      this.#elements.bars,
    );
    element.addEventListener("keydown", (event) => this.onKey(event));
    this.#say("");
    this.show(null);
  }

  /** Shows `digit`. The elements in `value` replace its character if it is one digit of a number. */
  show(digit, value = [], said = "") {
    const { rows, buttons, seen, figure, correction } = this.#elements;
    if (digit !== this.#digit) this.#say("");
    this.#digit = digit;
    this.isStale = false;
    const abstained = digit !== null && isAbstained(digit);
    this.#elements.value.replaceChildren(...(value.length || !digit ? value : [guess(digit)]));
    this.#elements.value.classList.toggle("abstained", abstained && !value.length);
    this.#elements.said.textContent = digit ? verdict(digit) : said;
    this.#elements.said.classList.toggle("abstained", abstained);
    figure.classList.toggle("empty", !digit?.seen);
    if (digit?.seen) seen.src = digit.seen;
    else seen.removeAttribute("src");
    const probabilities = digit?.seen ? eleven(digit) : null;
    const best = digit?.corrected ?? probabilities?.indexOf(Math.max(...probabilities));
    rows.forEach(({ item, fill, share }, index) => {
      const probability = probabilities?.[index] ?? 0;
      item.classList.toggle("best", index === best);
      fill.style.transform = `scaleX(${probability})`;
      share.textContent = probabilities ? `${(100 * probability).toFixed(1)}%` : "";
    });
    correction.disabled = !digit?.seen;
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", digit?.corrected === index));
  }

  /** Whether the answer is of an earlier drawing, while the new one is on its way. */
  set isStale(on) {
    this.#element.classList.toggle("stale", on);
    this.#element.setAttribute("aria-busy", on);
  }

  /** Corrects the shown digit with the keys 0 to 9; returns whether it did. */
  onKey(event) {
    if (!/^\d$/.test(event.key) || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (!this.#digit?.seen) return false;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) this.correctTo(Number(event.key));
    return true;
  }

  /** Corrects the shown digit. A label that contradicts a sure answer must be chosen twice: it may be a slip. */
  correctTo(label) {
    const digit = this.#digit;
    if (isSure(digit) && digit.corrected === undefined && label !== digit.digit && label !== this.#asked) {
      this.#say(`${percent(digit.confidence)} sure that it is ${a(digit.digit)}. Is it ${a(label)}? Then choose ${label} again.`);
      this.#asked = label;
      return;
    }
    digit.before = digit.corrected;
    this.#change(digit, label);
  }

  #undo() {
    const digit = this.#digit;
    const before = digit.before;
    digit.before = undefined;
    this.#change(digit, before);
  }

  async #change(digit, label) {
    this.#say("Working…", label !== undefined);
    let told;
    try {
      told = await this.#correct(digit, label);
    } catch (problem) {
      told = `Not kept, try again: ${problem.message}`;
    }
    if (told && digit === this.#digit) this.#say(told, label !== undefined);
  }

  #say(text, canUndo = false) {
    this.#asked = null;
    tell(this.#elements.told, text);
    this.#elements.undo.hidden = !canUndo;
  }
}
