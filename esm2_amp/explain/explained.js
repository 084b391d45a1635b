"use strict";
(() => {
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  const hint = "Point at a cell, or reach it with Tab and the arrow keys.";

  // Cells with a title: one takes part in Tab, arrows lead on, and what the cell says stands below the figure.
  for (const figure of document.querySelectorAll(".cells")) {
    const said = figure.querySelector(".said");
    const rows = [...figure.querySelectorAll(".tracked")].map((row) => [...row.querySelectorAll(".cell")]);
    const held = rows.filter((row) => row.length);
    said.textContent = held.length ? hint : "";
    held.forEach((row, r) => row.forEach((cell, c) => {
      const say = () => { said.textContent = cell.querySelector("title").textContent; };
      cell.tabIndex = r || c ? -1 : 0;
      cell.addEventListener("pointerenter", say);
      cell.addEventListener("focus", say);
      cell.addEventListener("keydown", (event) => {
        const step = steps[event.key];
        if (!step) return;
        event.preventDefault();
        const line = held[r + step[0]];
        const next = line && line[Math.min(c + step[1], line.length - 1)];
        if (!next || c + step[1] < 0 || c + step[1] >= row.length) return;
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
    }));
  }

  // Attention maps: a cell is found from where the pointer is, or with the arrow keys.
  for (const figure of document.querySelectorAll(".maps")) {
    const { names, maps, scale, gap } = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const said = figure.querySelector(".said");
    const n = names.length;
    const offset = (place) => place + (place >= n / 2 ? gap : 0);
    let at = [0, 0];
    said.textContent = hint;
    figure.querySelectorAll(".map").forEach((map, layer) => {
      const drawing = map.querySelector("svg");
      const ground = drawing.querySelector(".ground");
      const cursor = drawing.querySelector(".cursor");
      const show = () => {
        const share = maps[layer][at[0] * n + at[1]] / scale;
        cursor.setAttribute("x", offset(at[1]));
        cursor.setAttribute("y", offset(at[0]));
        cursor.removeAttribute("display");
        said.textContent = `${map.dataset.words}: ${names[at[0]]} gives ${(100 * share).toFixed(1)} % of its attention to ${names[at[1]]}.`;
      };
      const cell = (share) => {
        const place = share * (n + gap);
        return Math.max(0, Math.min(n - 1, Math.floor(place >= n / 2 + gap ? place - gap : Math.min(place, n / 2 - 0.01))));
      };
      drawing.addEventListener("pointermove", (event) => {
        const box = ground.getBoundingClientRect();
        const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
        if (x < 0 || y < 0 || x > 1 || y > 1) return;
        at = [cell(y), cell(x)];
        show();
      });
      drawing.addEventListener("focus", show);
      drawing.addEventListener("keydown", (event) => {
        const step = steps[event.key];
        if (!step) return;
        event.preventDefault();
        at = at.map((place, k) => Math.max(0, Math.min(n - 1, place + step[k])));
        show();
      });
    });
    figure.addEventListener("change", () => { said.textContent = hint; });
  }

  // Tables: a click on a heading sorts by it, what is typed into the box above leaves the rows that hold it.
  for (const part of document.querySelectorAll(".held")) {
    const table = part.querySelector("table");
    const rows = [...table.tBodies[0].rows];
    const head = [...table.tHead.rows[0].cells];
    const compare = (x, y) => (Number.isNaN(x - y) || x === "" || y === "" ? x.localeCompare(y) : x - y);
    head.forEach((heading, c) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const way = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        head.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
        const word = (row) => row.cells[c].textContent.trim();
        table.tBodies[0].append(...rows.sort((x, y) => way * compare(word(x), word(y))));
      });
    });
    const box = part.querySelector(".filter");
    const [input, count] = [box.querySelector("input"), box.querySelector("output")];
    const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const filter = () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !words.get(row).includes(wanted);
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} pairs`;
    };
    input.addEventListener("input", filter);
    box.hidden = false;
    filter();
  }
})();
