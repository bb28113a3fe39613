// The map of the catalogue. Items are drawn as pictures where there is room, in the order of the data, else as dots.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const items = JSON.parse(byId("map-data").textContent);
  const canvas = byId("map-canvas");
  const card = byId("map-card");
  const sheet = byId("map-sheet");
  const search = byId("map-search");
  const context = canvas.getContext("2d");
  const MARGIN = 30, MOST_ZOOM = 40, REACH = 24;
  const xs = items.places.map(([x]) => x / items.steps);
  const ys = items.places.map(([, y]) => y / items.steps);
  const height = Math.max(...ys, 0.01);
  const tilesAcross = Math.ceil(Math.sqrt(1 + Math.max(-1, ...items.tiles)));
  const words = items.titles.map((title) => title.toLowerCase());
  // The middle of what is seen, in places of the map, and how often the whole map is enlarged.
  const view = { x: 0.5, y: height / 2, zoom: 1 };
  let chosen = -1, isPinned = false, matches = [], isWaiting = false;

  const scale = () => Math.min(canvas.clientWidth - 2 * MARGIN, (canvas.clientHeight - 2 * MARGIN) / height) * view.zoom;
  const screenX = (item) => canvas.clientWidth / 2 + (xs[item] - view.x) * scale();
  const screenY = (item) => canvas.clientHeight / 2 + (ys[item] - view.y) * scale();

  function redraw() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      draw();
    });
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const wide = canvas.clientWidth, high = canvas.clientHeight;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(high * ratio);
    }
    const colours = getComputedStyle(canvas);
    const colour = (name) => colours.getPropertyValue(name);
    const ofNew = colour("--new");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, high);
    const side = Math.min(items.tileSide, 26 * Math.sqrt(view.zoom));
    const taken = new Map();
    const hasRoom = (x, y) => {
      const column = Math.floor(x / side), line = Math.floor(y / side);
      for (let i = column - 1; i <= column + 1; i += 1)
        for (let j = line - 1; j <= line + 1; j += 1) {
          const other = taken.get(`${i} ${j}`);
          if (other && Math.abs(other[0] - x) < side && Math.abs(other[1] - y) < side) return false;
        }
      taken.set(`${column} ${line}`, [x, y]);
      return true;
    };
    const pictures = new Set();
    for (const item of new Set([...matches, ...xs.keys()])) {
      const x = screenX(item), y = screenY(item);
      if (x < -side || y < -side || x > wide + side || y > high + side) continue;
      if (sheet && items.tiles[item] >= 0 && hasRoom(x, y)) {
        pictures.add(item);
        continue;
      }
      context.fillStyle = item < items.numNew ? ofNew : colour("--quiet");
      context.beginPath();
      context.arc(x, y, item < items.numNew ? 3.5 : 2.2, 0, 7);
      context.fill();
    }
    for (const item of pictures) picture(item, side, item < items.numNew ? ofNew : "");
    for (const item of matches) ring(item, colour("--focus"), pictures.has(item) ? side : 10);
    if (chosen < 0) return;
    context.strokeStyle = colour("--focus");
    context.lineWidth = 1.5;
    for (const other of items.neighbours[chosen]) {
      context.beginPath();
      context.moveTo(screenX(chosen), screenY(chosen));
      context.lineTo(screenX(other), screenY(other));
      context.stroke();
    }
    for (const item of [...items.neighbours[chosen], chosen]) {
      picture(item, Math.max(side, 34), "");
      ring(item, colour("--focus"), items.tiles[item] < 0 ? 12 : Math.max(side, 34));
    }
  }

  // Half a pixel inside its tile: scaled, the sheet would bleed in from the tile beside.
  function drawTile(onto, tile, left, top, side) {
    const from = items.tileSide;
    const x = (tile % tilesAcross) * from + 0.5, y = Math.floor(tile / tilesAcross) * from + 0.5;
    onto.drawImage(sheet, x, y, from - 1, from - 1, left, top, side, side);
  }

  function picture(item, side, edge) {
    if (items.tiles[item] < 0) return;
    const left = screenX(item) - side / 2, top = screenY(item) - side / 2;
    drawTile(context, items.tiles[item], left, top, side);
    if (!edge) return;
    context.strokeStyle = edge;
    context.lineWidth = 2.5;
    context.strokeRect(left, top, side, side);
  }

  function ring(item, colour, side) {
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(screenX(item) - side / 2, screenY(item) - side / 2, side, side);
  }

  function element(tag, text, name = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function line(item, side, tag) {
    const made = document.createElement("div");
    const tile = items.tiles[item], from = items.tileSide;
    if (tile >= 0) {
      const small = document.createElement("canvas");
      small.width = small.height = from;
      small.style.width = small.style.height = `${side}px`;
      drawTile(small.getContext("2d"), tile, 0, 0, from);
      made.append(small);
    }
    made.append(element(tag, items.titles[item]));
    return made;
  }

  function choose(item, note = "") {
    if (item === chosen && !note) return;
    chosen = item;
    card.hidden = item < 0;
    if (item >= 0) {
      const isNew = item < items.numNew;
      card.replaceChildren(
        ...(note ? [element("p", note)] : []),
        line(item, 56, "b"),
        ...(isNew ? [element("span", "new", "new")] : []),
        element("p", "Nearest"),
        ...items.neighbours[item].map((other) => line(other, 30, "span")),
      );
      card.className = screenX(item) < canvas.clientWidth / 2 ? "right" : "left";
    }
    redraw();
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    let best = -1, least = REACH * REACH;
    for (let item = 0; item < xs.length; item += 1) {
      const away = (screenX(item) - event.clientX + box.left) ** 2 + (screenY(item) - event.clientY + box.top) ** 2;
      if (away < least) [best, least] = [item, away];
    }
    return best;
  }

  // The place under (x, y) stays where it is.
  function zoomBy(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const before = scale();
    view.zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor));
    const moved = 1 / before - 1 / scale();
    view.x += (x - canvas.clientWidth / 2) * moved;
    view.y += (y - canvas.clientHeight / 2) * moved;
    if (view.zoom === 1) [view.x, view.y] = [0.5, height / 2];
    // A whole map does not move, so that a finger scrolls the page.
    byId("map").style.touchAction = view.zoom > 1 ? "none" : "pan-y";
    redraw();
  }

  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    const item = nearest(event);
    isPinned = item >= 0;
    choose(item);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (!isPinned) choose(nearest(event));
      return;
    }
    const others = [...fingers.values()].filter((other) => other.pointerId !== event.pointerId);
    if (others.length) {
      const away = (one) => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
      const box = canvas.getBoundingClientRect();
      zoomBy(away(event) / Math.max(1, away(before)), others[0].clientX - box.left, others[0].clientY - box.top);
    } else if (view.zoom > 1) {
      view.x -= (event.clientX - before.clientX) / scale();
      view.y -= (event.clientY - before.clientY) / scale();
      redraw();
    }
    fingers.set(event.pointerId, event);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => {
    if (!isPinned) choose(-1);
  });
  // With Ctrl, as a trackpad sends a pinch: without it, the wheel scrolls the page.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 200), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoomBy(2, event.offsetX, event.offsetY));
  byId("map-in").addEventListener("click", () => zoomBy(1.6));
  byId("map-out").addEventListener("click", () => zoomBy(1 / 1.6));
  byId("map-whole").addEventListener("click", () => zoomBy(0));

  let shown = 0;
  function show(place) {
    shown = place;
    isPinned = matches.length > 0;
    choose(isPinned ? matches[place] : -1, isPinned && matches.length > 1 ? `${place + 1} of ${matches.length}; Enter shows the next` : "");
    redraw();
  }
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    matches = wanted.length ? [...words.keys()].filter((item) => wanted.every((word) => words[item].includes(word))) : [];
    search.setAttribute("aria-invalid", String(wanted.length > 0 && !matches.length));
    show(0);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && matches.length) show((shown + 1) % matches.length);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    isPinned = false;
    choose(-1);
  });

  canvas.style.setProperty("--height", Math.min(0.7, Math.max(0.45, height)));
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (sheet && !sheet.complete) sheet.addEventListener("load", redraw);
})();
