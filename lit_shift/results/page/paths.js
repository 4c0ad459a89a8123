"use strict";

/** The part of the page on what Azulay & Weiss's protocols have measured; `page` is what page.js has for every part. */
function pathFigures(page) {
  const { byId, content, el, say, unique, times, format, number, plain, css, unpacked, everyone, label, colour, dash,
    swatch, legend, axis, spike, trace, plot } = page;
  const { protocols, films, models } = content.paths;
  // By name: what its axis says, by how much its values are multiplied.
  const MEASURES = {
    jaggedness_top1: ["changes of the top 1 along the path", 1],
    jaggedness_rate_top1: ["changes of the top 1 per step (%)", 100],
    jagged_fraction_top1: ["images whose top 1 changes at least once (%)", 100],
    jaggedness_top5: ["changes of the top 5 along the path", 1],
    jaggedness_rate_top5: ["changes of the top 5 per step (%)", 100],
    jagged_fraction_top5: ["images whose top 5 changes at least once (%)", 100],
    mad: ["mean absolute change of the probability per step (percentage points)", 100],
    accuracy: ["accuracy over all frames (%)", 100],
    accuracy_top5: ["top 5 accuracy over all frames (%)", 100],
    agreement: ["agreement with the answer on the whole image, over all frames (%)", 100],
    agreement_top5: ["frames with the answer on the whole image in the top 5 (%)", 100],
  };
  const PATTERNS = { solid: "", dash: "/", dot: "." }; // of the bars of models whose lines are such
  const MOST_PANELS = 12;
  const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  const KNOWN = 254; // the byte of a probability of 1; above, it is not known

  let film = null; // one of `films`
  let highlighted = null; // the number of a frame

  const found = (model, protocol) => models[model.id]?.[protocol.id];
  const current = () => protocols.find(({ id }) => id === byId("protocol").value);
  /** An axis of which the title is long for its room. */
  const tight = (text, more) => axis(text, { title: { text, standoff: 8, font: { size: 11 } }, ...more });
  const words = (value) => format(value, { maximumFractionDigits: 3 });
  const panel = (part) => part.querySelector(".plot");

  /** The models that a part can show, `most` at most; it says which do not fit, and is not there if it is of no use. */
  function able(part, shown, has, most = Infinity, useful = everyone.some(has)) {
    part.hidden = !useful;
    const capable = shown.filter(has);
    const left = capable.slice(most).map(label).join(", ");
    const none = !capable.length && "Nothing that is ticked has this measure.";
    say(part, none || (left && `Only ${most} fit; not drawn: ${left}.`), Boolean(none));
    return capable.slice(0, most);
  }

  /** Those that were measured at the same positions as the first; the part says which were not. */
  function onOnePath(part, capable, protocol) {
    const path = (model) => String(found(model, protocol).positions);
    const alike = capable.filter((model) => path(model) === path(capable[0]));
    const others = capable.filter((model) => !alike.includes(model)).map(label).join(", ");
    if (others) say(part, `Not drawn, as measured at other positions: ${others}.`, false);
    return alike;
  }

  /** Offers options, [value, text]; what was chosen stays so while it is among them. */
  function fill(select, options) {
    const { value } = select;
    select.replaceChildren(...options.map(([key, text]) => el("option", { value: key, textContent: text })));
    select.value = options.some(([key]) => key === value) ? value : options[0]?.[0] ?? "";
  }

  // ---- Fig. 2B, 7-9: jaggedness

  function drawBars(shown) {
    const [part, measure] = [byId("jagged"), byId("measure").value];
    const has = (model) => protocols.some((protocol) => found(model, protocol)?.measures[measure]);
    const capable = able(part, shown, has);
    if (!capable.length) return;
    const data = unique(capable.flatMap((model) => Object.values(models[model.id]).map((each) => each.data)));
    if (data.length > 1) say(part, `Measured on different images: ${data.join(", ")}.`, false);
    legend(part, capable);
    const [text, factor] = MEASURES[measure];
    const among = protocols.filter((protocol) => capable.some((model) => found(model, protocol)?.measures[measure]));
    plot(panel(part), 340, capable.map((model) => bars(model, measure, factor, among)), { barmode: "group",
      bargap: 0.25, margin: { l: 56, r: 12, t: 12, b: 48 }, xaxis: axis("", { type: "category", automargin: true }),
      yaxis: tight(text, { rangemode: "tozero" }) });
  }

  function bars(model, measure, factor, among) {
    const cells = among.map((protocol) =>
      (found(model, protocol)?.measures[measure] ?? [null, null, null]).map((value) => times(factor, value)));
    const ends = (side, sign) => cells.map((cell) => (cell[side] == null ? 0 : sign * (cell[side] - cell[0])));
    const interval = (low, high) => (low == null ? "" : ` (${words(low)} to ${words(high)})`);
    const texts = cells.map(([mean, low, high], i) =>
      `${words(mean)}${interval(low, high)}, ${number(found(model, among[i])?.images)} images`);
    return { type: "bar", name: plain(label(model)), x: among.map(({ title }) => plain(title)),
      y: cells.map(([mean]) => mean),
      error_y: { type: "data", symmetric: false, array: ends(2, 1), arrayminus: ends(1, -1), color: css("--ink"),
        thickness: 1.5, width: 0 },
      marker: { color: colour(model), pattern: { shape: PATTERNS[dash(model)], fgcolor: css("--paper") } },
      customdata: texts, hovertemplate: "%{x}<br>%{customdata}" };
  }

  // ---- Fig. 6: accuracy by size, or agreement

  function drawSizes(shown) {
    const [part, protocol] = [byId("sizes"), protocols.find(({ id }) => id === byId("sized").value)];
    const has = (model) => protocol && found(model, protocol)?.rates.top1;
    const capable = onOnePath(part, able(part, shown, has), protocol);
    if (!capable.length) return;
    const five = capable.filter((model) => found(model, protocol).rates.top5);
    byId("sizes-rate").textContent = `${protocol.rate[0].toUpperCase()}${protocol.rate.slice(1)}`;
    legend(part, capable);
    if (five.length) part.querySelector(".legend").append(el("span", { textContent: "thin: top 5" }));
    const curve = (model, top, more) => {
      const { positions, rates } = found(model, protocol);
      const intervals = rates[top].map((interval) => interval.map((value) => times(100, value)));
      return [band(model, positions, intervals), trace(model, positions, intervals.map(([mean]) => mean),
        { mode: "lines+markers", marker: { size: 4 }, hovertemplate: "%{y:.1f} %", ...more })];
    };
    const thin = (model) => ({ name: `${plain(label(model))}, top 5`, line: { width: 1 }, opacity: 0.75 });
    plot(panel(part), 340, [...capable.flatMap((model) => curve(model, "top1")),
      ...five.flatMap((model) => curve(model, "top5", thin(model)))], { hovermode: "x unified",
      xaxis: axis(plain(protocol.along), spike()), yaxis: axis(`${protocol.rate} (%)`, { range: [-2, 102] }) });
  }

  // ---- Fig. 2A: the probability of the correct class

  function drawHeat(shown, protocol) {
    const part = byId("heat");
    panels(part, able(part, shown, (model) => found(model, protocol)?.heat, MOST_PANELS), (model) => {
      const { images, steps, positions, heat } = found(model, protocol);
      const rows = heat.places.length;
      const kept = rows < images ? `${number(rows)} of ${number(images)} images, evenly spread over the order` :
        `${number(images)} image${images === 1 ? "" : "s"}`;
      const left = positions.length < steps ? `, ${number(positions.length)} of ${number(steps)} positions` : "";
      const levels = unpacked(heat.levels);
      const z = heat.places.map((_, row) =>
        Array.from(levels.subarray(row * positions.length, (row + 1) * positions.length),
          (level) => (level > KNOWN ? null : (100 * level) / KNOWN)));
      return { text: ` (${kept}${left})`, height: 300,
        traces: [{ type: "heatmap", name: plain(label(model)), x: positions, y: heat.places.map(String), z, zmin: 0,
          zmax: 100, showscale: false, colorscale: VIRIDIS.map((ink, k) => [k / (VIRIDIS.length - 1), ink]),
          hovertemplate: "test image %{y}, at %{x}: %{z:.1f} %<extra></extra>" }],
        layout: { plot_bgcolor: css("--published"), margin: { l: 12, r: 12, t: 4, b: 44 },
          xaxis: tight(plain(protocol.along), { showgrid: false }),
          yaxis: { type: "category", autorange: "reversed", visible: false } } };
    });
  }

  /** The 95% intervals around a curve: mean and both ends at each x. */
  function band(model, x, intervals) {
    const known = x.map((at, i) => [at, ...intervals[i]]).filter(([, , low, high]) => low != null && high != null);
    const back = known.toReversed();
    return { type: "scatter", mode: "lines", name: plain(label(model)), x: [...known, ...back].map(([at]) => at),
      y: [...known.map(([, , , high]) => high), ...back.map(([, , low]) => low)], fill: "toself",
      fillcolor: `${colour(model)}2e`, line: { width: 0 }, hoverinfo: "skip" };
  }

  /** A panel for each model: what `make` makes of it. */
  function panels(part, capable, make) {
    const hosts = capable.map(() => el("div", { className: "plot" }));
    const made = capable.map(make);
    part.querySelector(".panels").replaceChildren(...hosts.map((host, i) =>
      el("div", {}, el("h4", {}, swatch(capable[i]), label(capable[i]), el("small", {}, made[i].text)), host)));
    hosts.forEach((host, i) => plot(host, made[i].height, made[i].traces, made[i].layout, { displayModeBar: false }));
  }

  // ---- Fig. 10: non-shiftability by depth

  function drawDepth(shown, protocol) {
    const part = byId("depth");
    const layers = (model) => found(model, protocol)?.layers;
    const capable = able(part, shown, (model) => layers(model)?.names.length);
    if (!capable.length) return;
    legend(part, capable);
    const marks = [["●", "convolution"], ["■", "pool"]].filter((_, pool) =>
      capable.some((model) => layers(model).pools.includes(Boolean(pool))));
    part.querySelector(".legend").append(...marks.map(([sign, text]) => el("span", {}, el("b", {}, sign), text)));
    const alike = unique(capable.map((model) => String(layers(model).names))).length === 1;
    const share = ({ depths }) => depths.map((depth) => depth / Math.max(...depths, 1));
    const steps = (model) => found(model, protocol).steps - 1; // from frame to frame
    const counted = unique(capable.map(steps)).length === 1;
    const traces = capable.map((model) => {
      const { names, pools } = layers(model);
      const scale = counted ? 1 : 100 / steps(model);
      const intervals = layers(model).intervals.map((ends) => ends.map((value) => times(scale, value)));
      const x = alike ? names.map(plain) : share(layers(model));
      const images = layers(model).images.map((counts) => [...counts.map((value) => times(scale, value)), null]);
      const thin = trace(model, images.flatMap(() => [...x, null]), images.flat(), { hoverinfo: "skip",
        line: { width: 0.5, dash: "solid" }, opacity: Math.min(0.4, 10 / images.length) });
      return [thin, band(model, x, intervals), trace(model, x, intervals.map(([mean]) => mean), { mode: "lines+markers",
        text: names.map(plain), hovertemplate: "%{text}: %{y:.2f}", line: { width: 1.5 },
        marker: { symbol: pools.map((pool) => (pool ? "square" : "circle")), size: pools.map((pool) => (pool ? 10 : 6)),
          line: { width: 0 } } })];
    });
    const changes = `at which a sum changes by over ${words(100 * protocol.tolerance)} %`;
    const text = `${counted ? "steps" : "share of the steps, in percent,"} ${changes}`;
    plot(panel(part), 360, traces.flat(), { margin: { l: 56, r: 12, t: 12, b: alike ? 72 : 48 },
      xaxis: alike ? axis("", { type: "category", tickangle: -45 }) : axis("share of the convolutions passed"),
      yaxis: tight(text, { rangemode: "tozero" }) });
  }

  // ---- An image: Fig. 1, its film; Fig. 3, feature maps; Fig. 4 and 11-13, the sums of the last layer's

  /** Whether something is shown of any image. */
  const pictured = (protocol, key) => everyone.some((model) =>
    Object.values(found(model, protocol)?.films ?? {}).some((each) => each[key].length));
  const ofFilm = (model) => models[model.id]?.[film?.protocol]?.films[films.indexOf(film)];

  function drawImages(shown, protocol) {
    const of = (each) => shown.filter((model) => found(model, protocol)?.films[films.indexOf(each)]);
    const offered = films.filter((each) => each.protocol === protocol.id && of(each).length);
    const same = offered.find((each) => each.place === film?.place);
    film = offered.includes(film) ? film : same ?? offered[0] ?? null;
    highlighted = null;
    const strip = byId("film").querySelector(".strip");
    strip.hidden = offered.length < 2;
    strip.replaceChildren(...offered.map((each) => {
      const pressed = { ariaPressed: String(each === film), title: of(each).map(label).join(", ") };
      const button = el("button", { type: "button", ...pressed },
        el("img", { src: each.frames[each.frames.length >> 1], alt: "" }), el("span", {}, `image ${each.place}`));
      button.addEventListener("click", () => {
        film = each;
        drawImages(shown, protocol);
        strip.querySelector("[aria-pressed=true]").focus();
      });
      return button;
    }));
    drawFilm(shown, protocol);
    drawMaps(shown, protocol);
    drawSums(shown, protocol);
  }

  function drawFilm(shown, protocol) {
    const part = byId("film");
    part.hidden = !films.some((each) => each.protocol === protocol.id);
    const others = shown.filter((model) => found(model, protocol) && !ofFilm(model)).map(label).join(", ");
    const none = !film && "Nothing that is ticked has this measure.";
    say(part, none || (others && `Not measured on these frames: ${others}.`), !film);
    part.querySelector(".inline").textContent = film ? `test image ${film.place}` : "";
    if (!film) return;
    const capable = shown.filter(ofFilm);
    legend(part, capable);
    const [host, margin] = [panel(part), { l: 56, r: 12, t: 8, b: 48 }];
    const path = capable.length ? found(capable[0], protocol).positions : film.positions;
    const ends = [...path, ...film.positions];
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    const gaps = film.positions.slice(1).map((position, i) => position - film.positions[i]);
    const half = 0.48 * Math.min((last - first) / 6, ...gaps);
    const pixels = (host.clientWidth - margin.l - margin.r) / (last - first + 2 * half); // for a step by one
    const side = Math.min(128, 2 * half * pixels);
    const frames = film.frames.map((src, i) => {
      const button = frame(i, src);
      Object.assign(button.style, { width: `${side}px`,
        marginLeft: `${margin.l + (film.positions[i] - first + half) * pixels - side / 2}px` });
      return button;
    });
    part.querySelector(".frames").replaceChildren(...frames);
    plot(host, 300, capable.map((model) => trace(model, path, ofFilm(model).curve.map((value) => times(100, value)),
      { hovertemplate: "%{y:.1f} %", mode: found(model, protocol).measures.mad ? "lines" : "markers" })), { margin, hovermode: "x unified", shapes: marks(),
      xaxis: axis(plain(protocol.along), { range: [first - half, last + half], ...spike() }),
      yaxis: axis("probability (%)", { range: [-2, 102] }) });
    for (const event of ["plotly_hover", "plotly_click"]) {
      host.removeAllListeners(event);
      host.on(event, ({ points }) => highlight(nearest(points[0].x)));
    }
  }

  function frame(i, src) {
    const position = words(film.positions[i]);
    const button = el("button", { type: "button", title: `the frame at ${position}` }, el("img", { src, alt: "" }),
      el("span", { textContent: position }));
    button.dataset.frame = i;
    for (const event of ["focus", "click", "mouseenter"]) button.addEventListener(event, () => highlight(i));
    return button;
  }

  /** A line at each frame's place. */
  const marks = () => film.positions.map((x, i) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper",
    layer: "below", line: { color: css(i === highlighted ? "--ink" : "--grid"), width: i === highlighted ? 2 : 1 } }));

  const nearest = (x) => film.positions.reduce((best, position, i) =>
    (Math.abs(position - x) < Math.abs(film.positions[best] - x) ? i : best), 0);

  function highlight(i) {
    if (i === highlighted) return;
    highlighted = i;
    for (const each of byId("paths").querySelectorAll("[data-frame]")) {
      each.classList.toggle("highlighted", each.dataset.frame === String(i));
    }
    window.Plotly.relayout(panel(byId("film")), { shapes: marks() });
  }

  function drawMaps(shown, protocol) {
    const part = byId("features");
    const capable = able(part, shown, (model) => ofFilm(model)?.maps.length, Infinity, pictured(protocol, "maps"));
    if (!capable.length) return;
    fill(byId("mapped"), capable.map((model) => [model.id, label(model)]));
    drawMapsOf(capable.find(({ id }) => id === byId("mapped").value), protocol);
  }

  function drawMapsOf(model, { tolerance }) {
    const table = byId("features").querySelector("table");
    const head = (text) => el("th", { scope: "row", textContent: text });
    const cell = (i, ...children) => {
      const made = el("td", {}, ...children);
      made.dataset.frame = i;
      made.classList.toggle("highlighted", i === highlighted);
      return made;
    };
    const input = el("tr", {}, head("input"), ...film.frames.map((src, i) =>
      cell(i, el("img", { src, alt: `frame at ${words(film.positions[i])}` }), words(film.positions[i]))));
    table.replaceChildren(el("tbody", {}, input, ...ofFilm(model).maps.map(({ layer, size, shape, levels, sums }) => {
      const [bytes, [h, w]] = [unpacked(levels), shape];
      return el("tr", {}, head(`${layer} [${size.join("x")}]`), ...sums.map((sum, i) => {
        const off = sum != null && Math.abs(sum - 1) > tolerance;
        return cell(i, picture(bytes.subarray(i * h * w, (i + 1) * h * w), h, w),
          el("span", { className: off ? "off" : "", textContent: number(sum, 2) }));
      }));
    })));
  }

  const PALETTE = Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (VIRIDIS.length - 1);
    const [from, to] = [Math.floor(at), Math.ceil(at)].map((k) =>
      [1, 3, 5].map((i) => parseInt(VIRIDIS[k].slice(i, i + 2), 16)));
    return from.map((value, channel) => value + (at % 1) * (to[channel] - value));
  });

  function picture(levels, height, width) {
    const canvas = el("canvas", { width, height });
    const image = new ImageData(width, height);
    levels.forEach((level, i) => image.data.set([...PALETTE[level], 255], 4 * i));
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  function drawSums(shown, protocol) {
    const part = byId("sums");
    const has = (model) => ofFilm(model)?.sums.length;
    const capable = able(part, shown, has, MOST_PANELS, pictured(protocol, "sums"));
    const every = capable.flatMap((model) => ofFilm(model).sums.flat()).filter((sum) => sum != null);
    const [y0, y1] = [1 - protocol.tolerance, 1 + protocol.tolerance];
    const range = [Math.min(...every, y0) - 0.05, Math.max(...every, y1) + 0.05];
    panels(part, capable, (model) => {
      const { sums, strongest } = ofFilm(model);
      const { positions } = found(model, protocol);
      const x = { xref: "paper", x0: 0, x1: 1 };
      return { text: "", height: 240,
        traces: sums.map((sum, i) => trace(model, positions, sum, { line: { width: 1, dash: "solid" }, opacity: 0.7,
          hovertemplate: `map ${strongest[i]}, at %{x}: %{y:.2f}<extra></extra>` })),
        layout: { margin: { l: 44, r: 12, t: 8, b: 44 }, xaxis: tight(plain(protocol.along)),
          yaxis: tight("sum / its mean", { range }),
          shapes: [{ type: "rect", ...x, y0, y1, layer: "below", line: { width: 0 }, fillcolor: css("--grid") }] } };
    });
  }

  // ---- All of it

  function drawProtocol(shown) {
    const protocol = current();
    const others = (text, has) => shown.some(has) && `${text}: ${shown.filter(has).map(label).join(", ")}`;
    const measured = (model) => found(model, protocol);
    const alike = (model) => !measured(model) &&
      protocols.some((each) => each.name === protocol.name && found(model, each));
    const lengths = unique(shown.filter(measured).map((model) => measured(model).steps));
    const parts = [protocol.along, protocol.options, lengths.length > 1 && `paths of ${lengths.join(", ")} positions`,
      others("measured with other options", alike),
      others("not measured", (model) => !measured(model) && !alike(model)),
      others("measured on a part of the images", (model) => measured(model)?.complete === false),
      protocol.images_left_out && `the pictures of ${protocol.images_left_out} more images are not on this page`];
    byId("protocol-note").textContent = `${parts.filter(Boolean).join("; ")}.`;
    for (const each of document.querySelectorAll("#paths .correct")) each.textContent = protocol.correct;
    drawHeat(shown, protocol);
    drawDepth(shown, protocol);
    drawImages(shown, protocol);
  }

  return {
    draw(shown) {
      if (!protocols.length) return;
      drawBars(shown);
      drawSizes(shown);
      drawProtocol(shown);
    },

    /** Fills the choices; `ticked` are the models to draw when one is made. */
    build(ticked) {
      if (!protocols.length) {
        say(byId("paths"), "No protocol has been measured: python eval.py ckpt=RUN/checkpoints/last.ckpt " +
          "'protocol=[embed,scale,circular]' does.");
        return;
      }
      const results = Object.values(models).flatMap(Object.values);
      // Counts along paths of unlike lengths do not compare.
      const lengths = unique(results.filter((each) => each.measures.mad).map((each) => each.steps));
      const left = lengths.length > 1 ? "jaggedness_top" : "jaggedness_rate";
      const measures = Object.entries(MEASURES).filter(([key]) => !key.startsWith(left) &&
        results.some((each) => each.measures[key]));
      byId("remarks").replaceChildren(...content.paths.remarks.map((text) => el("p", { textContent: text })));
      fill(byId("measure"), measures.map(([key, [text]]) => [key, text]));
      fill(byId("protocol"), protocols.map(({ id, title }) => [id, title]));
      const sized = protocols.filter((protocol) => everyone.some((model) => found(model, protocol)?.rates.top1));
      fill(byId("sized"), sized.map(({ id, title }) => [id, title]));
      for (const [id, draw] of Object.entries({ measure: drawBars, sized: drawSizes, protocol: drawProtocol })) {
        byId(id).addEventListener("change", () => draw(ticked()));
      }
      byId("mapped").addEventListener("change", () => drawMaps(ticked(), current()));
    },
  };
}
