// The page around the tree: details of a node, filters, replay, and a running search's events.
// Texts of a run are hostile: they enter the page as text nodes only.
"use strict";

const $ = (id) => document.getElementById(id);

function make(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

function table(head, rows) {
  const line = (cell, cells) => make("tr", {}, ...cells.map((one) => make(cell, {}, one)));
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, line("th", head)),
    make("tbody", {}, ...rows.map((row) => line("td", row)))));
}

function differences(text) {
  const block = make("pre", { tabindex: "0", "aria-label": "change against the parent" });
  for (const line of text.split("\n")) {
    const head = line.startsWith("+++") || line.startsWith("---");
    const kind = head ? "head" : { "+": "add", "-": "del", "@": "hunk" }[line[0]] || "";
    block.append(make("span", { class: kind }, line || " "));
  }
  return block;
}

function meter(value) {
  return make("meter", { min: 0, max: 1, value, "aria-label": `value ${value}` });
}

class Page {
  constructor() {
    document.body.classList.add("js");
    $("explorer").hidden = false;
    this.live = document.body.dataset.live || "";
    this.picture = new TreePicture($("tree"), (i) => this.show(i), (i, x, y) => this.hint(i, x, y));
    this.controls();
    const columns = JSON.parse($("tree-data").textContent);
    this.picture.append(columns);
    this.offer();
    const { bestPath } = this.picture.data;
    if (bestPath.length) this.picture.select(bestPath.at(-1));
    if (this.live) this.follow();
  }

  // ---- controls ---------------------------------------------------------------------

  controls() {
    const refilter = () => this.filter();
    for (const id of ["find", "action", "kind", "least"]) {
      for (const name of ["input", "change"]) $(id).addEventListener(name, refilter);
    }
    $("find").addEventListener("keydown", (event) => { if (event.key === "Enter") this.next(); });
    $("slider").addEventListener("input", () => { this.stop(); this.replay(Number($("slider").value)); });
    $("play").addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    const buttons = {
      closer: () => this.picture.zoom(1.4), wider: () => this.picture.zoom(1 / 1.4),
      whole: () => this.picture.fit(), fold: () => this.picture.collapse(this.picture.selected),
      unfold: () => { this.picture.collapsed.clear(); this.picture.arrange(); },
      "to-best": () => this.picture.select(this.picture.data.bestPath.at(-1), true),
    };
    for (const [id, does] of Object.entries(buttons)) $(id).addEventListener("click", does);
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "/" && !typing) { event.preventDefault(); $("find").focus(); }
    });
  }

  // The choices of the filters and the length of the replay follow the data.
  offer() {
    const { nodes } = this.picture.data;
    for (const [id, key] of [["action", "action"], ["kind", "kind"]]) {
      const known = new Set([...$(id).options].map((option) => option.value));
      const counts = new Map();
      for (const node of nodes) counts.set(node[key], (counts.get(node[key]) || 0) + 1);
      for (const [name] of [...counts].sort((a, b) => b[1] - a[1])) {
        if (name && !known.has(name)) $(id).append(make("option", { value: name }, name));
      }
    }
    const last = nodes.reduce((most, node) => Math.max(most, node.at), 0);
    const atEnd = this.picture.until >= Number($("slider").max);
    $("slider").max = last;
    if (atEnd) { $("slider").value = last; this.picture.until = Infinity; }
    this.count();
  }

  filter() {
    const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const action = $("action").value, kind = $("kind").value, least = Number($("least").value);
    const { data } = this.picture;
    const texts = (i) => [data.nodes[i].label, data.text(i, "seen"), data.text(i, "diff")];
    const plain = !words.length && !action && !kind && !least;
    const memory = new Map();
    this.picture.matches = plain ? null : (i) => {
      if (memory.has(i)) return memory.get(i);
      const node = data.nodes[i];
      const hay = words.length ? texts(i).join("\n").toLowerCase() : "";
      const fits = (!action || node.action === action) && (!kind || node.kind === kind) &&
        node.value >= least && words.every((word) => hay.includes(word));
      memory.set(i, fits);
      return fits;
    };
    this.picture.redraw();
    this.count();
  }

  count() {
    const { data, matches } = this.picture;
    const shown = this.picture.upTo(this.picture.until);
    let many = 0;
    for (let i = 0; matches && i < shown; i++) if (matches(i)) many += 1;
    $("counted").textContent = matches ? `${many} of ${shown} nodes match` : `${shown} nodes`;
    const at = Math.min(this.picture.until, Number($("slider").max));
    $("when").textContent = `step ${at} of ${$("slider").max}`;
  }

  // Enter in the search field goes from match to match.
  next() {
    const { data, matches, selected } = this.picture;
    const n = data.nodes.length;
    for (let step = 1; step <= n && matches; step++) {
      const i = (selected + step) % n;
      if (matches(i) && this.picture.visible(i)) { this.picture.select(i, true); return; }
    }
  }

  replay(at) {
    this.picture.until = at >= Number($("slider").max) ? Infinity : at;
    this.picture.playing = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { this.picture.playing = false; this.picture.redraw(); }, 200);
    this.picture.redraw();
    this.count();
  }

  play() {
    const last = Number($("slider").max);
    if (Number($("slider").value) >= last) $("slider").value = 0;
    const step = Math.max(1, last / 240);
    let at = Number($("slider").value);
    $("play").textContent = "Pause";
    this.timer = setInterval(() => {
      at = Math.min(last, at + step);
      $("slider").value = at;
      this.replay(Math.round(at));
      if (at >= last) this.stop();
    }, 50);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    $("play").textContent = "Replay";
  }

  // ---- details ----------------------------------------------------------------------

  hint(i, x, y) {
    const hint = $("hint");
    hint.hidden = i < 0;
    if (i < 0) return;
    const node = this.picture.data.nodes[i];
    hint.textContent = `${node.label}\nvalue ${node.value.toFixed(2)}, visits ${node.visits}`;
    hint.style.left = `${Math.min(x + 14, $("tree").clientWidth - 260)}px`;
    hint.style.top = `${y + 14}px`;
  }

  show(i) {
    const { data } = this.picture;
    const node = data.nodes[i], { columns, row } = node;
    const parts = [make("h3", {}, node.label)];
    parts.push(make("p", { class: "soft" }, [
      `node ${node.id}`, node.kind, node.action && `action ${node.action}`,
      `value ${node.value.toFixed(3)}`, `visits ${node.visits}`, `depth ${node.depth}`,
      node.at && `step ${node.at}, ${columns.time[row]} s`,
      columns.prior[row] !== null && `prior ${columns.prior[row]}`,
      data.text(i, "cost"),
    ].filter(Boolean).join(", ")));
    parts.push(this.way(i));
    const seen = data.text(i, "seen"), diff = data.text(i, "diff");
    if (diff) parts.push(make("h4", {}, "Change against the parent"), differences(diff));
    if (seen) parts.push(make("h4", {}, "What came back"), make("pre", { class: "plain", tabindex: "0" }, seen));
    const rows = columns.channels
      .map((name, c) => [columns.texts[name], columns.levels[c][row], columns.texts[columns.reasons[c][row]]])
      .filter((one) => one[1] !== null)
      .sort((a, b) => b[1] - a[1])
      .map(([name, level, why]) => [name, meter(level), level.toFixed(2), why]);
    if (rows.length) {
      parts.push(make("h4", {}, "Its value, channel by channel"), table(["channel", "bar", "value", "reason"], rows));
    }
    const score = make("div", {});
    parts.push(score);
    $("detail").replaceChildren(...parts);
    if (columns.terms) this.score(score, columns.terms[row], columns.texts);
    else if (this.live) this.ask(score, node.id);
  }

  // The way from the root, as buttons.
  way(i) {
    const { nodes } = this.picture.data;
    const list = make("ol", { class: "way", "aria-label": "the way from the root" });
    for (let up = nodes[i].parent; up >= 0; up = nodes[up].parent) {
      const button = make("button", { type: "button" }, nodes[up].label);
      const target = up;
      button.addEventListener("click", () => this.picture.select(target, true));
      list.prepend(make("li", {}, button));
    }
    return list;
  }

  score(place, row, texts) {
    if (!row || !row.length) return;
    const rows = [];
    let sum = 0;
    for (let t = 0; t < row.length; t += 3) {
      const value = row[t + 2] === null ? -Infinity : row[t + 2];
      sum += value;
      rows.push([texts[row[t]], texts[row[t + 1]], value.toFixed(3)]);
    }
    rows.push(["score", "their sum", sum.toFixed(3)]);
    place.append(make("h4", {}, "The selector's score, term by term"), table(["term", "formula", "value"], rows));
  }

  async ask(place, id) {
    const answer = await fetch(`${this.live}/node/${id}`);
    if (!answer.ok) return;
    const { terms, texts } = await answer.json();
    place.replaceChildren();
    this.score(place, terms, texts);
  }

  // ---- a running search -------------------------------------------------------------

  follow() {
    const have = this.picture.data.nodes.length;
    const stream = new EventSource(`${this.live}/events?have=${have}`);
    stream.addEventListener("nodes", (event) => {
      const columns = JSON.parse(event.data);
      if (this.picture.append(columns)) { this.offer(); this.filter(); }
      if (this.picture.selected < 0) this.picture.select(0);
    });
    stream.addEventListener("state", (event) => this.state(JSON.parse(event.data)));
    stream.addEventListener("end", (event) => { stream.close(); this.state(JSON.parse(event.data)); });
    stream.onerror = () => { $("live").textContent = "connection lost; trying again"; };
  }

  state(told) {
    $("live").textContent = told.words;
    this.picture.data.setBest(told.best);
    for (const [id, kind] of told.kinds) {
      const index = this.picture.data.byId.get(id);
      if (index !== undefined) this.picture.data.nodes[index].kind = kind;
    }
    for (const [id, repeats] of told.repeats) {
      const index = this.picture.data.byId.get(id);
      if (index !== undefined) this.picture.data.nodes[index].repeats = repeats;
    }
    this.picture.data.count();
    this.picture.arrange();
    const curve = $("curve-live");
    if (curve && told.evaluations !== this.drawn) {
      this.drawn = told.evaluations;
      curve.src = `${this.live}/curve.svg?at=${told.evaluations}`;
    }
    const shownAlready = document.body.dataset.phase === "ended";
    $("reload").hidden = shownAlready || told.phase !== "ended" || !told.result;
  }
}

if ($("tree-data")) {
  const began = performance.now();
  window.meritree = new Page();
  window.meritree.opened = { script: performance.now() - began, at: performance.now() };
}
