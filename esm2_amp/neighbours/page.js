"use strict";
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const map = document.getElementById("map"), card = document.getElementById("card"), ring = document.getElementById("ring");
  const plot = document.getElementById("plot"), find = document.getElementById("find");
  const whole = map.viewBox.baseVal, width = whole.width, height = whole.height;
  let view = [0, 0, width, height], held = false, drag = null;

  const place = (event) => {
    const box = map.getBoundingClientRect();
    return [view[0] + (event.clientX - box.left) / box.width * view[2], view[1] + (event.clientY - box.top) / box.height * view[3]];
  };
  const nearest = (x, y) => {
    const reach = 14 * view[2] / map.getBoundingClientRect().width;
    let best = -1, least = reach * reach;
    points.x.forEach((px, i) => {
      const far = (px - x) ** 2 + (points.y[i] - y) ** 2;
      if (far < least) { least = far; best = i; }
    });
    return best;
  };
  const hide = () => { card.hidden = true; held = false; ring.setAttribute("d", ""); };
  const show = (i) => {
    if (i < 0) { hide(); return; }
    ring.setAttribute("d", `M${points.x[i]} ${points.y[i]}h0`);
    const [name, about, link] = card.querySelectorAll("b, span, a");
    name.textContent = points.name[i];
    about.textContent = points.about[i];
    link.hidden = !points.url[i];
    link.textContent = "open its page";
    if (points.url[i].startsWith("https://")) link.href = points.url[i]; else link.removeAttribute("href");
    card.hidden = false;
    const frame = plot.getBoundingClientRect(), box = map.getBoundingClientRect();
    const x = (points.x[i] - view[0]) / view[2] * box.width, y = (points.y[i] - view[1]) / view[3] * box.height;
    card.style.left = `${Math.max(0, Math.min(x + 14, frame.width - card.offsetWidth))}px`;
    card.style.top = `${y + card.offsetHeight + 14 > box.height ? Math.max(0, y - card.offsetHeight - 14) : y + 14}px`;
  };
  const labels = map.querySelectorAll(".label");
  const sizeLabels = () => {
    const pixel = view[2] / map.getBoundingClientRect().width;
    labels.forEach((label) => { label.style.fontSize = `${13 * pixel}px`; });
  };
  sizeLabels();
  window.addEventListener("resize", sizeLabels);
  const look = (next) => {
    view = next;
    map.setAttribute("viewBox", view.join(" "));
    sizeLabels();
    if (!held) hide();
  };

  map.addEventListener("pointermove", (event) => {
    if (drag) {
      const box = map.getBoundingClientRect();
      look([drag.view[0] - (event.clientX - drag.x) / box.width * view[2], drag.view[1] - (event.clientY - drag.y) / box.height * view[3], view[2], view[3]]);
    } else if (!held) show(nearest(...place(event)));
  });
  map.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, view }; map.setPointerCapture(event.pointerId); });
  map.addEventListener("pointerup", (event) => {
    const still = drag && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 4;
    drag = null;
    if (still) { const i = nearest(...place(event)); show(i); held = i >= 0; }
  });
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = place(event), factor = event.deltaY < 0 ? 0.8 : 1.25;
    const w = Math.min(width, Math.max(width / 200, view[2] * factor)), scale = w / view[2];
    look(w === width ? [0, 0, width, height] : [x - (x - view[0]) * scale, y - (y - view[1]) * scale, w, view[3] * scale]);
  }, { passive: false });
  document.getElementById("whole").addEventListener("click", () => { hide(); look([0, 0, width, height]); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  const seek = (text) => {
    const wanted = text.toLowerCase();
    const by = (test) => points.name.findIndex((name) => test(name.toLowerCase()));
    let i = wanted ? by((name) => name === wanted) : -1;
    if (i < 0 && wanted) i = by((name) => name.includes(wanted));
    show(i);
    held = i >= 0;
  };
  find.addEventListener("input", () => seek(find.value));
  document.querySelectorAll("td[data-point]").forEach((cell) => {
    cell.addEventListener("pointerenter", () => { if (!held) show(Number(cell.dataset.point)); });
    cell.addEventListener("pointerleave", () => { if (!held) hide(); });
  });
  if (location.hash.length > 1) {
    try { find.value = decodeURIComponent(location.hash.slice(1)); } catch { find.value = ""; }
    seek(find.value);
  }
})();
