// A sheet to draw on with pen, mouse, finger or keys. Coordinates and widths of strokes are fractions of its width.

import { bitmap } from "/web/bitmap.js";

const EDGE = 0.03; // the keyboard's pen keeps this far from the edges
const STEP = 0.025; // of the keyboard's pen
const ERASER = 0.03; // radius
const PINCH = 250; // milliseconds; a second finger within this time means no stroke

export class Sheet {
  #canvas;
  #changed;
  #strokes = []; // of {pen, points}; replaced, never changed, once a stroke has ended
  #past = []; // earlier states of the strokes, for undo
  #future = []; // later ones, for redo
  #current = null; // the stroke that is being drawn, or what the eraser goes along
  #began = 0; // when, in milliseconds
  #pointer = null;
  #hasPen = false;
  #keyPen = null; // position of the keyboard's pen
  #frame = 0;
  #ratio = 1; // height / width; kept while the sheet is hidden

  pen = 0.03; // width of the strokes to come
  erases = false; // whether the pen removes the strokes that it touches

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

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  get strokes() {
    return this.#strokes;
  }

  /** Puts other strokes on the sheet. */
  set strokes(strokes) {
    this.#end();
    this.#remember();
    this.#strokes = strokes;
    this.#update(true);
  }

  /** The box around all strokes. */
  get extent() {
    const range = (axis) => [
      Math.min(...this.#strokes.map(({ pen, points }) => Math.min(...points.map((point) => point[axis])) - pen / 2)),
      Math.max(...this.#strokes.map(({ pen, points }) => Math.max(...points.map((point) => point[axis])) + pen / 2)),
    ];
    const [[left, right], [top, bottom]] = [range("x"), range("y")];
    return { left, top, width: right - left, height: bottom - top };
  }

  /** The whole sheet as a box. */
  get whole() {
    return { left: 0, top: 0, width: 1, height: this.#ratio };
  }

  undo() {
    this.#go(this.#past, this.#future);
  }

  redo() {
    this.#go(this.#future, this.#past);
  }

  clear() {
    if (!this.isEmpty) this.strokes = [];
  }

  /** Moves the keyboard's pen by a number of steps. */
  step(right, down) {
    this.#keyPen ??= { x: 0.35, y: 0.25 * this.#ratio };
    const clamp = (value, most) => Math.min(most - EDGE, Math.max(EDGE, value));
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
    if (this.#pointer !== null && event.timeStamp - this.#began < PINCH) this.#cancel({ pointerId: this.#pointer });
    if (!event.isPrimary || event.button !== 0 || this.#pointer !== null) return;
    this.#hasPen ||= event.pointerType === "pen";
    if (this.#hasPen && event.pointerType === "touch") return; // the hand that holds the pen
    event.preventDefault();
    this.#canvas.focus({ preventScroll: true, focusVisible: false });
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#keyPen = null;
    this.#began = event.timeStamp;
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
    if (!this.#current) return;
    this.#current = null;
    this.#strokes = this.#past.pop();
    this.#update(true);
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
    this.#remember();
    this.#current = { pen: this.pen, points: [], erases: this.erases };
    if (!this.erases) this.#strokes = [...this.#strokes, this.#current];
    this.#add(points);
  }

  #add(points) {
    this.#current.points.push(...points);
    if (this.#current.erases) {
      const isTouched = (stroke) => points.some((point) => distance(point, stroke) < ERASER + stroke.pen / 2);
      this.#strokes = this.#strokes.filter((stroke) => !isTouched(stroke));
    }
    this.#update(false);
  }

  #end() {
    if (!this.#current) return;
    this.#current = null;
    if (this.#strokes.length === this.#past.at(-1).length) this.#past.pop(); // the eraser met nothing
    this.#update(true);
  }

  #remember() {
    this.#past.push(this.#strokes);
    this.#future = [];
  }

  #go(from, to) {
    this.#end();
    if (!from.length) return;
    to.push(this.#strokes);
    this.#strokes = from.pop();
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
    for (const { pen, points } of this.#strokes) {
      let start = points[0];
      points.forEach((point, index) => {
        const before = points[Math.max(0, index - 1)];
        const last = index === points.length - 1;
        const end = last ? point : { x: (before.x + point.x) / 2, y: (before.y + point.y) / 2 };
        context.lineWidth = pen * scale * (0.5 + (point.pressure ?? 0.5));
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
    context.arc(x * scale, y * scale, (this.erases ? ERASER : 0.8 * this.pen) * scale, 0, 2 * Math.PI);
    context.strokeStyle = colour;
    context.lineWidth = 2 * devicePixelRatio;
    context.stroke();
  }
}

/** From a point to the nearest place of a stroke. */
function distance({ x, y }, { points }) {
  const toPiece = (start, end) => {
    const [right, down] = [end.x - start.x, end.y - start.y];
    const along = ((x - start.x) * right + (y - start.y) * down) / (right * right + down * down || 1);
    const part = Math.min(1, Math.max(0, along));
    return Math.hypot(x - start.x - part * right, y - start.y - part * down);
  };
  return Math.min(...points.map((point, index) => toPiece(points[Math.max(0, index - 1)], point)));
}
