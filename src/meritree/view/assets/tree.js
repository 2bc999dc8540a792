// The search tree on a canvas: data in columns, layout, drawing with level of detail, moving about.
// Knows nothing of the page around it; every text that it draws is drawn as text.
"use strict";

const SCALE = [[68, 57, 131], [49, 104, 142], [33, 145, 140], [53, 183, 121], [233, 196, 42]];
const SHADES = 24; // colours that values are rounded to, so that a colour is filled at once
const RADIUS = 300; // of the outermost ring, in units of the layout
const MANY = 2500; // from here on edges are straight lines
const SLOW_MS = 10; // a picture that took longer is copied while it moves

function shade(step) {
  const place = (step / (SHADES - 1)) * (SCALE.length - 1);
  const low = Math.min(Math.floor(place), SCALE.length - 2);
  const mix = SCALE[low].map((a, i) => Math.round(a + (SCALE[low + 1][i] - a) * (place - low)));
  return `rgb(${mix.join(",")})`;
}

const COLOURS = Array.from({ length: SHADES }, (_, step) => shade(step));

class TreeData {
  constructor() {
    this.nodes = []; // {id, parent (index), depth, value, repeats, at, kind, label, ...}
    this.byId = new Map();
    this.children = [];
    this.best = new Set();
    this.bestPath = [];
  }

  append(columns) {
    const text = columns.texts;
    const first = this.nodes.length;
    columns.id.forEach((id, row) => {
      if (this.byId.has(id)) return;
      const parent = this.byId.get(columns.parent[row]);
      if (parent === undefined && columns.parent[row] >= 0) return;
      const index = this.nodes.length;
      this.byId.set(id, index);
      this.children.push([]);
      if (parent !== undefined) this.children[parent].push(index);
      this.nodes.push({
        id, columns, row, visits: 1,
        parent: parent === undefined ? -1 : parent,
        depth: parent === undefined ? 0 : this.nodes[parent].depth + 1,
        value: columns.value[row], repeats: columns.repeats[row], at: columns.at[row],
        kind: text[columns.kind[row]], action: text[columns.action[row]],
        label: text[columns.label[row]],
      });
    });
    this.setBest(columns.best);
    this.count();
    return this.nodes.length - first;
  }

  setBest(ids) {
    this.bestPath = ids.map((id) => this.byId.get(id)).filter((index) => index !== undefined);
    this.best = new Set(this.bestPath);
  }

  // Visits: the node itself, its repeats, everything below.
  count() {
    for (const node of this.nodes) node.visits = 1 + node.repeats;
    for (let i = this.nodes.length - 1; i > 0; i--) {
      const node = this.nodes[i];
      if (node.parent >= 0) this.nodes[node.parent].visits += node.visits;
    }
  }

  text(index, column) {
    const { columns, row } = this.nodes[index];
    return columns.texts[columns[column][row]];
  }
}

// Angles in proportion to the leaves below, radius by depth; crowded leaves fill a band.
function layout(data, collapsed) {
  const n = data.nodes.length;
  const place = {
    x: new Float32Array(n), y: new Float32Array(n),
    shown: new Uint8Array(n), leaf: new Uint8Array(n),
  };
  const leaves = new Float64Array(n), start = new Float64Array(n);
  let deepest = 1;
  for (let i = 0; i < n; i++) {
    const { parent, depth } = data.nodes[i];
    place.shown[i] = parent < 0 || (place.shown[parent] && !collapsed.has(parent)) ? 1 : 0;
    if (place.shown[i]) deepest = Math.max(deepest, depth);
  }
  for (let i = n - 1; i >= 0; i--) {
    if (!place.shown[i]) continue;
    if (!leaves[i]) { leaves[i] = 1; place.leaf[i] = 1; }
    if (data.nodes[i].parent >= 0) leaves[data.nodes[i].parent] += leaves[i];
  }
  const rings = Array.from({ length: deepest + 1 }, (_, level) => RADIUS * (level / deepest) ** 0.8);
  const crowded = leaves[0] > 90;
  start[0] = -Math.PI / 2;
  for (let i = 0; i < n; i++) {
    if (!place.shown[i]) continue;
    let cursor = start[i];
    if (!collapsed.has(i)) {
      for (const child of data.children[i]) {
        start[child] = cursor;
        cursor += (2 * Math.PI * leaves[child]) / leaves[0];
      }
    }
    const { depth } = data.nodes[i];
    if (!depth) continue;
    const angle = start[i] + (Math.PI * leaves[i]) / leaves[0];
    const band = crowded && place.leaf[i] ? (rings[depth] - rings[depth - 1]) * 0.62 : 0;
    const radius = rings[depth] - band * ((i * 0.6180339887) % 1);
    place.x[i] = radius * Math.cos(angle);
    place.y[i] = radius * Math.sin(angle);
  }
  return place;
}

// Outlines by kind; other kinds take the rest in the order in which they come.
const SHAPES = {
  disc: (c, x, y, r) => { c.moveTo(x + r, y); c.arc(x, y, r, 0, 7); },
  square: (c, x, y, r) => c.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76),
  diamond: (c, x, y, r) => polygon(c, x, y, [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]], r),
  triangle: (c, x, y, r) => polygon(c, x, y, [[0, -1.3], [1.2, 0.9], [-1.2, 0.9]], r),
  hexagon: (c, x, y, r) => polygon(c, x, y, corners(6, () => 1.15), r),
  star: (c, x, y, r) => polygon(c, x, y, corners(10, (i) => (i % 2 ? 0.75 : 1.7)), r),
};

function corners(n, size) {
  return Array.from({ length: n }, (_, i) => {
    const angle = (2 * Math.PI * i) / n - Math.PI / 2;
    return [size(i) * Math.cos(angle), size(i) * Math.sin(angle)];
  });
}

function polygon(c, x, y, points, r) {
  points.forEach(([px, py], i) => c[i ? "lineTo" : "moveTo"](x + px * r, y + py * r));
  c.closePath();
}

class TreePicture {
  constructor(canvas, onSelect, onHover) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.data = new TreeData();
    this.collapsed = new Set();
    this.matches = null; // index -> bool, null: everything
    this.until = Infinity; // evaluations replayed
    this.selected = -1;
    this.hovered = -1;
    this.view = { k: 1, x: 0, y: 0 };
    this.kinds = new Map([
      ["root", "disc"], ["edit", "disc"], ["passed", "diamond"], ["verified", "star"],
    ]);
    this.onSelect = onSelect;
    this.onHover = onHover;
    this.cost = 0; // milliseconds of the last whole picture
    this.moving = 0;
    this.fitted = true;
    for (const name of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(name).addEventListener("change", () => this.recolour());
    }
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
    this.recolour();
  }

  append(columns) {
    const added = this.data.append(columns);
    this.arrange();
    return added;
  }

  // What follows from the data and from what is collapsed; drawing only reads it.
  arrange() {
    const { nodes } = this.data;
    this.place = layout(this.data, this.collapsed);
    const rest = ["square", "triangle", "hexagon"];
    for (const { kind } of nodes) {
      if (!this.kinds.has(kind)) this.kinds.set(kind, rest[(this.kinds.size - 4) % rest.length]);
    }
    this.radius = new Float32Array(nodes.length);
    this.solved = new Uint8Array(nodes.length);
    this.steps = new Uint8Array(nodes.length);
    this.up = Int32Array.from(nodes, (node) => node.parent);
    this.ats = Float64Array.from(nodes, (node) => node.at);
    this.shapes = nodes.map((node) => SHAPES[this.kinds.get(node.kind)]);
    this.screen = { x: new Float32Array(nodes.length), y: new Float32Array(nodes.length) };
    this.buckets = Array.from({ length: SHADES }, () => []);
    nodes.forEach(({ visits, kind, value }, i) => {
      this.solved[i] = kind === "passed" || kind === "verified" ? 1 : 0;
      const grown = (nodes.length > 1500 ? 1.5 : 3) + 1.5 * Math.log(visits);
      this.radius[i] = this.solved[i] ? grown + 2 : grown;
      this.steps[i] = Math.round(Math.min(1, Math.max(0, value)) * (SHADES - 1));
      this.buckets[this.steps[i]].push(i);
    });
    this.last = null;
    if (this.fitted) this.fit();
    else this.redraw();
  }

  recolour() {
    const style = getComputedStyle(this.canvas);
    const read = (name) => style.getPropertyValue(name).trim();
    this.ink = { page: read("--page"), text: read("--ink"), edge: read("--edge"),
      best: read("--best"), good: read("--good"), pick: read("--pick") };
    this.redraw();
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.ratio = ratio;
    if (this.fitted && this.place) this.fit();
    else this.redraw();
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const { x, y, shown } = this.place;
    const box = [-40, -40, 40, 40]; // left, top, right, bottom
    for (let i = 0; i < x.length; i++) {
      if (!shown[i]) continue;
      if (x[i] < box[0]) box[0] = x[i];
      if (y[i] < box[1]) box[1] = y[i];
      if (x[i] > box[2]) box[2] = x[i];
      if (y[i] > box[3]) box[3] = y[i];
    }
    const k = Math.min(w / (box[2] - box[0] + 50), h / (box[3] - box[1] + 50));
    this.view = { k, x: w / 2 - (k * (box[0] + box[2])) / 2, y: h / 2 - (k * (box[1] + box[3])) / 2 };
    this.fitted = true;
    this.redraw();
  }

  redraw() {
    if (this.asked || !this.place) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.draw(); });
  }

  moved() {
    this.fitted = false;
    clearTimeout(this.moving);
    this.moving = setTimeout(() => { this.moving = 0; this.redraw(); }, 160);
    this.redraw();
  }

  zoomed() {
    return Math.min(2.2, Math.max(0.7, Math.sqrt(this.view.k)));
  }

  size(i) {
    return this.radius[i] * this.zoomed();
  }

  visible(i) {
    return this.place.shown[i] && this.ats[i] <= this.until;
  }

  // A picture that is slow to draw is moved as a whole while the view moves, and drawn anew when
  // it rests; while a replay runs, what is new is drawn on top of it.
  draw() {
    const began = performance.now();
    this.frames = (this.frames || 0) + 1;
    const slow = this.cost > SLOW_MS;
    if (this.moving && slow && this.still) { this.drawMoved(); return; }
    const c = this.context, count = this.upTo(this.until), { last, view } = this;
    if (this.playing && slow && last && !this.matches && last.count <= count &&
        last.k === view.k && last.x === view.x && last.y === view.y) {
      this.drawAdded(c, last.count, count);
      last.count = count;
      return;
    }
    this.last = { count, ...view };
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = this.ink.page;
    c.fillRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    const { bright, faint } = this.project();
    this.drawEdges(c);
    if (faint) {
      c.globalAlpha = 0.13;
      this.drawNodes(c, 2);
      c.globalAlpha = 1;
    }
    this.drawNodes(c, 1);
    this.drawMarks(c);
    if (bright < 50 && this.view.k > 1.5) this.drawLabels(c);
    this.cost = performance.now() - began;
    this.still = null;
    if (this.cost > SLOW_MS) this.keep();
  }

  // How many nodes are there at an evaluation; nodes come in the order of their evaluations.
  upTo(at) {
    let low = 0, high = this.ats.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ats[middle] <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  drawAdded(c, first, end) {
    const { x, y } = this.screen, zoomed = this.zoomed();
    c.lineWidth = 0.5;
    c.strokeStyle = this.ink.edge;
    c.globalAlpha = 0.5;
    c.beginPath();
    for (let i = Math.max(1, first); i < end; i++) {
      if (!this.place.shown[i]) continue;
      c.moveTo(x[this.up[i]], y[this.up[i]]);
      c.lineTo(x[i], y[i]);
    }
    c.stroke();
    c.globalAlpha = 1;
    for (let i = first; i < end; i++) {
      if (!this.place.shown[i]) continue;
      c.fillStyle = COLOURS[this.steps[i]];
      c.beginPath();
      this.shapes[i](c, x[i], y[i], this.radius[i] * zoomed);
      c.fill();
    }
  }

  keep() {
    this.copy ||= document.createElement("canvas");
    this.copy.width = this.canvas.width;
    this.copy.height = this.canvas.height;
    this.copy.getContext("2d", { alpha: false }).drawImage(this.canvas, 0, 0);
    this.still = { ...this.view };
  }

  drawMoved() {
    const c = this.context, { k, x, y } = this.view, from = this.still;
    const by = k / from.k;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.fillStyle = this.ink.page;
    c.fillRect(0, 0, this.canvas.width, this.canvas.height);
    c.drawImage(this.copy, (x - from.x * by) * this.ratio, (y - from.y * by) * this.ratio,
      this.copy.width * by, this.copy.height * by);
  }

  // Places on the screen; `mark` says what is to be drawn: 0 not, 1 as it is, 2 faintly.
  project() {
    const { x: px, y: py, shown } = this.place, { x: sx, y: sy } = this.screen;
    const { k, x, y } = this.view, n = px.length;
    const right = this.canvas.clientWidth + 30, bottom = this.canvas.clientHeight + 30;
    const mark = (this.mark = new Uint8Array(n));
    let bright = 0, faint = 0;
    for (let i = 0; i < n; i++) {
      sx[i] = px[i] * k + x;
      sy[i] = py[i] * k + y;
      if (!shown[i] || this.ats[i] > this.until) continue;
      if (sx[i] < -30 || sy[i] < -30 || sx[i] > right || sy[i] > bottom) continue;
      if (this.matches && !this.matches(i)) { mark[i] = 2; faint++; } else { mark[i] = 1; bright++; }
    }
    return { bright, faint };
  }

  at(i) {
    const { k, x, y } = this.view;
    return [this.place.x[i] * k + x, this.place.y[i] * k + y];
  }

  inside(i) {
    const [x, y] = this.at(i);
    return x > 0 && y > 0 && x < this.canvas.clientWidth && y < this.canvas.clientHeight;
  }

  drawEdges(c) {
    const { best } = this.data, { x, y } = this.screen, { shown } = this.place;
    const right = this.canvas.clientWidth, bottom = this.canvas.clientHeight;
    const straight = x.length > MANY;
    c.lineWidth = straight ? 0.5 : 1;
    c.strokeStyle = this.ink.edge;
    c.globalAlpha = straight ? 0.5 : 1;
    c.beginPath();
    for (let i = 1; i < x.length; i++) {
      if (!shown[i] || this.ats[i] > this.until) continue;
      const up = this.up[i];
      const x0 = x[up], y0 = y[up], x1 = x[i], y1 = y[i];
      if ((x0 < 0 && x1 < 0) || (y0 < 0 && y1 < 0)) continue;
      if ((x0 > right && x1 > right) || (y0 > bottom && y1 > bottom)) continue;
      c.moveTo(x0, y0);
      if (straight) c.lineTo(x1, y1);
      else this.curve(c, up, i, x1, y1);
    }
    c.stroke();
    c.globalAlpha = 1;
    c.lineWidth = 2.5;
    c.strokeStyle = this.ink.best;
    c.beginPath();
    for (const i of best) {
      if (i === 0 || !this.visible(i)) continue;
      c.moveTo(x[this.up[i]], y[this.up[i]]);
      this.curve(c, this.up[i], i, x[i], y[i]);
    }
    c.stroke();
  }

  // From ring to ring: leaves the inner one and meets the outer one at right angles.
  curve(c, up, i, x1, y1) {
    const { k, x, y } = this.view;
    const r0 = Math.hypot(this.place.x[up], this.place.y[up]);
    const r1 = Math.hypot(this.place.x[i], this.place.y[i]) || 1;
    const half = (r0 + r1) / 2;
    const out = [this.place.x[i] * (half / r1) * k + x, this.place.y[i] * (half / r1) * k + y];
    const from = r0 ? [this.place.x[up] * (half / r0) * k + x, this.place.y[up] * (half / r0) * k + y] : out;
    c.bezierCurveTo(from[0], from[1], out[0], out[1], x1, y1);
  }

  drawNodes(c, which) {
    const { x, y } = this.screen, zoomed = this.zoomed();
    this.buckets.forEach((bucket, step) => {
      c.fillStyle = COLOURS[step];
      c.beginPath();
      let some = false;
      for (const i of bucket) {
        if (this.mark[i] !== which) continue;
        some = true;
        const r = this.radius[i] * zoomed;
        if (r < 2.6 && this.shapes[i] === SHAPES.disc) c.rect(x[i] - r, y[i] - r, 2 * r, 2 * r);
        else this.shapes[i](c, x[i], y[i], r);
      }
      if (some) c.fill();
    });
  }

  drawMarks(c) {
    const { x, y } = this.screen;
    c.lineWidth = 2;
    for (let i = 0; i < x.length; i++) {
      if (this.mark[i] === 1 && this.solved[i]) this.circle(c, x[i], y[i], this.size(i) + 4, this.ink.good);
    }
    if (this.mark[0] === 1) this.circle(c, x[0], y[0], this.size(0) + 3, this.ink.text);
    c.fillStyle = this.ink.text;
    c.font = "600 13px system-ui, sans-serif";
    for (const i of this.collapsed) {
      if (this.mark[i]) c.fillText("+", x[i] + this.size(i) + 1, y[i] - this.size(i) + 3);
    }
    c.lineWidth = 3;
    for (const i of [this.selected, this.hovered]) {
      if (i >= 0 && this.mark[i]) this.circle(c, x[i], y[i], this.size(i) + 6, this.ink.pick);
    }
  }

  circle(c, x, y, r, colour) {
    c.strokeStyle = colour;
    c.beginPath();
    c.arc(x, y, r, 0, 7);
    c.stroke();
  }

  drawLabels(c) {
    const { x, y } = this.screen;
    c.font = "12px system-ui, sans-serif";
    c.fillStyle = this.ink.text;
    this.data.nodes.forEach(({ label }, i) => {
      if (this.mark[i] !== 1) return;
      const text = label.length > 60 ? `${label.slice(0, 59)}…` : label;
      c.fillText(text, x[i] + this.size(i) + 5, y[i] + 4);
    });
  }

  // ---- choosing and moving ----------------------------------------------------------

  nearest(x, y) {
    let found = -1, least = 14 ** 2;
    const { x: px, y: py } = this.place, { k } = this.view;
    for (let i = 0; i < px.length; i++) {
      const distance = (px[i] * k + this.view.x - x) ** 2 + (py[i] * k + this.view.y - y) ** 2;
      if (distance < least && this.visible(i)) { least = distance; found = i; }
    }
    return found;
  }

  select(i, follow) {
    if (i === undefined || i < 0 || !this.data.nodes[i]) return;
    for (let up = this.data.nodes[i].parent; up >= 0; up = this.data.nodes[up].parent) {
      if (this.collapsed.delete(up)) this.stale = true;
    }
    if (this.stale) { this.stale = false; this.arrange(); }
    this.selected = i;
    if (follow && !this.inside(i)) this.centre(i);
    this.redraw();
    this.onSelect(i);
  }

  centre(i) {
    const { k } = this.view;
    this.view.x = this.canvas.clientWidth / 2 - this.place.x[i] * k;
    this.view.y = this.canvas.clientHeight / 2 - this.place.y[i] * k;
    this.moved();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const k = Math.min(400, Math.max(0.1, this.view.k * factor));
    const real = k / this.view.k;
    this.view = { k, x: x - (x - this.view.x) * real, y: y - (y - this.view.y) * real };
    this.moved();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.moved();
  }

  collapse(i) {
    if (i < 0 || !this.data.children[i].length) return;
    if (!this.collapsed.delete(i)) this.collapsed.add(i);
    this.arrange();
  }

  beside(i, step) {
    const { parent } = this.data.nodes[i];
    const row = parent < 0 ? [i] : this.data.children[parent];
    return row[(row.indexOf(i) + step + row.length) % row.length];
  }

  key(event) {
    const i = this.selected < 0 ? 0 : this.selected;
    const below = this.data.children[i] || [];
    const onBest = below.find((child) => this.data.best.has(child));
    const does = {
      ArrowLeft: () => this.select(this.data.nodes[i].parent, true),
      ArrowRight: () => this.select(onBest ?? below[0], true),
      ArrowUp: () => this.select(this.beside(i, -1), true),
      ArrowDown: () => this.select(this.beside(i, 1), true),
      Home: () => this.select(0, true),
      End: () => this.select(this.data.bestPath.at(-1), true),
      "+": () => this.zoom(1.3), "=": () => this.zoom(1.3), "-": () => this.zoom(1 / 1.3),
      0: () => this.fit(), c: () => this.collapse(i), Enter: () => this.centre(i),
    }[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey || !this.data.nodes.length) return;
    event.preventDefault();
    if (event.shiftKey && event.key.startsWith("Arrow")) {
      const by = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
      this.pan(...by[event.key]);
    } else does();
  }

  listen() {
    const { canvas } = this;
    const fingers = new Map();
    let travelled = 0;
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => {
      // The page scrolls past the picture unless it has the focus.
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      canvas.setPointerCapture(event.pointerId);
      travelled = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) { this.hover(event); return; }
      const dx = event.offsetX - before.offsetX, dy = event.offsetY - before.offsetY;
      travelled += Math.abs(dx) + Math.abs(dy);
      const other = [...fingers.values()].find((one) => one.pointerId !== event.pointerId);
      if (other) {
        const gap = (one) => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY);
        this.zoom(gap(event) / (gap(before) || 1), other.offsetX, other.offsetY);
      } else if (travelled > 4) this.pan(dx, dy);
      fingers.set(event.pointerId, event);
    });
    const lifted = (event) => {
      const alone = fingers.size === 1 && fingers.delete(event.pointerId);
      fingers.delete(event.pointerId);
      if (event.type === "pointerup" && alone && travelled <= 4) {
        this.select(this.nearest(event.offsetX, event.offsetY));
      }
    };
    canvas.addEventListener("pointerup", lifted);
    canvas.addEventListener("pointercancel", lifted);
    canvas.addEventListener("pointerleave", () => { this.hovered = -1; this.onHover(-1); this.redraw(); });
    canvas.addEventListener("dblclick", () => this.collapse(this.selected));
  }

  hover(event) {
    const i = this.nearest(event.offsetX, event.offsetY);
    if (i === this.hovered) return;
    this.hovered = i;
    this.onHover(i, event.offsetX, event.offsetY);
    this.redraw();
  }
}
