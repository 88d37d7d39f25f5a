// A rectangle that the user draws over a picture, with a pointer or with keys.

import { makeSvg } from "/web/element.js";

const LEAST = 8; // pixels on the screen; less is a click
const STEP = 0.02; // of the picture's shorter side; a key moves or grows the rectangle by it
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Rectangle {
  #svg;
  #done;
  #shape = makeSvg("rect", { class: "draft" });
  #box = null; // [x, y, w, h] in pixels of the picture
  #start = null;
  #listening = new AbortController();

  /** `done(box)` gets the box in whole pixels of the picture, or null if the user gave up. `svg` has its viewBox. */
  constructor(svg, done) {
    this.#svg = svg;
    this.#done = done;
    const on = (name, handle) => svg.addEventListener(name, handle, { signal: this.#listening.signal });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", () => this.end(null));
    on("keydown", (event) => this.#key(event));
    svg.classList.add("adding");
    svg.setAttribute("tabindex", 0);
    svg.focus({ preventScroll: true });
  }

  end(box) {
    this.#listening.abort();
    this.#shape.remove();
    this.#svg.classList.remove("adding");
    this.#svg.removeAttribute("tabindex");
    this.#done(box);
  }

  get #size() {
    const { width, height } = this.#svg.viewBox.baseVal;
    return [width, height];
  }

  #at(event) {
    const { left, top, width, height } = this.#svg.getBoundingClientRect();
    const [wide, high] = this.#size;
    const inside = (value, most) => Math.min(most, Math.max(0, value));
    return [
      inside(((event.clientX - left) * wide) / width, wide),
      inside(((event.clientY - top) * high) / height, high),
    ];
  }

  #down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#svg.setPointerCapture(event.pointerId);
    this.#start = this.#at(event);
  }

  #move(event) {
    if (!this.#start) return;
    const [[x, y], [startX, startY]] = [this.#at(event), this.#start];
    this.#show([Math.min(x, startX), Math.min(y, startY), Math.abs(x - startX), Math.abs(y - startY)]);
  }

  #up() {
    this.#start = null;
    const least = (LEAST * this.#size[0]) / this.#svg.clientWidth;
    if (this.#box && Math.min(this.#box[2], this.#box[3]) >= least) this.#finish();
  }

  #key(event) {
    const arrow = ARROWS[event.key];
    if (event.key === "Escape") this.end(null);
    else if (event.key === "Enter" && this.#box) this.#finish();
    else if (arrow) this.#step(...arrow, event.shiftKey);
    else return;
    event.preventDefault();
  }

  #step(right, down, isGrowing) {
    const [width, height] = this.#size;
    const step = STEP * Math.min(width, height);
    let [x, y, wide, high] = this.#box ?? [width / 2 - 4 * step, height / 2 - 5 * step, 8 * step, 10 * step];
    if (isGrowing) [wide, high] = [wide + right * step, high + down * step];
    else [x, y] = [x + right * step, y + down * step];
    const inside = (value, least, most) => Math.min(most, Math.max(least, value));
    [wide, high] = [inside(wide, step, width), inside(high, step, height)];
    this.#show([inside(x, 0, width - wide), inside(y, 0, height - high), wide, high]);
  }

  #show(box) {
    this.#box = box;
    ["x", "y", "width", "height"].forEach((name, index) => this.#shape.setAttribute(name, box[index]));
    this.#svg.append(this.#shape);
  }

  #finish() {
    const [x, y, width, height] = this.#box;
    const [left, top] = [Math.floor(x), Math.floor(y)];
    this.end([left, top, Math.max(1, Math.round(x + width) - left), Math.max(1, Math.round(y + height) - top)]);
  }
}
