"use strict";
// Charts of a run: data.charts has {title, log, series: [{name, x, y, dots}]}, x ascending.

const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#c2185b", "#7f7f7f"];
const WIDTH = 560, HEIGHT = 250, LEFT = 52, RIGHT = 16, TOP = 8, BOTTOM = 24;

function element(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function html(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function number(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function ticks(low, high, count) {
  const step = 10 ** Math.floor(Math.log10((high - low) / count));
  const wide = [1, 2, 5, 10].map((times) => times * step).find((size) => (high - low) / size <= count);
  const found = [];
  for (let at = Math.ceil(low / wide) * wide; at <= high + wide * 1e-9; at += wide) found.push(at);
  return found;
}

class Chart {
  constructor(spec) {
    this.spec = spec;
    const steps = spec.series.flatMap((each) => each.x);
    this.whole = [Math.min(...steps), Math.max(...steps)];
    this.range = this.whole;
    this.root = html("figure");
    this.root.append(html("figcaption", "", spec.title + (spec.log ? " (logarithmic)" : "")));
    this.svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": spec.title });
    this.legend = html("div", "legend");
    this.root.append(this.svg, this.legend);
    this.svg.addEventListener("pointerdown", (event) => this.begin(event));
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerup", (event) => this.end(event));
    this.svg.addEventListener("pointerleave", () => this.readout(null));
    this.svg.addEventListener("dblclick", () => this.show(this.whole));
    this.show(this.whole);
  }

  // Step under the pointer.
  step(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const share = Math.min(1, Math.max(0, (x - LEFT) / (WIDTH - LEFT - RIGHT)));
    return this.range[0] + share * (this.range[1] - this.range[0]);
  }

  begin(event) {
    this.from = this.step(event);
    this.svg.setPointerCapture(event.pointerId);
  }

  move(event) {
    const at = this.step(event);
    this.readout(at);
    if (this.from === undefined) return;
    const [low, high] = [Math.min(this.from, at), Math.max(this.from, at)];
    this.brush.setAttribute("x", this.x(low));
    this.brush.setAttribute("width", this.x(high) - this.x(low));
  }

  end(event) {
    const [low, high] = [this.from, this.step(event)].sort((a, b) => a - b);
    this.from = undefined;
    if (high - low > (this.range[1] - this.range[0]) / 50) this.show([low, high]);
    else this.brush.setAttribute("width", 0);
  }

  x(step) {
    return LEFT + ((step - this.range[0]) / (this.range[1] - this.range[0] || 1)) * (WIDTH - LEFT - RIGHT);
  }

  y(value) {
    const at = this.spec.log ? Math.log10(value) : value;
    return HEIGHT - BOTTOM - ((at - this.low) / (this.high - this.low || 1)) * (HEIGHT - TOP - BOTTOM);
  }

  show(range) {
    this.range = range;
    const inside = (each) => each.y.filter((value, i) => value !== null && each.x[i] >= range[0] && each.x[i] <= range[1]);
    let values = this.spec.series.flatMap(inside);
    if (this.spec.log) values = values.filter((value) => value > 0).map(Math.log10);
    if (!values.length) return;
    [this.low, this.high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const room = (this.high - this.low) * 0.05 || Math.abs(this.high) * 0.05 || 1;
    this.low -= room;
    this.high += room;
    this.draw();
  }

  draw() {
    this.svg.replaceChildren();
    for (const value of ticks(this.low, this.high, 5)) {
      const real = this.spec.log ? 10 ** value : value, y = this.y(real);
      this.svg.append(element("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
      this.svg.append(element("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, number(real)));
    }
    for (const step of ticks(this.range[0], Math.max(this.range[1], this.range[0] + 1), 7)) {
      const place = { x: this.x(step), y: HEIGHT - 6, "text-anchor": "middle" };
      if (place.x <= WIDTH - RIGHT + 1) this.svg.append(element("text", place, number(step)));
    }
    this.spec.series.forEach((each, index) => this.line(each, COLOURS[index % COLOURS.length]));
    this.brush = element("rect", { class: "brush", x: 0, y: TOP, width: 0, height: HEIGHT - TOP - BOTTOM });
    this.pointer = element("line", { class: "pointer", x1: -9, x2: -9, y1: TOP, y2: HEIGHT - BOTTOM });
    this.svg.append(this.brush, this.pointer);
    this.readout(null);
  }

  line(each, colour) {
    const points = [];
    each.x.forEach((step, i) => {
      const shown = step >= this.range[0] && step <= this.range[1] && each.y[i] !== null;
      if (shown && (!this.spec.log || each.y[i] > 0)) points.push([this.x(step), this.y(each.y[i])]);
    });
    if (each.dots) for (const [cx, cy] of points) this.svg.append(element("circle", { cx, cy, r: 3, fill: colour }));
    const path = points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" ");
    const dash = each.dots ? { "stroke-dasharray": "4 3" } : {};
    this.svg.append(element("polyline", { points: path, fill: "none", stroke: colour, "stroke-width": 1.5, ...dash }));
  }

  // The values nearest to a step; without one, names alone.
  readout(step) {
    this.pointer.setAttribute("x1", step === null ? -9 : this.x(step));
    this.pointer.setAttribute("x2", step === null ? -9 : this.x(step));
    this.legend.replaceChildren();
    if (step !== null) this.legend.append(html("span", "", `step ${Math.round(step)}`));
    this.spec.series.forEach((each, index) => {
      const entry = html("span"), mark = element("svg", { viewBox: "0 0 18 8" });
      const colour = COLOURS[index % COLOURS.length], dash = each.dots ? "4 3" : "none";
      mark.append(element("line", { x1: 0, x2: 18, y1: 4, y2: 4, stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
      let value = "";
      if (step !== null) {
        const near = each.x.reduce((best, at, i) => (Math.abs(at - step) < Math.abs(each.x[best] - step) ? i : best), 0);
        value = ` ${number(each.y[near])}`;
      }
      entry.append(mark, each.name + value);
      this.legend.append(entry);
    });
  }
}

const charts = document.getElementById("charts");
for (const spec of data.charts) charts.append(new Chart(spec).root);
document.documentElement.dataset.ready = "yes";
