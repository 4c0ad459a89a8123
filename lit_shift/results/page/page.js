"use strict";

const templates = JSON.parse(document.getElementById("templates").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const MAX_BARS = 12;
// One of plotly's default buttons uploads the figure's data to plotly; nothing may leave this page.
const BAR = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

const main = document.querySelector("main");
const byId = (id) => document.getElementById(id);
const all = (selector, root = main) => [...root.querySelectorAll(selector)];
const json = (element) => JSON.parse(element.textContent);
const figures = new WeakMap(); // by the element that shows the figure
let ticked = new Set(); // names of the models that are drawn
let explorer = null;

// ---- Selection: models are ticked in the tables, everything else is chosen in menus

const names = (box) => {
  const every = JSON.parse(box.dataset.names);
  return byId("seeds")?.value === "all" ? every : every.slice(0, 1);
};
const chosen = (name) => main.querySelector(`select[data-choice=${name}], [data-choice=${name}]:checked`)?.value;

/** Shows the elements that belong to the ticked models and the chosen items, as given by their data attributes. */
function show() {
  const boxes = all("[data-names]");
  ticked = new Set(boxes.filter((box) => box.checked).flatMap(names));
  for (const box of boxes) {
    const drawn = box.checked ? names(box).length : 0;
    all(".swatch", box.parentElement).forEach((swatch, i) => (swatch.hidden = i >= drawn));
  }
  for (const each of all("[data-when]")) {
    const [name] = each.dataset.when.split("=", 1);
    each.hidden = chosen(name) !== each.dataset.when.slice(name.length + 1);
  }
  for (const each of all("[data-runs]")) each.hidden = !JSON.parse(each.dataset.runs).some((name) => ticked.has(name));
  all(".part").forEach(say);
  all(".plot").filter((host) => host.offsetParent).forEach(draw);
  explorer?.show();
}

/** Lists the ticked models that a part does not show, and hides its plots if it shows none. */
function say(part) {
  const [has, among] = [new Set(JSON.parse(part.dataset.has)), JSON.parse(part.dataset.among)];
  const asked = [...ticked].filter((name) => !among || among.includes(name));
  const lacking = asked.filter((name) => !has.has(name));
  const empty = lacking.length === asked.length;
  part.classList.toggle("empty", empty);
  part.querySelector(":scope > .say")?.remove();
  if (!empty && !lacking.length) return;
  const text = empty ? "Nothing that is ticked has this measure." : `Not measured: ${lacking.join(", ")}.`;
  part.append(Object.assign(document.createElement("p"), { className: "say", textContent: text }));
}

/** Draws a plot with the traces of the ticked models. */
function draw(host) {
  if (!figures.has(host)) figures.set(host, json(host.querySelector("script")));
  const { data, layout, fade } = figures.get(host);
  const traces = data.map((trace) => {
    if (!trace.meta) return trace;
    const on = trace.meta.some((name) => ticked.has(name));
    return fade ? { ...trace, visible: trace.meta.some(listed), opacity: on ? 1 : 0.3 } : { ...trace, visible: on };
  });
  const template = templates[dark.matches ? "dark" : "light"];
  window.Plotly.react(host, traces, { ...structuredClone(layout), width: host.clientWidth, template }, BAR);
}

// ---- The table

/** Returns true if the filtered table shows the row of a run. */
const listed = (name) => all("#table [data-names]").some((box) =>
  !box.closest("tr").hidden && JSON.parse(box.dataset.names).includes(name));

function filterTable() {
  const [words, aug] = [byId("filter").value.toLowerCase().split(/\s+/), byId("aug").value];
  const rows = all("#table tbody tr");
  for (const row of rows) {
    row.hidden = !words.every((word) => row.dataset.words.includes(word)) || (aug && row.dataset.aug !== aug);
  }
  byId("count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  all(":is(#plane, #costs) .plot").filter((host) => host.offsetParent).forEach(draw);
}

/** Sorts by a column: highest first, or A to Z; on the next click in reverse; then in the original order. */
function sortBy(head, place, rows) {
  const first = head.classList.contains("numeric") ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const next = { none: first, [first]: second, [second]: "none" }[head.ariaSort];
  for (const each of all("#table [aria-sort]")) each.ariaSort = "none";
  head.ariaSort = next;
  const value = (row) => row.cells[place].dataset.value;
  const collator = new Intl.Collator("en", { numeric: true });
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!x || !y) return !x - !y; // missing values come last in either order
    const before = head.classList.contains("numeric") ? x - y : collator.compare(x, y);
    return next === "ascending" ? before : -before;
  };
  byId("table").tBodies[0].append(...(next === "none" ? rows : rows.toSorted(order)));
}

function buildTable() {
  const rows = all("#table tbody tr");
  all("#table [aria-sort]").forEach((head, i) =>
    head.firstElementChild.addEventListener("click", () => sortBy(head, i + 1, rows)));
  byId("filter").addEventListener("input", filterTable);
  byId("aug").addEventListener("change", filterTable);
  byId("clear").addEventListener("click", () => {
    for (const box of all("[data-names]")) box.checked = false;
    show();
  });
  filterTable();
}

// ---- The shift explorer

const mod = (a, n) => ((a % n) + n) % n;
const unpacked = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function explore() {
  const { images, classes, colours } = json(byId("images"));
  const canvas = byId("image");
  const [H, W] = [canvas.height, canvas.width];
  const pictures = Object.fromEntries(all("[data-choice=image]").filter((each) => each.type === "radio")
    .map((radio) => [radio.value, radio.nextElementSibling]));
  const panels = all(".panel").map((root) => ({ root, answers: json(root.querySelector("script")) }));
  const part = (panel, name) => panel.root.querySelector(`.${name}`);
  /** Returns the position of a shift on a map, which has the unshifted image at its centre. */
  const place = (at, n) => mod(at + (n >> 1), n);
  let [shift, frame, place0] = [[0, 0], 0, null]; // shift in [0, H - 1] x [0, W - 1], pending frame request, index of the image

  /** Returns the classes with a bar: all, or of many the correct one and the most probable ones over all shifts. */
  function barClasses(shown) {
    const every = classes.map((_, k) => k);
    if (every.length <= MAX_BARS) return every;
    const sums = new Float64Array(classes.length);
    for (const { probabilities } of shown) probabilities.forEach((p, i) => (sums[i % sums.length] += p));
    sums[images[place0].label] = Infinity;
    return every.toSorted((a, b) => sums[b] - sums[a]).slice(0, MAX_BARS).sort((a, b) => a - b);
  }

  function build(panel, kinds) {
    panel.bars = kinds.map((k) => ({ k, fill: element("i", {}), value: element("span", { className: "value" }) }));
    part(panel, "bars").replaceChildren(...panel.bars.map(({ k, fill, value }) => {
      fill.style.background = colours[k];
      const name = element("span", { className: "name", textContent: classes[k], title: classes[k] });
      return element("div", { className: k === images[place0].label ? "bar correct" : "bar" }, name,
        element("span", { className: "track" }, fill), value);
    }));
    const [context, counts] = [part(panel, "map").getContext("2d"), new Map()];
    panel.predictions.forEach((k, i) => {
      context.fillStyle = colours[k];
      context.fillRect(place(i % W, W), place(Math.floor(i / W), H), 1, 1);
      counts.set(k, (counts.get(k) ?? 0) + 1);
    });
    const shares = [...counts].sort((a, b) => b[1] - a[1]).map(([k, count]) => [k, percent(count / (H * W))]);
    part(panel, "agree").textContent = `${shares[0][1]} of the shifts agree on ${classes[shares[0][0]]}.`;
    part(panel, "shares").replaceChildren(...shares.map(([k, share]) => {
      const box = element("i", { className: "box" });
      box.style.background = colours[k];
      return element("span", {}, box, `${classes[k]} ${share}`);
    }));
  }

  function showShift() {
    frame = 0;
    if (!canvas.isConnected) return; // another data set has replaced it
    const [[h, w], context] = [shift, canvas.getContext("2d")];
    context.clearRect(0, 0, W, H); // for partly transparent images
    // Shift_{h,w}(X)[i, j] = X[(i - h) mod H, (j - w) mod W]: four copies of the image wrap it round.
    for (const y of [h, h - H]) for (const x of [w, w - W]) context.drawImage(pictures[place0], x, y, W, H);
    const signed = (at, n) => {
      const centred = place(at, n) - (n >> 1);
      return `${centred > 0 ? "+" : centred < 0 ? "−" : ""}${Math.abs(centred)} px`;
    };
    byId("shift").textContent = `h = ${signed(h, H)}, w = ${signed(w, W)}`;
    for (const panel of panels.filter((each) => each.bars)) {
      for (const { k, fill, value } of panel.bars) {
        const probability = panel.probabilities[(h * W + w) * classes.length + k] / 255;
        fill.style.width = `${100 * probability}%`;
        value.textContent = percent(probability);
      }
      const guess = panel.predictions[h * W + w];
      const right = guess === images[place0].label;
      part(panel, "verdict").textContent = `predicted: ${classes[guess]} ${right ? "✓" : "✗"}`;
      part(panel, "verdict").classList.toggle("wrong", !right);
      Object.assign(part(panel, "here").style, { left: `${(100 * place(w, W)) / W}%`, top: `${(100 * place(h, H)) / H}%`,
        width: `${100 / W}%`, height: `${100 / H}%` });
    }
  }

  const schedule = () => (frame ||= requestAnimationFrame(showShift));
  function moveTo(h, w) {
    shift = [mod(h, H), mod(w, W)];
    schedule();
  }

  /** Calls `move` with the position of the pointer while the target is dragged. */
  function onDrag(target, start, move) {
    target.addEventListener("pointerdown", (event) => {
      start(event);
      target.setPointerCapture(event.pointerId);
      move(event);
    });
    target.addEventListener("pointermove", (event) => target.hasPointerCapture(event.pointerId) && move(event));
  }

  let grab;
  onDrag(canvas, ({ clientX, clientY }) => (grab = { clientX, clientY, from: shift }), ({ clientX, clientY }) => {
    const down = ((clientY - grab.clientY) * H) / canvas.clientHeight;
    const right = ((clientX - grab.clientX) * W) / canvas.clientWidth;
    moveTo(grab.from[0] + Math.round(down), grab.from[1] + Math.round(right));
  });
  for (const panel of panels) {
    const map = part(panel, "map");
    onDrag(map, () => {}, ({ clientX, clientY }) => {
      const box = map.getBoundingClientRect();
      const cell = (at, n) => Math.min(n - 1, Math.max(0, Math.floor(at * n))) - (n >> 1);
      moveTo(cell((clientY - box.top) / box.height, H), cell((clientX - box.left) / box.width, W));
    });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault(); // keep the page from scrolling
    moveTo(shift[0] + step[0], shift[1] + step[1]);
  });
  byId("home").addEventListener("click", () => moveTo(0, 0));
  await Promise.all(Object.values(pictures).map((picture) => picture.decode()));

  return {
    /** Shows the chosen image and the panels of the ticked runs. */
    show() {
      place0 = chosen("image");
      for (const panel of panels) {
        const found = panel.root.hidden ? null : panel.answers[place0];
        panel.root.classList.toggle("lacking", !found);
        panel.bars = null;
        for (const key of ["probabilities", "predictions"]) panel[key] = found && unpacked(found[key]);
      }
      const shown = panels.filter((panel) => panel.predictions);
      const kinds = barClasses(shown);
      for (const panel of shown) build(panel, kinds);
      schedule();
    },
  };
}

// ---- The page: one data set at a time

async function open() {
  delete document.documentElement.dataset.ready;
  const content = document.querySelectorAll("template.set")[byId("set").selectedIndex].content;
  main.replaceChildren(content.cloneNode(true));
  explorer = null;
  if (byId("table")) buildTable();
  const first = main.firstElementChild;
  const made = byId("images") && (await explore());
  if (main.firstElementChild !== first) return; // another data set has been chosen in the meantime
  explorer = made;
  show();
  document.documentElement.dataset.ready = "";
}

main.addEventListener("change", ({ target }) => {
  for (const twin of all(`[data-choice="${target.dataset.choice}"]`)) {
    if (twin.type === "radio") twin.checked = twin.value === target.value;
    else twin.value = target.value;
  }
  if (target.matches("[data-choice], [data-names], #seeds")) show();
});
byId("set").addEventListener("change", open);
dark.addEventListener("change", show);
let before = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== before) requestAnimationFrame(show); // a phone's address bar changes only the height
  before = window.innerWidth;
});
open();
