"""What the page shows of Zhang's measures: his figures, and the shift explorer. Needs no torch."""

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lit_shift.figures import VARIATION_EDGES, LayerDistance, variation_counts
from lit_shift.figures.style import (
    DISTANCE_MAP,
    FAMILY_COLOURS,
    LENGTH_MARKERS,
    OTHER_FAMILY,
    OTHER_LENGTH,
    PUBLISHED_COLOUR,
    SYMBOLS,
)
from lit_shift.filters import family, taps
from lit_shift.measures import measure_of
from lit_shift.results import gallery
from lit_shift.results.page import paths, plots, table
from lit_shift.results.page.pictures import picture
from lit_shift.results.page.plots import NEUTRAL, line, percent, plot, words
from lit_shift.results.table1 import PUBLISHED, Row, by_protocol
from lit_shift.runs.findings import Findings, without_old
from lit_shift.runs.recipe import of_cifar10

# Few classes have these colours, many go around the colour wheel.
CLASS_COLOURS = ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f")
CLASS_COLOURS += ("#bab0ac",)
THUMBNAILS, THUMBNAIL_SIDE = 8, 64
COLUMNS, NARROW_COLUMNS = 9, 4  # of a run's heat maps

Pens = dict[str, dict[str, str]]


def content(models: Sequence[Findings], rows: Sequence[Row], unfinished: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The argument of :func:`lit_shift.results.page.render.render`.

    ``sets`` has an entry for each data set, measured on its own test images; sets share no figure.

    Args:
        models: what is drawn: runs, and classifiers from elsewhere.
        rows: the table, made of the runs.
        unfinished: name and state of each run that is in no row.
    """
    kinds = {"run": [model for model in models if model.trained]}
    kinds["classifier"] = [model for model in models if not model.trained]
    counted = [f"{len(members)} {kind}{'s' * (len(members) != 1)}" for kind, members in kinds.items() if members]
    groups = gallery.by_images(models) or {"": []}
    return {
        "title": f"lit_shift: {', '.join(counted)}" if counted else "lit_shift",
        "sets": [_set(name, members, rows, unfinished) for name, members in groups.items()],
    }


def _set(
    name: str, models: Sequence[Findings], all_rows: Sequence[Row], unfinished: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What is shown of models that were measured on the same test images."""
    pens = plots.pens(models)
    rows = [row for row in all_rows if any(row.runs[0] is model for model in models)]
    runs = [run for row in rows for run in row.runs]
    elsewhere = [model for model in models if not model.trained]
    along = paths.content(models, pens)
    shown = {
        "plane": _plane(rows),
        "equivariance": _equivariance(runs, pens),
        "variation": _variation(runs, pens),
        "tv": _tv(runs, pens),
        "course": _course(runs, pens),
        "stability": _stability(runs, pens),
    }
    explorer = _explorer(runs)
    counted = Counter(name for part in ("variation", "tv") for name in shown[part]["has"])
    counted += Counter(each["name"] for each in [*shown["equivariance"], *explorer["runs"]])
    counted += Counter(name for name in along["titles"])
    measured = {
        f"{table.number(run.metrics.get('test/images'), 0)} images at "
        f"{table.number(run.metrics.get('test/shifts'), 0)} shifts": None
        for run in runs
    }
    return shown | {
        "name": name,
        "measured": f"Measured on {'; '.join(measured)}." if measured else "",
        "pens": pens,
        "runs": [run.name for run in runs],
        "explorer": explorer,
        "table": table.table(rows, unfinished, counted),
        "elsewhere": table.alone(elsewhere, along["titles"]),
        "paths": along,
    }


def _plane(rows: Sequence[Row]) -> dict[str, Any]:
    """Consistency against accuracy: a point for each row, and grey ones that were published."""
    several = len(by_protocol(rows)) > 1
    places: list[tuple[bool, go.Scatter]] = []
    if any(of_cifar10(row.runs[0].config) for row in rows):
        for aug in (False, True):
            known = {filter: rates for (filter, of), rates in PUBLISHED.items() if of == aug}
            points = _points([(filter, f"{filter}, published", rates) for filter, rates in known.items()])
            places.append((aug, points.update(name="published", marker={"color": PUBLISHED_COLOUR})))
    for row in rows:
        cells = {measure: row.cells[measure] for measure in ("accuracy", "consistency")}
        rates = {measure: cell.mean for measure, cell in cells.items() if cell}
        if len(rates) < 2:
            continue
        ends = {
            axis: {"array": [100 * (cell.std or 0)], "color": NEUTRAL, "thickness": 1, "width": 0}
            for axis, cell in zip(("error_x", "error_y"), cells.values(), strict=True)
            if cell
        }
        text = f"{table.name_of(row, several)}, n = {len(row.runs)}"
        point = _points([(row.filter, text, rates)]).update(
            name="ours", meta=[run.name for run in row.runs], showlegend=False, **ends
        )
        point.update(marker={"color": FAMILY_COLOURS.get(family(row.filter), OTHER_FAMILY), "size": 13})
        places.append((row.aug, point))
    panels = sorted({aug for aug, _ in places})
    for number, aug in enumerate(panels[1:], 2):
        for of, point in places:
            if of == aug:
                point.update(xaxis=f"x{number}", yaxis=f"y{number}", showlegend=False)
    layout: dict[str, Any] = {"height": 460, "annotations": []}
    narrow: dict[str, Any] = {"height": 420 * len(panels)}
    for number, aug in enumerate(panels):
        of = str(number + 1) if number else ""
        wide = ([0, 0.47], [0.53, 1])[number] if len(panels) > 1 else [0, 1]
        high = ([0.56, 1], [0, 0.44])[number] if len(panels) > 1 else [0, 1]
        axes = {"xaxis": {"title": {"text": "accuracy (%)"}, "anchor": f"y{of}", "domain": wide}}
        axes["yaxis"] = {"title": {"text": "consistency (%)"}, "anchor": f"x{of}"} | ({"matches": "y"} if of else {})
        layout |= {f"{axis}{of}": settings for axis, settings in axes.items()}
        narrow |= {f"xaxis{of}": axes["xaxis"] | {"domain": [0, 1]}, f"yaxis{of}": axes["yaxis"] | {"domain": high}}
        layout["annotations"].append(
            {
                "text": f"{'with' if aug else 'without'} shift augmentation",
                **{"xref": f"x{of} domain", "yref": f"y{of} domain", "x": 0.02, "y": 0.99, "showarrow": False},
            }
        )
    legend = []
    for name in dict.fromkeys(family(row.filter) for row in rows):
        legend.append((name, SYMBOLS["o"], FAMILY_COLOURS.get(name, OTHER_FAMILY)))
    lengths = {taps(filter) for filter in [row.filter for row in rows] + [f for f, _ in PUBLISHED if len(places) > 1]}
    for count in sorted(lengths):
        legend.append((f"{count} tap{'s' * (count > 1)}", _symbol(count), NEUTRAL))
    keys = [
        go.Scatter(x=[None], y=[None], mode="markers", name=words(name), marker={"symbol": symbol, "color": colour})
        for name, symbol, colour in legend
    ]
    return plot([point for _, point in places] + keys, narrow=narrow, **layout) | {"fade": True}


def _symbol(count: int) -> str:
    return SYMBOLS[LENGTH_MARKERS.get(count, OTHER_LENGTH)]


def _points(points: Sequence[tuple[str, str, Any]]) -> go.Scatter:
    """Filter, text and rates of each."""
    return go.Scatter(
        x=[100 * rates["accuracy"] for _, _, rates in points],
        y=[100 * rates["consistency"] for _, _, rates in points],
        text=[words(text) for _, text, _ in points],
        mode="markers",
        marker={"size": 10, "symbol": [_symbol(taps(filter)) for filter, _, _ in points]},
        hovertemplate="%{text}<br>accuracy %{x:.1f}, consistency %{y:.1f}<extra></extra>",
    )


def _equivariance(runs: Sequence[Findings], pens: Pens) -> list[dict[str, Any]]:
    """For each run its heat maps, a layer each, the unshifted image at the centre."""
    made = []
    for run in runs:
        distances: dict[str, LayerDistance] = {}
        with without_old():
            distances = gallery.layer_distances(run)
        if distances:
            maps = [_map(run.name, i, layer, distance) for i, (layer, distance) in enumerate(distances.items())]
            wide, narrow = (_grid(distances, columns) for columns in (COLUMNS, NARROW_COLUMNS))
            made.append({"name": run.name, **plot(maps, narrow=narrow, **wide)})
    return made


def _map(name: str, place: int, layer: str, distance: LayerDistance) -> go.Heatmap:
    height, width = distance.by_shift.shape
    return go.Heatmap(
        name=words(layer),
        meta=[name],
        z=np.fft.fftshift(distance.by_shift).astype(np.float32),
        x0=-(width // 2),
        y0=-(height // 2),
        xaxis=f"x{place + 1}",
        yaxis=f"y{place + 1}",
        zmin=0,
        zmax=distance.between_images / 2 if distance.between_images > 0 else 1,
        colorscale=plots.colour_scale(DISTANCE_MAP),
        showscale=False,
        hovertemplate="h = %{y} px, w = %{x} px<br>distance %{z:.4f}<extra></extra>",
    )


def _grid(distances: dict[str, LayerDistance], columns: int) -> dict[str, Any]:
    """The layout of maps in lines of so many, with ticks at the left and at the bottom alone."""
    lines = -(-len(distances) // columns)
    cells: list[list[dict[str, Any] | None]] = [[{}] * columns for _ in range(lines)]
    for place in range(len(distances), lines * columns):
        cells[-1][place % columns] = None
    titles = [f"{words(name)}<br>{'x'.join(map(str, each.resolution))}" for name, each in distances.items()]
    height, gap = 150 * lines + 30, 40
    made = make_subplots(
        lines,
        columns,
        specs=cells,
        subplot_titles=titles,
        horizontal_spacing=0.2 / columns,
        vertical_spacing=gap / height if lines > 1 else 0,
    )
    made.update_annotations(font={"size": 10}, yshift=-2)
    axis = {"ticks": "", "showticklabels": False, "showgrid": False, "fixedrange": True, "constrain": "domain"}
    made.update_xaxes(axis)
    for place, distance in enumerate(distances.values()):
        side, here = distance.by_shift.shape[0] // 2, {"row": place // columns + 1, "col": place % columns + 1}
        ticks = {"tickvals": [-side, 0, side - 1], "ticks": "outside", "showticklabels": True, "tickfont": {"size": 9}}
        made.update_yaxes(axis | {"autorange": "reversed", "scaleanchor": f"x{place + 1}"}, **here)
        if place % columns == 0:
            made.update_yaxes(ticks, **here)
        if place + columns >= len(distances):
            made.update_xaxes(ticks, **here)
    layout = made.layout.to_plotly_json() | {"height": height, "margin": {"l": 30, "r": 8, "t": 34, "b": 24}}
    return {key: value for key, value in layout.items() if key != "template"} | {"dragmode": False}


def _variation(runs: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Histograms over images."""
    traces = []
    for run in runs:
        if "variation" in run.arrays:
            counts = variation_counts(run.arrays["variation"])
            mean = run.metrics.get("test/variation", float(np.nanmean(run.arrays["variation"])))
            name = f"{words(run.name)} (mean {measure_of('variation').written(mean)})"
            # The last step needs a right end, too.
            trace = line(run.name, VARIATION_EDGES, [*counts.tolist(), int(counts[-1])], pens[run.name], 1.5)
            traces.append(trace.update(name=name, line={"shape": "hv"}, hovertemplate="%{y} images"))
    title = "variation (below 10<sup>\N{MINUS SIGN}5</sup> in the first bin)"
    axis = {"type": "log", "range": [-5, 0], "dtick": 1, "exponentformat": "power", "hoverformat": ".1e"}
    return plot(
        traces,
        400,
        hovermode="x unified",
        xaxis={"title": {"text": title}, **axis, "showspikes": True},
        yaxis={"title": {"text": "test images"}, "rangemode": "tozero"},
    )


def _tv(runs: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Total variation of the filters, layer by layer."""
    traces = []
    for run in runs:
        if found := run.under("tv"):
            layers = [words(layer) for layer in found]
            trace = line(run.name, layers, list(found.values()), pens[run.name], mode="lines+markers")
            traces.append(trace.update(hovertemplate="%{x}: %{y:.3f}"))
    return plot(
        traces,
        380,
        margin={"l": 56, "r": 12, "t": 12, "b": 72},
        xaxis={"type": "category", "tickangle": -45},
        yaxis={"title": {"text": "total variation"}},
    )


def _course(runs: Sequence[Findings], pens: Pens) -> list[dict[str, Any]]:
    """The same over training: a plot for each layer, all on the same axis."""
    courses = {run.name: course for run in runs if (course := gallery.filter_tv_course(run))}
    layers = dict.fromkeys(layer for course in courses.values() for layer in course if layer != "epoch")
    values = [course[layer] for course in courses.values() for layer in course if layer != "epoch"]
    if not layers:
        return []
    low, high = (float(end(np.concatenate(values))) for end in (np.nanmin, np.nanmax))
    margin = 0.05 * (high - low) or 0.1
    made = []
    for layer in layers:
        traces = [
            line(name, course["epoch"], course[layer], pens[name], mode="lines+markers", marker={"size": 4})
            for name, course in courses.items()
            if layer in course
        ]
        for trace in traces:
            trace.update(hovertemplate="epoch %{x}: %{y:.3f}")
        axes = {"xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"}}
        axes["yaxis"] = {"title": {"text": "total variation"}, "range": [low - margin, high + margin]}
        margins = {"l": 56, "r": 12, "t": 12, "b": 72}
        made.append({"name": layer, "plot": plot(traces, 380, margin=margins, **axes)})
    return made


def _kept(run: Findings) -> list[int]:
    """The images that a run can show at every shift; a class is a byte in the page."""
    return run.arrays["shown"].tolist() if "shown" in run.arrays and len(run.config["classes"]) <= 256 else []


def _images(runs: Sequence[Findings]) -> list[int]:
    """The images that runs keep, first those that most do."""
    count = Counter(place for run in runs for place in _kept(run))
    return sorted(count, key=lambda place: (-count[place], place))


def _stability(runs: Sequence[Findings], pens: Pens) -> list[dict[str, Any]]:
    """For each image the probability of its class along the diagonal, below the image so shifted."""
    made = []
    for place in _images(runs):
        curves = {r.name: r.arrays["diagonal"][place] for r in runs if place < len(r.arrays.get("diagonal", ()))}
        if not curves:
            continue
        pixels, label = gallery.show(runs, place)
        of = runs[0].config["classes"][label]
        steps = max(map(len, curves.values()))
        shown = np.linspace(0, steps, THUMBNAILS, endpoint=False).astype(int).tolist()
        pictures = [picture(np.roll(pixels, (d, d), (1, 2)), THUMBNAIL_SIDE) for d in shown]
        reach = 0.48 * steps / THUMBNAILS
        traces = [line(name, np.arange(len(curve)), percent(curve), pens[name]) for name, curve in curves.items()]
        for trace in traces:
            trace.update(hovertemplate="%{y:.1f} %")
        title = {"text": "diagonal shift d: the image is moved by (d, d) px"}
        xaxis = {"title": title, "tickvals": shown, "range": [-reach, steps - 1], "showspikes": True}
        made.append(
            {
                "place": place,
                "title": f"test image {place}: {of}",
                **plot(traces, 440, xaxis=xaxis, **plots.filmed(pictures, shown, 2 * reach, of)),
            }
        )
    return made


def _explorer(runs: Sequence[Findings]) -> dict[str, Any]:
    """The images, and each run's answers at all shifts."""
    orbits = {run.name: dict(zip(_kept(run), run.arrays.get("probabilities", ()), strict=False)) for run in runs}
    places = [place for place in _images(runs) if any(place in kept for kept in orbits.values())]
    classes = list(runs[0].config["classes"]) if runs else []
    images = {}
    for place in places:
        pixels, label = gallery.show(runs, place)
        images[place] = {"label": label, "picture": picture(pixels)}
    return {
        "images": images,
        "classes": classes,
        "colours": list(CLASS_COLOURS) if len(classes) <= len(CLASS_COLOURS) else _wheel(len(classes)),
        "size": list(gallery.show(runs, places[0])[0].shape[1:]) if places else [1, 1],
        "runs": [
            {"name": name, "has": [name], "answers": {place: _answers(values) for place, values in kept.items()}}
            for name, kept in orbits.items()
            if kept
        ],
    }


def _wheel(count: int) -> list[str]:
    """Colours in steps of the golden angle, so that neighbours differ."""
    return [f"hsl({k * 137.5 % 360:g} {55 + k % 2 * 20}% {45 + k % 3 * 10}%)" for k in range(count)]


def _answers(probabilities: np.ndarray) -> dict[str, str]:
    """Probabilities (H, W, K) and the likeliest class (H, W), a byte each, in base64."""
    levels = {"probabilities": np.rint(255 * np.nan_to_num(probabilities)), "predictions": probabilities.argmax(-1)}
    return {key: base64.b64encode(values.astype(np.uint8).tobytes()).decode() for key, values in levels.items()}
