// The search tree on a canvas: data in columns, layout, drawing with level of detail, moving about.
// Knows nothing of the page around it; every text that it draws is drawn as text.
"use strict";

const SCALE = [[68, 57, 131], [49, 104, 142], [33, 145, 140], [53, 183, 121], [233, 196, 42]];
const SHADES = 24; // colours that values are rounded to, so that a colour is filled at once
const RADIUS = 300; // of the outermost ring, in units of the layout
const MANY = 2500; // from here on edges are straight lines
const SLOW_MS = 13; // a picture that took longer is drawn without leaves' edges while it moves

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
  const ring = (level) => RADIUS * (level / deepest) ** 0.8;
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
    const band = crowded && place.leaf[i] ? (ring(depth) - ring(depth - 1)) * 0.62 : 0;
    const radius = ring(depth) - band * ((i * 0.6180339887) % 1);
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

  arrange() {
    this.place = layout(this.data, this.collapsed);
    const step = (node) => Math.round(Math.min(1, Math.max(0, node.value)) * (SHADES - 1));
    this.steps = Uint8Array.from(this.data.nodes, step);
    this.order = Uint32Array.from(this.data.nodes.keys()).sort(
      (a, b) => this.steps[a] - this.steps[b] || a - b);
    const rest = ["square", "triangle", "hexagon"];
    for (const { kind } of this.data.nodes) {
      if (!this.kinds.has(kind)) this.kinds.set(kind, rest[(this.kinds.size - 4) % rest.length]);
    }
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

  // While the view moves, a slow picture is thinned; it is completed when the movement ends.
  moved() {
    this.fitted = false;
    clearTimeout(this.moving);
    this.moving = setTimeout(() => { this.moving = 0; this.redraw(); }, 160);
    this.redraw();
  }

  size(i) {
    const { nodes } = this.data;
    const base = nodes.length > 1500 ? 1.5 : 3;
    const grown = base + 1.5 * Math.log(nodes[i].visits);
    const zoom = Math.min(2.2, Math.max(0.7, Math.sqrt(this.view.k)));
    return (nodes[i].kind === "passed" || nodes[i].kind === "verified" ? grown + 2 : grown) * zoom;
  }

  visible(i) {
    return this.place.shown[i] && this.data.nodes[i].at <= this.until;
  }

  draw() {
    const began = performance.now();
    const thin = this.moving && this.cost > SLOW_MS;
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = this.ink.page;
    c.fillRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    this.drawEdges(c, thin);
    const faint = [], bright = [];
    for (const i of this.order) {
      if (!this.visible(i) || !this.inside(i)) continue;
      (this.matches && !this.matches(i) ? faint : bright).push(i);
    }
    c.globalAlpha = 0.13;
    this.drawNodes(c, faint);
    c.globalAlpha = 1;
    this.drawNodes(c, bright);
    this.drawMarks(c, bright);
    if (bright.length < 50 && this.view.k > 1.5) this.drawLabels(c, bright);
    if (!thin) this.cost = performance.now() - began;
    this.frames = (this.frames || 0) + 1;
  }

  at(i) {
    const { k, x, y } = this.view;
    return [this.place.x[i] * k + x, this.place.y[i] * k + y];
  }

  inside(i) {
    const [x, y] = this.at(i);
    return x > -30 && y > -30 && x < this.canvas.clientWidth + 30 && y < this.canvas.clientHeight + 30;
  }

  drawEdges(c, thin) {
    const { nodes, best } = this.data;
    const straight = nodes.length > MANY;
    for (const chosen of [false, true]) {
      c.beginPath();
      for (let i = 1; i < nodes.length; i++) {
        if (!this.visible(i) || best.has(i) !== chosen) continue;
        if (thin && this.place.leaf[i] && !chosen) continue;
        const up = nodes[i].parent;
        const [x0, y0] = this.at(up), [x1, y1] = this.at(i);
        if ((x0 < 0 && x1 < 0) || (y0 < 0 && y1 < 0)) continue;
        if (Math.min(x0, x1) > this.canvas.clientWidth) continue;
        if (Math.min(y0, y1) > this.canvas.clientHeight) continue;
        c.moveTo(x0, y0);
        if (straight && !chosen) c.lineTo(x1, y1);
        else this.curve(c, up, i, x0, y0, x1, y1);
      }
      c.strokeStyle = chosen ? this.ink.best : this.ink.edge;
      c.lineWidth = chosen ? 2.5 : straight ? 0.5 : 1;
      c.stroke();
    }
  }

  // From ring to ring: leaves the inner one and meets the outer one at right angles.
  curve(c, up, i, x0, y0, x1, y1) {
    const { k, x, y } = this.view;
    const r0 = Math.hypot(this.place.x[up], this.place.y[up]);
    const r1 = Math.hypot(this.place.x[i], this.place.y[i]) || 1;
    const half = (r0 + r1) / 2;
    const out = [this.place.x[i] * (half / r1) * k + x, this.place.y[i] * (half / r1) * k + y];
    const from = r0 ? [this.place.x[up] * (half / r0) * k + x, this.place.y[up] * (half / r0) * k + y] : out;
    c.bezierCurveTo(from[0], from[1], out[0], out[1], x1, y1);
  }

  drawNodes(c, list) {
    let step = -1;
    for (const i of list) {
      if (this.steps[i] !== step) {
        if (step >= 0) c.fill();
        step = this.steps[i];
        c.fillStyle = COLOURS[step];
        c.beginPath();
      }
      const [x, y] = this.at(i), r = this.size(i);
      const shape = SHAPES[this.kinds.get(this.data.nodes[i].kind)];
      if (r < 2.6 && shape === SHAPES.disc) c.rect(x - r, y - r, 2 * r, 2 * r);
      else shape(c, x, y, r);
    }
    if (step >= 0) c.fill();
  }

  drawMarks(c, list) {
    c.lineWidth = 2;
    for (const i of list) {
      const { kind } = this.data.nodes[i];
      const [x, y] = this.at(i), r = this.size(i);
      if (kind === "passed" || kind === "verified") this.circle(c, x, y, r + 4, this.ink.good);
      if (kind === "root") this.circle(c, x, y, r + 3, this.ink.text);
      if (this.collapsed.has(i) && this.data.children[i].length) {
        c.fillStyle = this.ink.text;
        c.font = "600 13px system-ui, sans-serif";
        c.fillText("+", x + r + 1, y - r + 3);
      }
    }
    c.lineWidth = 3;
    for (const i of [this.selected, this.hovered]) {
      if (i < 0 || !this.visible(i)) continue;
      const [x, y] = this.at(i);
      this.circle(c, x, y, this.size(i) + 6, this.ink.pick);
    }
  }

  circle(c, x, y, r, colour) {
    c.strokeStyle = colour;
    c.beginPath();
    c.arc(x, y, r, 0, 7);
    c.stroke();
  }

  drawLabels(c, list) {
    c.font = "12px system-ui, sans-serif";
    c.fillStyle = this.ink.text;
    for (const i of list) {
      const [x, y] = this.at(i);
      const { label } = this.data.nodes[i];
      c.fillText(label.length > 60 ? `${label.slice(0, 59)}…` : label, x + this.size(i) + 5, y + 4);
    }
  }

  // ---- choosing and moving ----------------------------------------------------------

  nearest(x, y) {
    let found = -1, least = 14 ** 2;
    for (let i = 0; i < this.data.nodes.length; i++) {
      if (!this.visible(i)) continue;
      const [px, py] = this.at(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) { least = distance; found = i; }
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
