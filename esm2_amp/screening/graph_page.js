"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { nodes, edges } = data;
  const element = (id) => document.getElementById(id);
  const [canvas, find, score, kept, said, chosen] = ["canvas", "find", "score", "kept", "said", "chosen"].map(element);
  const pen = canvas.getContext("2d");
  const count = nodes.name.length, total = edges.ends.length;
  const around = Array.from({ length: count }, () => []);
  edges.ends.forEach(([a, b], e) => { around[a].push(e); if (b !== a) around[b].push(e); });
  const radius = around.map((list) => 2.2 + 1.1 * Math.sqrt(list.length));
  const byPartners = nodes.name.map((_, i) => i).sort((i, j) => around[j].length - around[i].length || i - j);
  const widths = [0.5, 0.8, 1.3, 2.2], shades = [0.4, 0.55, 0.7, 0.85];
  const lowest = edges.logit[total - 1], span = edges.logit[0] - lowest;
  let shown = total, selected = -1, colours = data.colours[0], palette = new Map(), waiting = false;
  let view = { x: 0, y: 0, scale: 1 }, least = 1;

  const number = (value) => value.toLocaleString("en");
  const decimal = (value, digits) => (value === null ? "–" : value.toFixed(digits));
  const other = (e, i) => (edges.ends[e][0] === i ? edges.ends[e][1] : edges.ends[e][0]);

  // Edges are sorted by falling score, so those above a cut are the first ones.
  const filter = () => {
    const cut = Number(score.value) === 0 ? -Infinity : lowest + span * Number(score.value) / 1000 - 1e-9;
    shown = edges.logit.findIndex((value) => value < cut);
    if (shown < 0) shown = total;
    let expected = 0;
    for (let e = 0; e < shown; e++) expected += edges.probability_at_prevalence[e];
    const words = `${number(shown)} of ${number(total)} pairs have a probability of at least ${decimal(edges.probability[shown - 1], 3)}; `
      + `${(100 * expected / shown).toFixed(1)} % of them are expected to be true at a prevalence of ${data.prevalence}.`;
    kept.textContent = words;
    score.setAttribute("aria-valuetext", `probability ${decimal(edges.probability[shown - 1], 3)}, ${number(shown)} pairs`);
    if (selected >= 0) list();
    draw();
  };

  const draw = () => { if (!waiting) { waiting = true; requestAnimationFrame(paint); } };
  const paint = () => {
    waiting = false;
    const { width, height } = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const grow = Math.min(2.5, Math.max(0.55, Math.sqrt(view.scale) * 0.8));
    const xs = nodes.x.map((x) => (x - view.x) * view.scale + width / 2), ys = nodes.y.map((y) => (y - view.y) * view.scale + height / 2);
    const lines = (list, style, width, shade) => {
      pen.beginPath();
      for (const e of list) {
        const [a, b] = edges.ends[e];
        if (a === b) { pen.moveTo(xs[a] + 10 * grow, ys[a] - 5 * grow); pen.arc(xs[a] + 5 * grow, ys[a] - 5 * grow, 5 * grow, 0, 7); }
        else { pen.moveTo(xs[a], ys[a]); pen.lineTo(xs[b], ys[b]); }
      }
      pen.strokeStyle = palette.get(style);
      pen.lineWidth = width * grow;
      pen.globalAlpha = shade;
      pen.stroke();
      pen.globalAlpha = 1;
    };
    const levels = widths.map(() => []);
    const held = new Uint8Array(count);
    for (let e = 0; e < shown; e++) {
      levels[edges.level[e]].push(e);
      held[edges.ends[e][0]] = held[edges.ends[e][1]] = 1;
    }
    levels.forEach((list, level) => lines(list, "edge", widths[level], shades[level]));
    const mine = selected < 0 ? [] : around[selected].filter((e) => e < shown);
    lines(mine, "ink", 2, 0.9);
    const near = new Set(mine.map((e) => other(e, selected)));
    for (let k = count - 1; k >= 0; k--) {
      const i = byPartners[k];
      pen.globalAlpha = held[i] ? 1 : 0.2;
      pen.fillStyle = palette.get(colours[i]);
      pen.beginPath();
      pen.arc(xs[i], ys[i], radius[i] * grow, 0, 7);
      pen.fill();
      if (i === selected || near.has(i)) {
        pen.strokeStyle = palette.get("ink");
        pen.lineWidth = i === selected ? 3 : 1.2;
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    names(xs, ys, grow, width, height, held, near);
    if (canvas.matches(":focus-visible")) {
      pen.strokeStyle = palette.get("ink");
      pen.lineWidth = 1;
      pen.strokeRect(width / 2 - 7, height / 2 - 7, 14, 14);
    }
  };

  // Names of the selected protein, its partners and then those with most partners, as far as they do not overlap.
  const names = (xs, ys, grow, width, height, held, near) => {
    const taken = [], order = selected < 0 ? byPartners : [selected, ...near, ...byPartners];
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.lineJoin = "round";
    for (const i of order) {
      if (taken.length >= 40) break;
      if (!held[i] || xs[i] < 0 || ys[i] < 0 || xs[i] > width || ys[i] > height) continue;
      const text = nodes.name[i].length > 24 ? `${nodes.name[i].slice(0, 23)}…` : nodes.name[i];
      const half = pen.measureText(text).width / 2 + 3, y = ys[i] - radius[i] * grow - 5;
      if (taken.some((box) => Math.abs(box[0] - xs[i]) < box[2] + half && Math.abs(box[1] - y) < 15)) continue;
      taken.push([xs[i], y, half]);
      pen.strokeStyle = palette.get("soft");
      pen.lineWidth = 3.5;
      pen.strokeText(text, xs[i], y);
      pen.fillStyle = palette.get("ink");
      pen.fillText(text, xs[i], y);
    }
  };

  const fit = () => {
    const { width, height } = canvas.getBoundingClientRect();
    least = Math.min(width / 1000, height / data.height) * 0.96;
    view = { x: 500, y: data.height / 2, scale: least };
    draw();
  };
  const bounded = (scale) => Math.min(60 * least, Math.max(least / 2, scale));
  const zoom = (factor, x, y) => { // keeps the place at (x, y), in pixels from the middle
    const scale = bounded(view.scale * factor);
    view = { x: view.x + x / view.scale - x / scale, y: view.y + y / view.scale - y / scale, scale };
    draw();
  };
  const move = (x, y) => { view = { ...view, x: view.x - x / view.scale, y: view.y - y / view.scale }; draw(); };
  const fromMiddle = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };
  const nearest = (x, y, reach) => {
    const [px, py] = [view.x + x / view.scale, view.y + y / view.scale];
    let best = -1, far = reach / view.scale;
    for (let i = 0; i < count; i++) {
      const distance = Math.hypot(nodes.x[i] - px, nodes.y[i] - py);
      if (distance < far) { best = i; far = distance; }
    }
    return best;
  };

  const make = (name, text) => { const made = document.createElement(name); made.textContent = text; return made; };
  const explained = (e, row) => {
    if (edges.page[e] !== null) { const link = make("a", "explanation"); link.href = edges.page[e]; return link; }
    const { start, middle, end } = edges.command;
    if (middle[e] === null) return make("span", "–");
    const button = make("button", "command");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) { row.nextElementSibling.remove(); return; }
      const line = make("tr", ""), cell = make("td", "");
      line.className = "line";
      cell.colSpan = 6;
      cell.append(make("code", start + middle[e] + end));
      line.append(cell);
      row.after(line);
    });
    return button;
  };
  const list = () => {
    const mine = around[selected].filter((e) => e < shown);
    chosen.querySelector("p").textContent = mine.length === around[selected].length
      ? `${number(mine.length)} ${mine.length === 1 ? "partner" : "partners"} in this network`
      : `${number(mine.length)} of ${number(around[selected].length)} partners at this score`;
    chosen.querySelector("tbody").replaceChildren(...mine.map((e) => {
      const row = make("tr", ""), i = other(e, selected), first = edges.ends[e][0] === selected;
      const head = make("th", ""), button = make("button", nodes.name[i]);
      head.scope = "row";
      button.type = "button";
      button.addEventListener("click", () => select(i, true));
      head.append(button);
      if (i === selected) head.append(" (itself)");
      const [here, there] = first ? [edges.percentile_a[e], edges.percentile_b[e]] : [edges.percentile_b[e], edges.percentile_a[e]];
      const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
      const why = make("td", "");
      why.append(explained(e, row));
      row.append(head, why, make("td", decimal(edges.probability[e], 4)), make("td", decimal(edges.probability_at_prevalence[e], 4)),
        make("td", percent(here)), make("td", percent(there)));
      return row;
    }));
  };
  const select = (i, go) => {
    selected = i;
    chosen.hidden = i < 0;
    if (i >= 0) {
      const heading = chosen.querySelector("h3");
      heading.firstElementChild.textContent = nodes.name[i];
      chosen.querySelector("dl").replaceChildren(...nodes.facts.map(([name, values]) => {
        const pair = make("div", "");
        pair.append(make("dt", name), make("dd", values[i]));
        return pair;
      }));
      list();
      if (go) view = { x: nodes.x[i], y: nodes.y[i], scale: Math.max(view.scale, bounded(4 * least)) };
      said.textContent = `${nodes.name[i]} is selected: ${number(around[i].length)} ${around[i].length === 1 ? "partner" : "partners"}.`;
      if (go) heading.focus({ preventScroll: true });
    } else said.textContent = "";
    draw();
  };
  const seek = (text) => {
    const wanted = text.trim().toLowerCase();
    if (!wanted) { select(-1, false); return; }
    const at = (names, test) => names.findIndex((name) => test(name.toLowerCase()));
    const is = (name) => name === wanted, has = (name) => name.includes(wanted);
    let i = nodes.name.indexOf(text.trim()); // names may differ in their case only
    if (i < 0) i = at(nodes.name, is);
    if (i < 0 && at(data.alone, is) < 0) i = at(nodes.name, has);
    if (i >= 0) { select(i, true); return; }
    select(-1, false);
    const alone = Math.max(at(data.alone, is), at(data.alone, has));
    said.textContent = alone < 0 ? `No protein is called “${text.trim()}”.` : `${data.alone[alone]} was screened, but none of its pairs is among these.`;
  };

  const held = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, fromMiddle(event));
    canvas.setPointerCapture(event.pointerId);
    if (held.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId), now = fromMiddle(event);
    if (!before) { canvas.title = nodes.name[nearest(...now, 10)] || ""; return; }
    const still = [...held].filter(([id]) => id !== event.pointerId).map(([, place]) => place)[0];
    if (still) {
      const [was, is] = [before, now].map(([x, y]) => Math.hypot(x - still[0], y - still[1]));
      zoom(is / Math.max(was, 1), ...still);
    } else move(now[0] - before[0], now[1] - before[1]);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    held.set(event.pointerId, now);
  });
  const release = (event) => {
    if (held.delete(event.pointerId) && event.type === "pointerup" && moved < 5) select(nearest(...fromMiddle(event), 16), false);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...fromMiddle(event)); }, { passive: false });
  const keys = {
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
    "+": () => zoom(1.3, 0, 0), "=": () => zoom(1.3, 0, 0), "-": () => zoom(1 / 1.3, 0, 0), 0: fit, Enter: () => select(nearest(0, 0, Infinity), false),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  ["focus", "blur"].forEach((name) => canvas.addEventListener(name, draw));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") select(-1, false); });
  element("nearer").addEventListener("click", () => zoom(1.4, 0, 0));
  element("farther").addEventListener("click", () => zoom(1 / 1.4, 0, 0));
  element("whole").addEventListener("click", fit);
  find.addEventListener("keydown", (event) => { if (event.key === "Enter") seek(find.value); });
  score.addEventListener("input", filter);
  element("colour").addEventListener("change", (event) => {
    colours = data.colours[Number(event.target.value)];
    document.querySelectorAll(".legend").forEach((legend) => { legend.hidden = legend.dataset.number !== event.target.value; });
    draw();
  });
  const paints = () => {
    const style = getComputedStyle(document.documentElement);
    palette = new Map(["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "rest", "edge", "ink", "soft"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
    draw();
  };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paints);

  element("explorer").classList.add("live");
  document.querySelectorAll(".controls, .zoom, canvas").forEach((part) => { part.hidden = false; });
  element("colour").value = "0";
  score.disabled = span <= 0;
  new ResizeObserver(draw).observe(canvas);
  paints();
  fit();
  filter();
  if (location.hash.length > 1 && !document.getElementById(location.hash.slice(1))) {
    try { find.value = decodeURIComponent(location.hash.slice(1)); } catch { find.value = ""; }
    if (find.value) seek(find.value);
  }
})();
