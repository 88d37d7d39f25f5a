// A sheet to draw on with pen, mouse, finger or keys. Coordinates of strokes are fractions of its width.

import { bitmap } from "/web/bitmap.js";

const PEN = 0.03; // width of a stroke
const STEP = 0.025; // of the keyboard's pen

const range = (values) => [Math.min(...values) - PEN / 2, Math.max(...values) + PEN / 2];

export class Sheet {
  #canvas;
  #changed;
  #strokes = [];
  #current = null; // the stroke that is being drawn
  #pointer = null;
  #hasPen = false;
  #keyPen = null; // position of the keyboard's pen
  #frame = 0;
  #ratio = 1; // height / width; kept while the sheet is hidden

  /** `changed(ended)` is called after each change; `ended` is true if no stroke is being drawn. */
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#cancel(event));
    canvas.addEventListener("blur", () => {
      this.#keyPen = null;
      this.#end();
    });
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  /** The box around all strokes. */
  get extent() {
    const points = this.#strokes.flat();
    const [left, right] = range(points.map((point) => point.x));
    const [top, bottom] = range(points.map((point) => point.y));
    return { left, top, width: right - left, height: bottom - top };
  }

  /** The whole sheet as a box. */
  get whole() {
    return { left: 0, top: 0, width: 1, height: this.#ratio };
  }

  undo() {
    this.#current = null;
    this.#strokes.pop();
    this.#update(true);
  }

  clear() {
    this.#current = null;
    this.#strokes = [];
    this.#update(true);
  }

  /** Moves the keyboard's pen by a number of steps. */
  step(right, down) {
    this.#keyPen ??= { x: 0.35, y: 0.25 * this.#ratio };
    const clamp = (value, most) => Math.min(most - PEN, Math.max(PEN, value));
    this.#keyPen = {
      x: clamp(this.#keyPen.x + right * STEP, 1),
      y: clamp(this.#keyPen.y + down * STEP, this.#ratio),
    };
    if (this.#current) this.#add([this.#keyPen]);
    this.#draw();
  }

  /** Puts the keyboard's pen down, or lifts it. */
  press() {
    if (this.#current) return this.#end();
    this.step(0, 0);
    this.#begin(this.#keyPen);
  }

  /** A box of the sheet as a picture, black on white; the whole sheet would be `scale` pixels wide. */
  picture({ left, top, width, height }, scale) {
    const small = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
    const context = small.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, small.width, small.height);
    context.translate(-left * scale, -top * scale);
    this.#ink(context, scale, "black");
    return bitmap(context.getImageData(0, 0, small.width, small.height));
  }

  #down(event) {
    if (!event.isPrimary || event.button !== 0 || this.#pointer !== null) return;
    this.#hasPen ||= event.pointerType === "pen";
    if (this.#hasPen && event.pointerType === "touch") return; // the hand that holds the pen
    event.preventDefault();
    this.#canvas.focus({ preventScroll: true, focusVisible: false });
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#keyPen = null;
    this.#begin(...this.#points(event));
  }

  #move(event) {
    if (event.pointerId === this.#pointer && this.#current) this.#add(this.#points(event));
  }

  #up(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#end();
  }

  #cancel(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    if (this.#current) this.undo();
  }

  #points(event) {
    const { left, top, width } = this.#canvas.getBoundingClientRect();
    const events = event.getCoalescedEvents?.() ?? [];
    return (events.length ? events : [event]).map(({ clientX, clientY, pointerType, pressure }) => ({
      x: (clientX - left) / width,
      y: (clientY - top) / width,
      pressure: pointerType === "pen" && pressure ? pressure : 0.5,
    }));
  }

  #begin(...points) {
    this.#current = [];
    this.#strokes.push(this.#current);
    this.#add(points);
  }

  #add(points) {
    this.#current.push(...points);
    this.#update(false);
  }

  #end() {
    if (!this.#current) return;
    this.#current = null;
    this.#update(true);
  }

  #update(ended) {
    this.#draw();
    this.#changed(ended);
  }

  #fit() {
    if (!this.#canvas.clientWidth) return; // in a tab that is not open
    this.#ratio = this.#canvas.clientHeight / this.#canvas.clientWidth;
    const scale = devicePixelRatio;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * scale);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * scale);
    this.#draw();
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const context = this.#canvas.getContext("2d");
      const { width, height } = this.#canvas;
      context.clearRect(0, 0, width, height);
      const style = getComputedStyle(this.#canvas);
      this.#ink(context, width, style.color);
      if (this.#keyPen) this.#cross(context, width, style.accentColor);
    });
  }

  #ink(context, scale, colour) {
    context.strokeStyle = colour;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.#strokes) {
      let start = stroke[0];
      stroke.forEach((point, index) => {
        const before = stroke[Math.max(0, index - 1)];
        const last = index === stroke.length - 1;
        const end = last ? point : { x: (before.x + point.x) / 2, y: (before.y + point.y) / 2 };
        context.lineWidth = PEN * scale * (0.5 + (point.pressure ?? 0.5));
        context.beginPath();
        context.moveTo(start.x * scale, start.y * scale);
        context.quadraticCurveTo(before.x * scale, before.y * scale, end.x * scale, end.y * scale);
        context.stroke();
        start = end;
      });
    }
  }

  #cross(context, scale, colour) {
    const { x, y } = this.#keyPen;
    context.beginPath();
    context.arc(x * scale, y * scale, PEN * scale * 0.8, 0, 2 * Math.PI);
    context.strokeStyle = colour;
    context.lineWidth = 2 * devicePixelRatio;
    context.stroke();
  }
}
