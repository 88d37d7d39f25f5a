// A picture with a box on it for each digit.

import { make, makeSvg } from "/web/element.js";
import { guess, isAbstained, mark, verdict } from "/web/words.js";

const LEAST_LABEL = 13; // pixels on the screen
const LABEL = 0.45; // of a box's height

export class Boxes {
  #figure;
  #events;
  #groups = new Map(); // each digit's box
  #resized = new ResizeObserver(() => this.#sizeLabels());
  #page = null;

  overlay = null;

  /** `choose(digit)` is called for a click on a box, `onKey(event, digit)` for a key. */
  constructor(figure, events) {
    this.#figure = figure;
    this.#events = events;
  }

  get digits() {
    return [...this.#groups.keys()];
  }

  /** Shows the picture at an address with the digits of `page`. */
  show(address, page) {
    this.#page = page;
    const image = make("img", { src: address, alt: "", width: page.width, height: page.height });
    image.addEventListener("error", () => image.removeAttribute("src")); // the boxes stand on an empty area then
    this.overlay = makeSvg("svg", {
      viewBox: `0 0 ${page.width} ${page.height}`,
      role: "group",
      "aria-label": "Digits found in the picture",
    });
    this.#figure.style.setProperty("--shape", page.width / page.height);
    this.#figure.replaceChildren(image, this.overlay);
    this.#resized.disconnect();
    this.#resized.observe(this.overlay);
    this.refresh();
  }

  /** Shows the digits that the page has now. */
  refresh() {
    this.#groups = new Map();
    this.#page.lines.forEach((line, row) =>
      line.digits.forEach((digit, column) =>
        this.#groups.set(digit, this.#group(digit, `line ${row + 1}, digit ${column + 1}`)),
      ),
    );
    this.overlay.replaceChildren(...this.#groups.values());
    this.#sizeLabels();
  }

  /** Shows each digit as it is now, and which one is `chosen`. Only that one can be reached with Tab. */
  update(chosen) {
    for (const [digit, group] of this.#groups) {
      group.classList.toggle("abstained", isAbstained(digit));
      group.classList.toggle("corrected", digit.corrected !== undefined);
      group.setAttribute("aria-label", `${mark(digit)}, ${verdict(digit)}, ${group.dataset.place}`);
      group.setAttribute("aria-pressed", digit === chosen);
      group.setAttribute("tabindex", digit === chosen ? 0 : -1);
      group.lastChild.textContent = guess(digit);
    }
  }

  focus(digit) {
    this.#groups.get(digit)?.focus({ preventScroll: true });
  }

  #group(digit, place) {
    const [x, y, width, height] = digit.box;
    const group = makeSvg(
      "g",
      { class: "box", role: "button", tabindex: -1, "data-place": place },
      makeSvg("rect", { x, y, width, height }),
      makeSvg("text", { x, y }),
    );
    group.addEventListener("click", () => this.#events.choose(digit));
    group.addEventListener("keydown", (event) => this.#events.onKey(event, digit));
    return group;
  }

  #sizeLabels() {
    if (!this.overlay.clientWidth) return; // in a tab that is not open
    const scale = this.#page.width / this.overlay.clientWidth; // pixels of the picture for one pixel on the screen
    for (const [{ box }, group] of this.#groups) {
      const size = Math.max(LEAST_LABEL * scale, LABEL * box[3]);
      group.lastChild.setAttribute("font-size", size);
      group.lastChild.setAttribute("y", Math.max(box[1] - 0.2 * size, 0.85 * size));
    }
  }
}
