"use strict";

/** Shows what there is of one data set, until `gone`, a signal, says that another one takes its place. */
function showSet(content, gone) {
  // Runs, filter families and classes share no figure, and each has colours of its own.
  const RUN_COLOURS = ["#3b78d8", "#e0702c", "#1f9d77", "#c04f9e", "#b08a00", "#7a68c8", "#4aa3b5", "#d1434f"];
  const DASHES = ["solid", "dash", "dot"]; // for the ninth run and on
  const FAMILY_COLOURS = { delta: "#d1495b", rect: "#3f74b5", tri: "#2a8f4a", pascal: "#b08a00", window: "#a8408c",
    ls: "#2fa0b8", other: "#8a6a4f" };
  const CLASS_COLOURS = ["#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7",
    "#9c755f", "#bab0ac"];
  // Blue to red as in the paper, but of steadier lightness than jet. page.css draws the scale in the same colours.
  const HEAT = ["#2b4bb8", "#2c8ef0", "#1fc9b4", "#8fe858", "#f2d43c", "#f5792b", "#bf2008"];
  // Filter length: plotly's symbol, and the same as text.
  const SHAPES = { 1: ["circle", "●"], 2: ["triangle-down", "▼"], 3: ["triangle-up", "▲"], 4: ["square", "■"],
    5: ["diamond", "◆"], 6: ["cross", "✚"], 7: ["star", "★"], other: ["x", "✖"] };
  const MEASURES = { accuracy: "Accuracy", accuracy_random: "Random accuracy", consistency: "Consistency",
    average: "Average" };
  const FEW = 4; // as many runs as can be told apart at a glance
  const MAX_BARS = 12;
  const HOW = "python eval.py ckpt=RUN/checkpoints/last.ckpt";

  const byId = (id) => document.getElementById(id);
  const { rows, runs, images, classes, elsewhere } = content;
  const everyone = [...runs, ...elsewhere];
  const [H, W] = content.size;
  const runById = new Map(runs.map((run) => [run.id, run]));
  const pictures = new Map(images.map(({ index, png }) => [index, el("img", { src: png })]));

  const chosen = new Set(); // the ticked rows, and classifiers from elsewhere
  const picked = [null, null]; // the explorer's runs, where somebody picked them
  let sorting = { column: null, direction: 0 };
  let image = null; // one of `images`
  let shift = [0, 0]; // in 0 .. H - 1 and 0 .. W - 1

  // ---- Small things

  function el(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }
  const mod = (a, n) => ((a % n) + n) % n;
  const unique = (values) => [...new Set(values)];
  const times = (factor, value) => (value == null ? null : factor * value);
  const hundredfold = (value) => times(100, value);
  const format = (value, options) => (value == null ? "–" : value.toLocaleString("en", options).replace("-", "−"));
  const number = (value, digits = 0, signDisplay = "negative") => // "negative": a zero has no sign
    format(value, { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay });
  const significant = (value) => format(value, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  const percent = (value, signDisplay) => number(hundredfold(value), 1, signDisplay);
  /** For plotly, which reads tags in its texts. */
  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const unpacked = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  /** The shifts of an axis as people read them, and in fftshift's order: no shift in the middle. */
  const centred = (n) => Array.from({ length: n }, (_, i) => i - (n >> 1));
  /** Where a shift stands on such an axis. */
  const place = (at, n) => mod(at + (n >> 1), n);
  const fftshift = (map) => centred(map.length).map((h) =>
    centred(map[0].length).map((w) => map.at(h).at(w)));

  /** Says in words what a section does not show; where that is all of it, its figures are hidden. */
  function say(section, text, empty = Boolean(text)) {
    section.classList.toggle("empty", empty);
    section.querySelector(":scope > .say")?.remove();
    if (text) section.append(el("p", { className: "say", textContent: text }));
  }

  const manyProtocols = unique(rows.map((row) => row.protocol)).length > 1;
  const rowName = (row) => [row.pool, row.filter, row.aug && "with shift augmentation",
    manyProtocols && `(${row.protocol})`].filter(Boolean).join(" ");

  // ---- The runs that are drawn, and their colours

  /** A run's name, or its id where runs of two protocols have the same name. */
  const label = (run) => (everyone.some((other) => other !== run && other.name === run.name) ? run.id : run.name);
  const hasFigures = (run) => Boolean(run.tv?.layers?.length || run.equivariance?.length || run.variations);
  /** The more figures a run is in, the sooner it is drawn where not all are. */
  const richness = (run) => Number(hasFigures(run)) + Number(run.id in content.paths.models);
  const seedsOf = (row) => row.runs.map((id) => runById.get(id)).filter(Boolean);
  const runsOf = (row) => {
    const seeds = seedsOf(row);
    return byId("seeds").value === "all" ? seeds : seeds.toSorted((a, b) => richness(b) - richness(a)).slice(0, 1);
  };
  const drawn = () => rows.filter((row) => chosen.has(row)).flatMap(runsOf);
  const ticked = () => [...drawn(), ...elsewhere.filter((model) => chosen.has(model))];

  const slots = new Map(); // run -> which colour: its own for as long as it is on the page
  function assignColours() {
    const used = unique([...ticked(), ...explorerRuns()]);
    for (const run of [...slots.keys()].filter((each) => !used.includes(each))) slots.delete(run);
    for (const run of used.filter((each) => !slots.has(each))) {
      const taken = [...slots.values()];
      slots.set(run, used.findIndex((_, slot) => !taken.includes(slot)));
    }
  }
  const colour = (run) => RUN_COLOURS[slots.get(run) % RUN_COLOURS.length];
  const dash = (run) => DASHES[Math.floor(slots.get(run) / RUN_COLOURS.length) % DASHES.length];

  function swatch(run) {
    const mark = el("i", { className: `swatch ${dash(run)}`, title: label(run) });
    mark.style.borderColor = colour(run);
    return mark;
  }
  function runLegend(section, shown, text = label) {
    section.querySelector(".legend").replaceChildren(...shown.map((run) => el("span", {}, swatch(run), text(run))));
  }

  const picks = []; // of both tables

  /** The cell that ticks a row, or a classifier, and shows the colours of what is drawn of it. */
  function pick(what, name) {
    const box = el("input", { type: "checkbox", ariaLabel: `Draw ${name}` });
    const swatches = el("span", { className: "swatches" });
    box.addEventListener("change", () => {
      chosen[box.checked ? "add" : "delete"](what);
      drawChoice();
    });
    picks.push({ what, box, swatches });
    return el("td", { className: "pick" }, box, swatches);
  }

  // ---- Table 1

  const LEAD = [
    ["Pool", (row) => row.pool], ["Filter", (row) => row.filter], ["Aug", (row) => (row.aug ? "yes" : "no")],
    ["n", (row) => row.n], ...(manyProtocols ? [["Protocol", (row) => row.protocol]] : []),
  ].map(([name, value]) => ({ name, value, text: (row) => String(value(row) ?? "–"), kind: name.toLowerCase() }));
  const compared = content.published.length > 0; // the papers' numbers are of CIFAR-10
  const difference = ({ mean, published }) => (mean == null || published == null ? null : mean - published);
  const COLUMNS = [...LEAD, ...Object.keys(MEASURES).flatMap((key) => [
    { name: "ours", value: (row) => row[key].mean, kind: "numeric ours",
      text: ({ [key]: { mean, std } }) => percent(mean) + (std == null ? "" : ` ± ${percent(std)}`),
      mark: (row) => (row[key].best ? "best" : row[key].worst ? "worst" : "") },
    ...(compared ? [
      { name: "paper", value: (row) => row[key].published, kind: "numeric paper",
        text: (row) => percent(row[key].published) },
      { name: "diff", value: (row) => difference(row[key]), kind: "numeric diff",
        text: (row) => percent(difference(row[key]), "exceptZero") },
    ] : []),
  ])];
  const WIDE = compared ? 3 : 1; // columns of a measure

  const lines = rows.map((row) => {
    const cells = COLUMNS.map((column) => el("td", { textContent: column.text(row),
      className: `${column.kind} ${column.mark?.(row) ?? ""}`.trim() }));
    if (row.notes.length) cells[3].append(el("abbr", { title: row.notes.join("; "), textContent: "†" }));
    const words = [row.pool, row.filter, row.family, row.aug ? "aug" : "noaug", row.protocol, ...row.runs];
    return { row, words: words.join(" ").toLowerCase(), element: el("tr", {}, pick(row, rowName(row)), ...cells) };
  });

  function buildTable() {
    const groups = Object.values(MEASURES).map((name) =>
      el("th", { colSpan: WIDE, scope: "colgroup", textContent: name }));
    for (const column of COLUMNS) {
      const button = el("button", { type: "button", textContent: column.name });
      button.addEventListener("click", () => sortBy(column));
      column.head = el("th", { scope: "col", ariaSort: "none", className: column.kind }, button);
    }
    const table = byId("table");
    table.caption.textContent = manyProtocols ? "" : rows[0]?.protocol ?? "No run has finished.";
    table.tHead.append(
      el("tr", {}, el("td", { colSpan: LEAD.length + 1 }), ...groups),
      el("tr", {}, el("th", { scope: "col", textContent: "Draw" }), ...COLUMNS.map(({ head }) => head)));
    table.tBodies[0].append(...lines.map(({ element }) => element));
    table.tFoot.append(...content.foot.flatMap(footLines));
    byId("seeds").parentElement.hidden = rows.every((row) => seedsOf(row).length < 2);
    for (const words of document.querySelectorAll(".compared")) words.hidden = !compared;
    byId("notes").append(...notes().map((text) => el("li", { textContent: text })));
  }

  function footLines(foot) {
    const which = `${foot.rows} ${foot.rows === 1 ? "row" : "rows"}${manyProtocols ? ` of ${foot.protocol}` : ""}`;
    const line = (text, value) => el("tr", {},
      el("th", { scope: "row", colSpan: LEAD.length + 1 }, el("span", { textContent: `${text}, ${which}` })),
      ...Object.keys(MEASURES).map((key) => el("td", { colSpan: WIDE, textContent: value(foot[key]) })));
    return [line("Rank correlation with the published order", (cell) => number(cell?.rank_correlation, 2)),
      line("Mean absolute difference", (cell) => percent(cell?.mean_absolute_difference))];
  }

  const notes = () => [
    ...unique(rows.flatMap((row) => row.notes)).map((note) =>
      `† ${note}: ${rows.filter((row) => row.notes.includes(note)).map(rowName).join("; ")}`),
    ...content.unfinished.map(({ run, note }) => `Not in the table: ${run} (${note})`),
  ];

  /** Best first, or A to Z; then the other way round; then the order in which the rows came. */
  function sortBy(column) {
    const first = column.kind.startsWith("numeric") ? -1 : 1;
    const direction = sorting.column !== column ? first : sorting.direction === first ? -first : 0;
    sorting = { column, direction };
    const collator = new Intl.Collator("en", { numeric: true });
    const order = (a, b) => {
      const [x, y] = [column.value(a.row), column.value(b.row)];
      if (x == null || y == null) return (x == null) - (y == null); // what is missing comes last either way
      return direction * (typeof x === "number" ? x - y : collator.compare(x, y));
    };
    byId("table").tBodies[0].append(...(direction ? lines.toSorted(order) : lines).map(({ element }) => element));
    for (const { head } of COLUMNS) head.ariaSort = "none";
    column.head.ariaSort = { "-1": "descending", 0: "none", 1: "ascending" }[direction];
  }

  function filterTable() {
    const [words, aug] = [byId("filter").value.toLowerCase().split(/\s+/), byId("aug").value];
    for (const line of lines) {
      line.element.hidden = !words.every((word) => line.words.includes(word)) || (aug && String(line.row.aug) !== aug);
    }
    byId("count").textContent = `${lines.filter(({ element }) => !element.hidden).length} of ${rows.length} rows`;
  }

  // ---- Classifiers from elsewhere

  /** Where there are no runs, what there is of Zhang's is not shown at all. */
  function buildElsewhere() {
    byId("elsewhere").hidden = !elsewhere.length;
    byId("elsewhere").querySelector("tbody").append(...elsewhere.map((model) => {
      const under = content.paths.protocols.filter(({ id }) => content.paths.models[model.id]?.[id]);
      const images = unique(under.map(({ id }) => number(content.paths.models[model.id][id].images)));
      const cells = [model.name, model.data, images.join(", "), under.map(({ title }) => title).join(", ")];
      return el("tr", {}, pick(model, model.name), ...cells.map((text, i) =>
        el("td", { textContent: text || "–", className: i === 2 ? "numeric" : "" })));
    }));
    for (const section of document.querySelectorAll(".zhang")) section.hidden = !rows.length && elsewhere.length > 0;
    byId("table1").hidden &&= !content.unfinished.length;
    for (const link of document.querySelectorAll("nav a")) link.hidden = document.querySelector(link.hash).hidden;
  }

  // ---- Plotly

  const axis = (title, more = {}) => ({ title: { text: title, standoff: 8 }, gridcolor: css("--grid"), showline: true,
    linecolor: css("--rule"), tickcolor: css("--rule"), ticks: "outside", ticklen: 4, zeroline: false, ...more });
  /** For an axis whose hover names every run at once: the line that marks where. */
  const spike = () => ({ showspikes: true, spikecolor: css("--muted"), spikethickness: 1, spikedash: "solid" });

  const trace = (run, x, y, more = {}) => ({ type: "scatter", mode: "lines", name: plain(label(run)), x, y, ...more,
    line: { color: colour(run), dash: dash(run), width: 2, ...more.line } });

  function plot(host, height, traces, layout, config = {}) {
    const font = { family: css("--sans"), size: 12, color: css("--ink") };
    const base = {
      height, width: host.clientWidth, margin: { l: 56, r: 12, t: 12, b: 48 }, showlegend: false,
      paper_bgcolor: css("--paper"), plot_bgcolor: css("--paper"), font, hovermode: "closest",
      hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--rule"), font },
    };
    // Of plotly's own buttons one uploads the figure's data to its maker: nothing leaves this page.
    const bar = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
    window.Plotly.react(host, traces, { ...base, ...layout }, { ...bar, ...config });
  }

  const caption = (text, id, size) => ({ text, xref: `x${id} domain`, yref: `y${id} domain`, x: 0, y: 1,
    xanchor: "left", yanchor: "bottom", xshift: -2, showarrow: false, font: { size } });

  // ---- Fig. 5: consistency against accuracy

  const tint = (row) => FAMILY_COLOURS[row.family] ?? FAMILY_COLOURS.other;
  const shape = (taps) => SHAPES[taps] ?? SHAPES.other;

  function points(name, panel, list, { marker, ...more }) {
    return { type: "scatter", mode: "markers", name, xaxis: `x${panel}`, yaxis: `y${panel}`, ...more,
      x: list.map((each) => 100 * each.accuracy), y: list.map((each) => 100 * each.consistency),
      text: list.map((each) => plain(each.text)),
      hovertemplate: "%{text}<br>accuracy %{x:.1f}, consistency %{y:.1f}<extra></extra>",
      marker: { size: 11, symbol: list.map(({ taps }) => shape(taps)[0]), ...marker } };
  }

  function panelTraces(aug, panel, shown) {
    const published = content.published.filter((row) => row.aug === aug && row.accuracy != null)
      .map((row) => ({ ...row, text: `${row.filter}, published` }));
    const mine = shown.filter((row) => row.aug === aug && row.accuracy.mean != null && row.consistency.mean != null);
    const means = mine.map((row) => ({ accuracy: row.accuracy.mean, consistency: row.consistency.mean, taps: row.taps,
      text: `${rowName(row)}, n = ${row.n}` }));
    const bars = (key) => ({ array: mine.map((row) => 100 * (row[key].std ?? 0)), color: css("--muted"), thickness: 1,
      width: 0 });
    const ring = { color: css("--ink"), width: mine.map((row) => (chosen.has(row) ? 2 : 0)) };
    return [
      points("published", panel, published, { marker: { color: css("--published") } }),
      points("ours", panel, means, { error_x: bars("accuracy"), error_y: bars("consistency"),
        marker: { color: mine.map(tint), line: ring } }),
    ];
  }

  function drawScatter() {
    const shown = lines.filter(({ element }) => !element.hidden).map(({ row }) => row);
    const host = byId("fig5").querySelector(".plot");
    scatterLegend(shown);
    const panels = [false, true].map((aug) => panelTraces(aug, aug ? "2" : "", shown));
    const ticks = panels.map((traces) => ({ showticklabels: traces.some((each) => each.x.length) }));
    const narrow = host.clientWidth < 640;
    const [first, second] = narrow ? [[0.59, 1], [0, 0.41]] : [[0, 0.47], [0.53, 1]];
    const [x, y] = narrow ? [{}, { first, second }] : [{ first, second }, {}];
    plot(host, narrow ? 720 : 420, panels.flat(), {
      margin: { l: 56, r: 12, t: 28, b: 48 },
      annotations: [caption("without shift augmentation", "", 13), caption("with shift augmentation", "2", 13)],
      xaxis: axis("accuracy (%)", { domain: x.first, ...ticks[0] }),
      xaxis2: axis("accuracy (%)", { domain: x.second, anchor: "y2", ...ticks[1] }),
      yaxis: axis("consistency (%)", { domain: y.first }),
      yaxis2: axis(narrow ? "consistency (%)" : "", { domain: y.second, anchor: "x2", matches: "y" }),
    });
  }

  function scatterLegend(shown) {
    const entry = (sign, text, ink) => {
      const mark = el("b", { textContent: sign });
      mark.style.color = ink;
      return el("span", {}, mark, text);
    };
    const families = new Map(shown.map((row) => [row.family ?? row.pool, tint(row)]));
    const taps = unique([...shown, ...content.published].map((row) => row.taps)).sort();
    byId("fig5").querySelector(".legend").replaceChildren(
      ...[...families].map(([name, ink]) => entry("●", name, ink)),
      ...(compared ? [entry("●", "published", css("--published"))] : []), el("span", { className: "break", textContent: "taps:" }),
      ...taps.map((count) => entry(shape(count)[1], String(count ?? "other"), css("--muted"))));
  }

  // ---- Fig. 4: equivariance, one small map a layer

  function drawMaps(shown) {
    const able = shown.filter((run) => run.equivariance?.length);
    const left = able.slice(FEW).map(label).join(", ");
    say(byId("fig4"), !able.length ? "No ticked run has this measure." : left && `Not drawn, only ${FEW} fit: ${left}.`,
      !able.length);
    const host = byId("fig4").querySelector(".maps");
    host.replaceChildren(); // not Plotly.purge: a figure whose margins it still measures would throw
    for (const run of able.slice(0, FEW)) {
      const figure = el("div", { className: "plot" });
      host.append(el("h3", {}, swatch(run), label(run)), figure);
      drawRunMaps(figure, run.equivariance);
    }
  }

  function drawRunMaps(host, layers) {
    const [gap, title, margin] = [22, 20, { l: 30, r: 12, t: 0, b: 22 }]; // pixels
    const width = host.clientWidth - margin.l - margin.r;
    const count = Math.ceil(layers.length / Math.max(1, Math.floor((width + gap) / (100 + gap)))); // lines of maps
    const columns = Math.ceil(layers.length / count);
    const side = Math.min(190, (width + gap) / columns - gap);
    const pitch = side + title + 10;
    const layout = { margin, annotations: [], dragmode: false };
    const traces = layers.map(({ layer, resolution, top, map }, i) => {
      const id = i ? i + 1 : "";
      const [x, y] = [centred(map[0].length), centred(map.length)];
      const [left, above] = [(i % columns) * (side + gap), Math.floor(i / columns) * pitch + title];
      layout[`xaxis${id}`] = mapAxis(x, `y${id}`, i + columns >= layers.length, left / width, (left + side) / width);
      layout[`yaxis${id}`] = mapAxis(y, `x${id}`, i % columns === 0, 1 - (above + side) / (count * pitch),
        1 - above / (count * pitch));
      layout[`yaxis${id}`].range.reverse(); // a shift downwards is downwards
      layout.annotations.push(caption(`${plain(layer)} [${resolution.join("x")}]`, id, Math.min(11, side / 10)));
      return { type: "heatmap", name: plain(layer), z: fftshift(map), x, y, xaxis: `x${id}`, yaxis: `y${id}`, zmin: 0,
        zmax: top == null ? undefined : top / 2, showscale: false,
        colorscale: HEAT.map((ink, k) => [k / (HEAT.length - 1), ink]),
        hovertemplate: "h %{y}, w %{x}<br>distance %{z:.4f}<extra></extra>" };
    });
    plot(host, count * pitch + margin.b, traces, layout, { displayModeBar: false });
  }

  const mapAxis = (shifts, anchor, labelled, from, to) => ({ anchor, domain: [Math.max(0, from), Math.min(1, to)],
    tickvals: [shifts[0], 0, shifts.at(-1)], range: [shifts[0] - 0.5, shifts.at(-1) + 0.5], showticklabels: labelled,
    ticks: labelled ? "outside" : "", ticklen: 3, tickcolor: css("--rule"), tickfont: { size: 10 }, fixedrange: true,
    showgrid: false, zeroline: false });

  // ---- Figs. 6 and 7: variation, smoothness of the filters

  function drawVariation(shown) {
    const section = byId("fig6");
    const able = shown.filter((run) => run.variations);
    say(section, able.length ? "" : "No ticked run has this measure.");
    if (!able.length) return;
    runLegend(section, able, (run) => `${label(run)} (${significant(run.variation)})`);
    const traces = able.map((run) => {
      const { edges, counts } = run.variations;
      // The last step needs a right end, too.
      return trace(run, edges, [...counts, counts.at(-1)], { hovertemplate: "%{y} images",
        line: { shape: "hv", width: 1.5 } });
    });
    plot(section.querySelector(".plot"), 380, traces, { hovermode: "x unified",
      xaxis: axis("variation (below 10<sup>−5</sup> in the first bin)", { type: "log", range: [-5, 0], dtick: 1,
        exponentformat: "power", hoverformat: ".1e", ...spike() }),
      yaxis: axis("images", { rangemode: "tozero" }) });
  }

  function drawSmoothness(shown) {
    const section = byId("fig7");
    const able = shown.filter((run) => run.tv?.layers?.length);
    say(section, able.length ? "" : "No ticked run has this measure.");
    if (!able.length) return;
    runLegend(section, able);
    const [final, course] = section.querySelectorAll(".plot");
    const margin = { l: 56, r: 12, t: 12, b: 72 };
    plot(final, 360, able.map((run) => trace(run, run.tv.layers.map(plain), run.tv.final, { mode: "lines+markers",
      hovertemplate: "%{x}: %{y:.3f}" })), { margin, xaxis: axis("", { type: "category", tickangle: -45 }),
      yaxis: axis("total variation") });

    const [layers, select] = [unique(able.flatMap((run) => run.tv.layers)), byId("layer")];
    const layer = layers.includes(select.value) ? select.value : layers[0];
    select.replaceChildren(...layers.map((name) => el("option", { textContent: name, selected: name === layer })));
    const logged = able.filter((run) => run.tv.epochs?.length && run.tv.layers.includes(layer));
    say(course.parentElement, logged.length ? "" : "No ticked run has logged it during training.");
    if (!logged.length) return;
    plot(course, 360, logged.map((run) => trace(run, run.tv.epochs, run.tv.course[run.tv.layers.indexOf(layer)],
      { mode: "lines+markers", marker: { size: 4 }, hovertemplate: "epoch %{x}: %{y:.3f}" })),
    { margin, xaxis: axis("epoch", { rangemode: "tozero" }), yaxis: axis("total variation") });
  }

  // ---- Fig. 2: stability along the diagonal

  function drawStability(shown) {
    const section = byId("fig2");
    const able = shown.filter((run) => run.stability?.[image?.index]?.length);
    const lacking = shown.filter((run) => !able.includes(run)).map(label).join(", ");
    const some = lacking && `Not measured on this image: ${lacking}.`;
    const none = image ? "No ticked run has this measure on this image." : `No run has saved its images: ${HOW} does.`;
    say(section, able.length ? some : none, !able.length);
    if (!able.length) return;
    runLegend(section, able);
    const curves = able.map((run) => run.stability[image.index].map(hundredfold));
    const [host, margin] = [section.querySelector(".plot"), { l: 56, r: 28, t: 12, b: 26 }];
    const last = Math.max(...curves.map((curve) => curve.length)) - 1;
    const pixels = (host.clientWidth - margin.l - margin.r) / last; // for a shift by one
    const step = [1, 2, 4, 8].find((each) => each * pixels >= 52) ?? 16;
    const ticks = curves[0].map((_, d) => d).filter((d) => d % step === 0);
    plot(host, 320, able.map((run, i) => trace(run, curves[i].map((_, d) => d), curves[i],
      { hovertemplate: "%{y:.1f} %" })), { margin, hovermode: "x unified",
      xaxis: axis("", { tickvals: ticks, range: [0, last], ...spike() }),
      yaxis: axis(plain(`probability of ${classes[image.label]} (%)`), { range: [-2, 102] }) });
    drawThumbnails(host.clientWidth, ticks.map((d) => [d, margin.l + d * pixels]), Math.min(56, step * pixels - 6));
  }

  function drawThumbnails(width, places, side) {
    const [canvas, density, height] = [byId("thumbnails"), window.devicePixelRatio, side + 28];
    Object.assign(canvas, { width: width * density, height: height * density });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const [context, scratch] = [canvas.getContext("2d"), el("canvas", { width: W, height: H })];
    context.scale(density, density);
    context.imageSmoothingEnabled = false;
    for (const [d, x] of places) {
      drawShifted(scratch, d, d);
      context.drawImage(scratch, x - side / 2, 2, side, side);
    }
    Object.assign(context, { font: `12px ${css("--sans")}`, fillStyle: css("--ink"), textAlign: "center" });
    context.fillText("shift d: the image moved by (d, d)", width / 2, height - 7);
  }

  // ---- Images

  /** Shift_{h,w}(X)[i, j] = X[(i - h) mod H, (j - w) mod W], for h and w from 0: the image four times wraps round. */
  function drawShifted(canvas, h, w) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, W, H); // for images that are transparent in places
    for (const y of [h, h - H]) for (const x of [w, w - W]) context.drawImage(pictures.get(image.index), x, y, W, H);
  }

  const measured = (key) => images.filter(({ index }) => runs.some((run) => run[key]?.[index]));

  function buildStrip(section, key) {
    section.querySelector(".strip").append(...measured(key).map((each) => {
      const name = classes[each.label];
      const button = el("button", { type: "button", title: `image ${each.index}: ${name}` },
        el("img", { src: each.png, alt: "" }), el("span", { textContent: name }));
      button.dataset.index = each.index;
      button.addEventListener("click", () => chooseImage(each));
      return button;
    }));
  }

  function chooseImage(next) {
    image = next;
    for (const button of document.querySelectorAll(".zhang .strip button")) {
      button.ariaPressed = String(button.dataset.index === String(image.index));
    }
    drawStability(drawn());
    showExplorer();
  }

  // ---- Shift explorer

  const ableRuns = runs.filter((run) => Object.keys(run.probabilities ?? {}).length);
  const panels = ableRuns.slice(0, 2).map(() => ({ root: byId("panel").content.firstElementChild.cloneNode(true) }));

  /** The panels' runs: as picked, else the first that are drawn in the figures, else any. */
  function explorerRuns() {
    const offered = unique([...drawn().filter((run) => ableRuns.includes(run)), ...ableRuns]);
    const free = offered.filter((run) => !picked.includes(run));
    return panels.map((_, side) => picked[side] ?? free.shift());
  }

  const decoded = new Map(); // base64 -> bytes: every step of a drag reads the same ones
  function bytes(run, key) {
    const text = run[key]?.[image.index];
    if (text && !decoded.has(text)) decoded.set(text, unpacked(text));
    return decoded.get(text);
  }

  function classColour(k) {
    if (classes.length <= CLASS_COLOURS.length) return CLASS_COLOURS[k];
    // Steps by the golden angle: neighbours differ.
    return `hsl(${(k * 137.5) % 360} ${55 + (k % 2) * 20}% ${45 + (k % 3) * 10}%)`;
  }

  /** The classes that get a bar: all; of many, the correct one and the likeliest over all shifts. */
  function barClasses() {
    const every = classes.map((_, k) => k);
    if (every.length <= MAX_BARS) return every;
    const sums = new Float64Array(classes.length);
    for (const run of explorerRuns()) bytes(run, "probabilities")?.forEach((p, i) => (sums[i % sums.length] += p));
    sums[image.label] = Infinity;
    return every.toSorted((a, b) => sums[b] - sums[a]).slice(0, MAX_BARS).sort((a, b) => a - b);
  }

  /** What changes with the image or the runs; `showShift` is for what changes with the shift. */
  function showExplorer() {
    if (!image || !panels.length) return;
    const kinds = barClasses();
    explorerRuns().forEach((run, side) => {
      const panel = panels[side];
      panel.run = run;
      panel.probabilities = bytes(run, "probabilities");
      panel.predictions = bytes(run, "predictions");
      panel.root.classList.toggle("lacking", !panel.probabilities || !panel.predictions);
      showRuns(panel);
      buildBars(panel, kinds);
      if (panel.predictions) drawPredictions(panel);
    });
    schedule();
  }

  function showRuns({ root, run }) {
    const ticked = drawn();
    const group = (name, members) => el("optgroup", { label: name, hidden: !members.length }, ...members.map((each) =>
      el("option", { value: each.id, textContent: label(each), selected: each === run })));
    root.querySelector("select").replaceChildren(
      group("Ticked in the table", ticked.filter((each) => ableRuns.includes(each))),
      group("Other runs", ableRuns.filter((each) => !ticked.includes(each))));
    root.querySelector(".mark").replaceChildren(swatch(run));
  }

  function buildBars(panel, kinds) {
    panel.bars = kinds.map((k) => ({ k, fill: el("i"), value: el("span", { className: "value" }) }));
    panel.root.querySelector(".bars").replaceChildren(...panel.bars.map(({ k, fill, value }) => {
      fill.style.background = classColour(k);
      const name = el("span", { className: "name", textContent: classes[k], title: classes[k] });
      const track = el("span", { className: "track" }, fill);
      return el("div", { className: k === image.label ? "bar correct" : "bar" }, name, track, value);
    }));
  }

  function drawPredictions({ root, predictions }) {
    const context = root.querySelector(".map").getContext("2d");
    const counts = new Map();
    predictions.forEach((k, i) => {
      context.fillStyle = classColour(k);
      context.fillRect(place(i % W, W), place(Math.floor(i / W), H), 1, 1);
      counts.set(k, (counts.get(k) ?? 0) + 1);
    });
    const shares = [...counts].sort((a, b) => b[1] - a[1]).map(([k, count]) => [k, `${percent(count / (H * W))} %`]);
    root.querySelector(".agree").textContent = `${shares[0][1]} of the shifts agree on ${classes[shares[0][0]]}.`;
    root.querySelector(".shares").replaceChildren(...shares.map(([k, share]) => {
      const box = el("i", { className: "box" });
      box.style.background = classColour(k);
      return el("span", {}, box, `${classes[k]} ${share}`);
    }));
  }

  let frame = 0;
  function schedule() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (!gone.aborted) showShift();
    });
  }

  function moveTo(h, w) {
    shift = [mod(h, H), mod(w, W)];
    schedule();
  }

  function showShift() {
    const [h, w] = shift;
    drawShifted(byId("image"), h, w);
    const [down, right] = [[h, H], [w, W]].map(([at, n]) => number(centred(n)[place(at, n)], 0, "exceptZero"));
    byId("shift").textContent = `h = ${down}, w = ${right}`;
    for (const { root, bars, probabilities, predictions } of panels) {
      if (root.classList.contains("lacking")) continue;
      for (const { k, fill, value } of bars) {
        const probability = probabilities[(h * W + w) * classes.length + k] / 255;
        fill.style.width = `${100 * probability}%`;
        value.textContent = `${percent(probability)} %`;
      }
      const guess = predictions[h * W + w];
      const verdict = root.querySelector(".verdict");
      verdict.textContent = `predicted: ${classes[guess]} ${guess === image.label ? "✓" : "✗"}`;
      verdict.classList.toggle("wrong", guess !== image.label);
      Object.assign(root.querySelector(".here").style, { left: `${(100 * place(w, W)) / W}%`,
        top: `${(100 * place(h, H)) / H}%`, width: `${100 / W}%`, height: `${100 / H}%` });
    }
  }

  function buildPanel({ root }, side) {
    const select = root.querySelector("select");
    select.addEventListener("change", () => {
      picked[side] = runById.get(select.value);
      drawChoice();
    });
    const ticks = { top: centred(H)[0], bottom: centred(H).at(-1), left: centred(W)[0], right: centred(W).at(-1) };
    for (const [edge, at] of Object.entries(ticks)) root.querySelector(`.tick.${edge}`).textContent = number(at);
    const map = Object.assign(root.querySelector(".map"), { width: W, height: H });
    const jump = ({ clientX, clientY, buttons }) => {
      const box = map.getBoundingClientRect();
      const cell = (at, n) => Math.min(n - 1, Math.max(0, Math.floor(at * n))) - (n >> 1);
      if (buttons & 1) moveTo(cell((clientY - box.top) / box.height, H), cell((clientX - box.left) / box.width, W));
    };
    map.addEventListener("pointerdown", jump);
    map.addEventListener("pointermove", jump);
    byId("stage").append(root);
  }

  function buildExplorer() {
    if (!measured("probabilities").length) {
      say(byId("explorer"), `No run has saved its answers at all shifts: ${HOW} does.`);
      return;
    }
    buildStrip(byId("explorer"), "probabilities");
    panels.forEach(buildPanel);
    const canvas = Object.assign(byId("image"), { width: W, height: H });
    let grab = null;
    canvas.addEventListener("pointerdown", ({ clientX, clientY, pointerId }) => {
      grab = { clientX, clientY, from: shift };
      canvas.setPointerCapture(pointerId);
    });
    canvas.addEventListener("pointermove", ({ clientX, clientY }) => {
      if (!grab) return;
      const down = ((clientY - grab.clientY) * H) / canvas.clientHeight;
      const right = ((clientX - grab.clientX) * W) / canvas.clientWidth;
      moveTo(grab.from[0] + Math.round(down), grab.from[1] + Math.round(right));
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (grab = null));
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (!steps[event.key]) return;
      event.preventDefault(); // else the page scrolls
      moveTo(shift[0] + steps[event.key][0], shift[1] + steps[event.key][1]);
    });
    byId("home").addEventListener("click", () => moveTo(0, 0));
  }

  // ---- The page

  const paths = pathFigures({ byId, content, el, say, unique, times, format, number, plain, css, unpacked, everyone,
    label, colour, dash, swatch, legend: runLegend, axis, spike, trace, plot });

  function drawFigures() {
    const shown = drawn();
    drawScatter();
    paths.draw(ticked());
    for (const draw of [drawMaps, drawVariation, drawSmoothness, drawStability]) draw(shown);
  }

  function drawChoice() {
    assignColours();
    for (const { what, box, swatches } of picks) {
      box.checked = chosen.has(what);
      swatches.replaceChildren(...(box.checked ? (what.runs ? runsOf(what) : [what]).map(swatch) : []));
    }
    drawFigures();
    showExplorer();
  }

  function chooseFirst() {
    const most = (row) => Math.max(...runsOf(row).map(richness));
    const able = rows.filter((row) => runsOf(row).some(richness)).sort((a, b) => most(b) - most(a));
    for (const row of (able.length ? able : rows).slice(0, FEW)) chosen.add(row);
    for (const model of elsewhere.slice(0, FEW)) chosen.add(model);
  }

  function listen() {
    for (const [id, kind] of [["filter", "input"], ["aug", "change"]]) {
      byId(id).addEventListener(kind, () => {
        filterTable();
        drawScatter();
      });
    }
    byId("seeds").addEventListener("change", drawChoice);
    byId("layer").addEventListener("change", () => drawSmoothness(drawn()));
    byId("clear").addEventListener("click", () => {
      chosen.clear();
      drawChoice();
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawFigures, { signal: gone });
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return; // a phone's address bar comes and goes
      width = window.innerWidth;
      requestAnimationFrame(() => gone.aborted || drawFigures());
    }, { signal: gone });
  }

  async function start() {
    const measures = runs.map((run) => `${number(run.images)} images at ${number(run.shifts)} shifts`);
    byId("measured").textContent = measures.length ? `Measured on ${unique(measures).join("; ")}.` : "";
    buildTable();
    filterTable();
    buildElsewhere();
    chooseFirst();
    buildStrip(byId("fig2"), "stability");
    buildExplorer();
    paths.build(ticked);
    listen();
    await Promise.all([...pictures.values()].map((picture) => picture.decode()));
    if (gone.aborted) return;
    drawChoice();
    const first = measured("probabilities")[0] ?? measured("stability")[0];
    if (first) chooseImage(first);
    document.documentElement.dataset.ready = "";
  }

  start();
}

(() => {
  const { unfinished, sets } = JSON.parse(document.getElementById("content").textContent);
  const [select, blank] = [document.getElementById("set"), document.querySelector("main").cloneNode(true)];
  let shown = new AbortController();
  function show() {
    shown.abort();
    shown = new AbortController();
    delete document.documentElement.dataset.ready;
    document.querySelector("main").replaceWith(blank.cloneNode(true));
    showSet({ unfinished, ...sets[select.selectedIndex] }, shown.signal);
  }
  select.append(...sets.map(({ name }) => new Option(name)));
  select.selectedIndex = 0; // a reload would keep another
  select.closest("p").hidden = sets.length < 2;
  select.addEventListener("change", show);
  show();
})();
