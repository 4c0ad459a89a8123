"""Plots of Zhang's measures for the page. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lit_shift.figures.style import (
    DISTANCE_MAP,
    FAMILY_COLOURS,
    LENGTH_MARKERS,
    OTHER_FAMILY,
    OTHER_LENGTH,
    PUBLISHED_COLOUR,
    SYMBOLS,
)
from lit_shift.figures.zhang import VARIATION_EDGES, LayerDistance, variation_counts
from lit_shift.filters import family, taps
from lit_shift.measures import MEASURES, measure_of
from lit_shift.results import shift_figures
from lit_shift.results.comparison import PUBLISHED
from lit_shift.results.images import Shown
from lit_shift.results.page.pictures import picture
from lit_shift.results.page.plots import NEUTRAL, Pens, colour_scale, filmed, line, percent, plot, words
from lit_shift.results.page.table import name_of
from lit_shift.runs.findings import Findings

COLUMNS = 9  # of heat maps
THUMBNAILS, THUMBNAIL_SIDE = 8, 64


class Across(NamedTuple):
    """Column of Table 1 on the horizontal axis of a plot, its meaning, and plotly's axis and format of its values."""

    column: str
    label: str
    axis: dict[str, Any]
    format: str


ACCURACY = Across("accuracy", "accuracy", {"title": "accuracy (%)"}, ".1f")


def plane(rows: pd.DataFrame, compared: bool) -> list[dict[str, Any]]:
    """Plot consistency against accuracy: one point per row, and the published values in grey."""
    return consistency_against(ACCURACY, rows, PUBLISHED if compared else {})


def consistency_against(
    across: Across, rows: pd.DataFrame, published: Mapping[tuple[str, bool], Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Plot consistency against another column of Table 1: one point per row, and published values in grey.

    There is one plot without shift augmentation and one with it, if there are rows of both.
    """
    several, made = rows["recipe"].nunique() > 1, []
    for aug in (False, True):
        printed = {filter: rates for (filter, of), rates in published.items() if of == aug}
        ours = rows[rows["aug"] == aug].dropna(subset=[across.column, "consistency"])
        traces = [
            _point(filter, f"{filter}, published", rates, across, PUBLISHED_COLOUR, 10).update(name="published")
            for filter, rates in printed.items()
        ]
        for row in ours.to_dict("records"):
            text = f"{name_of(row, several)}, n = {row['n']}"
            colour = FAMILY_COLOURS.get(family(row["filter"]), OTHER_FAMILY)
            point = _point(row["filter"], text, row, across, colour, 13).update(meta=row["runs"])
            for axis, measure in (("error_x", across.column), ("error_y", "consistency")):
                spread = np.nan_to_num(100 * row.get(f"{measure}_std", 0))
                point.update({axis: {"array": [spread], "color": NEUTRAL, "thickness": 1, "width": 0}})
            traces.append(point)
        keys = {name: ("circle", FAMILY_COLOURS.get(name, OTHER_FAMILY)) for name in map(family, ours["filter"])}
        keys |= {"published": ("circle", PUBLISHED_COLOUR)} if printed else {}
        for count in sorted({taps(filter) for filter in (*ours["filter"], *printed)}):
            keys[f"{count} tap{'s' * (count > 1)}"] = (_symbol(count), NEUTRAL)
        for name, (symbol, colour) in keys.items():
            marker = {"symbol": symbol, "color": colour}
            traces.append(go.Scatter(x=[None], y=[None], mode="markers", name=words(name), marker=marker))
        if not traces:
            continue
        title = f"{'with' if aug else 'without'} shift augmentation"
        made.append({"title": title, **plot(traces, 440, xaxis=across.axis, yaxis_title="consistency (%)")})
    return made


def _point(filter: str, text: str, values: Any, across: Across, colour: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=[measure_of(across.column).factor * values[across.column]],
        y=[100 * values["consistency"]],
        text=[words(text)],
        mode="markers",
        marker={"size": size, "symbol": _symbol(taps(filter)), "color": colour},
        showlegend=False,
        hovertemplate=f"%{{text}}<br>{across.label} %{{x:{across.format}}}, consistency %{{y:.1f}}<extra></extra>",
    )


def _symbol(count: int) -> str:
    return SYMBOLS[LENGTH_MARKERS.get(count, OTHER_LENGTH)]


def equivariance(runs: Sequence[Findings]) -> list[dict[str, Any]]:
    """Plot each run's heat maps, one per layer, with the unshifted image at the centre."""
    made = []
    for run in runs:
        if distances := shift_figures.layer_distances(run):
            grid = _grid(distances)
            for place, (layer, distance) in enumerate(distances.items()):
                grid.add_trace(_map(run.name, layer, distance), place // COLUMNS + 1, place % COLUMNS + 1)
            made.append({"name": run.name, **plot(grid.data, **grid.layout.to_plotly_json())})
    return made


def _map(name: str, layer: str, distance: LayerDistance) -> go.Heatmap:
    height, width = distance.by_shift.shape
    return go.Heatmap(
        name=words(layer),
        meta=[name],
        z=np.fft.fftshift(distance.by_shift).astype(np.float32),
        x0=-(width // 2),
        y0=-(height // 2),
        zmin=0,
        zmax=distance.between_images / 2 if distance.between_images > 0 else 1,
        colorscale=colour_scale(DISTANCE_MAP),
        showscale=False,
        hovertemplate="h = %{y} px, w = %{x} px<br>distance %{z:.4f}<extra></extra>",
    )


def _grid(distances: dict[str, LayerDistance]) -> go.Figure:
    """Return panels for the layers, with tick labels only at the left and the bottom."""
    lines = -(-len(distances) // COLUMNS)
    height = 150 * lines + 30
    grid = make_subplots(
        lines,
        COLUMNS,
        specs=[[{} if line * COLUMNS + i < len(distances) else None for i in range(COLUMNS)] for line in range(lines)],
        subplot_titles=[f"{words(name)}<br>{'x'.join(map(str, each.resolution))}" for name, each in distances.items()],
        horizontal_spacing=0.2 / COLUMNS,
        vertical_spacing=40 / height if lines > 1 else 0,
    )
    sides = next(iter(distances.values())).by_shift.shape
    rows, columns = ([-(side // 2), 0, (side - 1) // 2] for side in sides)
    axis = {"ticks": "", "showgrid": False, "showline": False, "fixedrange": True, "constrain": "domain"}
    axis |= {"showticklabels": False, "tickfont_size": 9}
    grid.update_xaxes(axis, tickvals=columns).update_xaxes(showticklabels=True, row=lines)
    # A downward shift points downwards.
    grid.update_yaxes(axis, tickvals=rows, autorange="reversed").update_yaxes(showticklabels=True, col=1)
    grid.for_each_yaxis(lambda each: each.update(scaleanchor=each.anchor))  # square
    grid.update_annotations(font_size=10, yshift=-2)
    return grid.update_layout(height=height, margin={"l": 30, "r": 8, "t": 34, "b": 24}, dragmode=False)


def variation(runs: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Plot histograms of the variation over images."""
    traces = []
    for run in [run for run in runs if "variation" in run.arrays]:
        counts = variation_counts(run.arrays["variation"]).tolist()
        mean = run.metrics.get("test/variation")
        mean = float(np.nanmean(run.arrays["variation"])) if mean is None else mean
        # The last step needs a right end.
        trace = line(run.name, VARIATION_EDGES, [*counts, counts[-1]], pens, 1.5, hovertemplate="%{y} images")
        name = f"{words(run.name)} (mean {MEASURES['variation'].written(mean)})"
        traces.append(trace.update(name=name, line_shape="hv"))
    axis = {"type": "log", "range": [-5, 0], "dtick": 1, "exponentformat": "power", "hoverformat": ".1e"}
    axis["title"] = "variation (below 10<sup>\N{MINUS SIGN}5</sup> in the first bin)"
    yaxis = {"title": "test images", "rangemode": "tozero"}
    return plot(traces, 400, hovermode="x unified", xaxis=axis | {"showspikes": True}, yaxis=yaxis)


def tv(runs: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Plot the total variation of the filters by layer."""
    found = {run.name: tv for run in runs if (tv := run.under(shift_figures.TV))}
    how: dict[str, Any] = {"mode": "lines+markers", "hovertemplate": "%{x}: %{y:.3f}"}
    traces = [line(name, [*map(words, tv)], [*tv.values()], pens, **how) for name, tv in found.items()]
    return plot(traces, 380, margin_b=72, xaxis_type="category", xaxis_tickangle=-45, yaxis_title="total variation")


def course(runs: Sequence[Findings], pens: Pens) -> list[dict[str, Any]]:
    """Plot the total variation over training for each layer. All plots share their axes."""
    courses = {run.name: course for run in runs if (course := shift_figures.course(run))}
    layers = dict.fromkeys(layer for course in courses.values() for layer in course if layer != "epoch")
    values = [value for course in courses.values() for layer in course if layer != "epoch" for value in course[layer]]
    low, high = (np.nanmin(values), np.nanmax(values)) if values else (0, 0)
    room = 0.05 * (high - low) or 0.1
    axes: dict[str, Any] = {"xaxis": {"title": "epoch", "rangemode": "tozero"}}
    axes["yaxis"] = {"title": "total variation", "range": [low - room, high + room]}
    how: dict[str, Any] = {"mode": "lines+markers", "marker": {"size": 4}, "hovertemplate": "epoch %{x}: %{y:.3f}"}
    made = []
    for layer in layers:
        able = {name: course for name, course in courses.items() if layer in course}
        traces = [line(name, course["epoch"], course[layer], pens, **how) for name, course in able.items()]
        made.append({"name": layer, **plot(traces, 380, margin_b=72, **axes)})
    return made


def stability(runs: Sequence[Findings], images: Mapping[int, Shown], pens: Pens) -> list[dict[str, Any]]:
    """Plot the probability of each image's class along the diagonal shift, below the shifted images."""
    made = []
    for place, image in images.items():
        able = [run for run in runs if place < len(run.arrays.get("diagonal", ()))]
        if not able:
            continue
        curves = {run.name: percent(run.arrays["diagonal"][place]) for run in able}
        steps = max(map(len, curves.values()))
        shown = np.linspace(0, steps, THUMBNAILS, endpoint=False).astype(int).tolist()
        pictures = [picture(np.roll(image.pixels, (d, d), (1, 2)), THUMBNAIL_SIDE) for d in shown]
        traces = [
            line(name, np.arange(len(curve)), curve, pens, hovertemplate="%{y:.1f} %") for name, curve in curves.items()
        ]
        xaxis = {"title": "diagonal shift d: the image is moved by (d, d) px", "tickvals": shown, "showspikes": True}
        xaxis["range"] = [-0.48 * steps / THUMBNAILS, steps - 1]
        strip = filmed(pictures, shown, 0.96 * steps / THUMBNAILS, runs[0].config["classes"][image.label])
        title = shift_figures.titled(runs, image)
        made.append({"place": place, "title": title, **plot(traces, 440, xaxis=xaxis, **strip)})
    return made
