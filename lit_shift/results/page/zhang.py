"""Plots of Zhang's measures for the page. Needs no torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
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
from lit_shift.measures import MEASURES
from lit_shift.results import gallery
from lit_shift.results.comparison import PUBLISHED
from lit_shift.results.page.pictures import picture
from lit_shift.results.page.plots import NEUTRAL, Pens, colour_scale, filmed, line, percent, plot, words
from lit_shift.results.page.table import name_of
from lit_shift.runs.findings import Findings

COLUMNS, NARROW_COLUMNS = 9, 4  # columns of heat maps, on wide and narrow screens
THUMBNAILS, THUMBNAIL_SIDE = 8, 64


def plane(rows: pd.DataFrame, compared: bool) -> dict[str, Any]:
    """Plot consistency against accuracy: one point per row, and the published values in grey.

    There is one panel without shift augmentation and one with it, one below the other on a narrow screen.
    """
    several = rows["recipe"].nunique() > 1
    panels: list[dict[str, str]] = [{}, {"xaxis": "x2", "yaxis": "y2"}]
    traces = []
    for (filter, aug), rates in PUBLISHED.items() if compared else ():
        point = _point(filter, f"{filter}, published", rates, PUBLISHED_COLOUR, 10)
        traces.append(point.update(name="published", **panels[aug]))
    for row in rows.dropna(subset=["accuracy", "consistency"]).to_dict("records"):
        text = f"{name_of(row, several)}, n = {row['n']}"
        colour = FAMILY_COLOURS.get(family(row["filter"]), OTHER_FAMILY)
        point = _point(row["filter"], text, row, colour, 13).update(meta=row["runs"], **panels[row["aug"]])
        for axis, measure in (("error_x", "accuracy"), ("error_y", "consistency")):
            spread = np.nan_to_num(100 * row[f"{measure}_std"])
            point.update({axis: {"array": [spread], "color": NEUTRAL, "thickness": 1, "width": 0}})
        traces.append(point)
    filters = [*rows["filter"]] + [filter for filter, _ in PUBLISHED if compared]
    families = {name: FAMILY_COLOURS.get(name, OTHER_FAMILY) for name in map(family, rows["filter"])}
    families |= {"published": PUBLISHED_COLOUR} if compared else {}
    lengths = {f"{count} tap{'s' * (count > 1)}": _symbol(count) for count in sorted(set(map(taps, filters)))}
    keys = [("circle", colour, name) for name, colour in families.items()]
    keys += [(symbol, NEUTRAL, name) for name, symbol in lengths.items()]
    for symbol, colour, name in keys:
        marker = {"symbol": symbol, "color": colour}
        traces.append(go.Scatter(x=[None], y=[None], mode="markers", name=words(name), marker=marker))
    wide, narrow = (_two_panels(rows, columns) for rows, columns in ((1, 2), (2, 1)))
    return plot(traces, 460, narrow=narrow | {"height": 840}, **wide) | {"fade": True}


def _two_panels(rows: int, columns: int) -> dict[str, Any]:
    titles = ("without shift augmentation", "with shift augmentation")
    made = make_subplots(rows, columns, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.12)
    made.update_annotations(font_size=12, yanchor="top", yshift=-2)
    return _layout(made.update_xaxes(title="accuracy (%)").update_yaxes(title="consistency (%)"))


def _layout(figure: go.Figure) -> dict[str, Any]:
    return {key: value for key, value in figure.layout.to_plotly_json().items() if key != "template"}


def _point(filter: str, text: str, rates: Any, colour: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=[100 * rates["accuracy"]],
        y=[100 * rates["consistency"]],
        text=[words(text)],
        mode="markers",
        marker={"size": size, "symbol": _symbol(taps(filter)), "color": colour},
        showlegend=False,
        hovertemplate="%{text}<br>accuracy %{x:.1f}, consistency %{y:.1f}<extra></extra>",
    )


def _symbol(count: int) -> str:
    return SYMBOLS[LENGTH_MARKERS.get(count, OTHER_LENGTH)]


def equivariance(runs: Sequence[Findings]) -> list[dict[str, Any]]:
    """Plot each run's heat maps, one per layer, with the unshifted image at the centre."""
    made = []
    for run in runs:
        if distances := gallery.layer_distances(run):
            maps = [_map(run.name, i, layer, distance) for i, (layer, distance) in enumerate(distances.items(), 1)]
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
        xaxis=f"x{place}",
        yaxis=f"y{place}",
        zmin=0,
        zmax=distance.between_images / 2 if distance.between_images > 0 else 1,
        colorscale=colour_scale(DISTANCE_MAP),
        showscale=False,
        hovertemplate="h = %{y} px, w = %{x} px<br>distance %{z:.4f}<extra></extra>",
    )


def _grid(distances: dict[str, LayerDistance], columns: int) -> dict[str, Any]:
    """Return the layout of maps in a given number of columns, with ticks only at the left and the bottom."""
    lines = -(-len(distances) // columns)
    height = 150 * lines + 30
    made = make_subplots(
        lines,
        columns,
        specs=[[{} if line * columns + i < len(distances) else None for i in range(columns)] for line in range(lines)],
        subplot_titles=[f"{words(name)}<br>{'x'.join(map(str, each.resolution))}" for name, each in distances.items()],
        horizontal_spacing=0.2 / columns,
        vertical_spacing=40 / height if lines > 1 else 0,
    )
    made.update_annotations(font_size=10, yshift=-2)
    axis = {"ticks": "", "showticklabels": False, "showgrid": False, "fixedrange": True, "constrain": "domain"}
    made.update_xaxes(axis).update_yaxes(axis, autorange="reversed")  # a downward shift points downwards
    for place, distance in enumerate(distances.values()):
        here = {"row": place // columns + 1, "col": place % columns + 1}
        made.update_yaxes(scaleanchor=f"x{place + 1}", **here)
        for side, shown, update in zip(
            distance.by_shift.shape,
            (place % columns == 0, place + columns >= len(distances)),
            (made.update_yaxes, made.update_xaxes),
            strict=True,
        ):
            ticks = [-(side // 2), 0, (side - 1) // 2]
            update(tickvals=ticks, ticks="outside" if shown else "", showticklabels=shown, tickfont_size=9, **here)
    return _layout(made) | {"height": height, "margin": {"l": 30, "r": 8, "t": 34, "b": 24}, "dragmode": False}


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
    found = {run.name: tv for run in runs if (tv := run.under("tv"))}
    how: dict[str, Any] = {"mode": "lines+markers", "hovertemplate": "%{x}: %{y:.3f}"}
    traces = [line(name, [*map(words, tv)], [*tv.values()], pens, **how) for name, tv in found.items()]
    return plot(traces, 380, margin_b=72, xaxis_type="category", xaxis_tickangle=-45, yaxis_title="total variation")


def course(runs: Sequence[Findings], pens: Pens) -> list[dict[str, Any]]:
    """Plot the total variation over training for each layer. All plots share their axes."""
    courses = {run.name: course for run in runs if (course := gallery.filter_tv_course(run))}
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


def stability(runs: Sequence[Findings], places: Sequence[int], pens: Pens) -> list[dict[str, Any]]:
    """Plot the probability of each image's class along the diagonal shift, below the shifted images."""
    made = []
    for place in places:
        able = [run for run in runs if place < len(run.arrays.get("diagonal", ()))]
        if not able:
            continue
        pixels, label = gallery.show(runs, place)
        of = runs[0].config["classes"][label]
        curves = {run.name: percent(run.arrays["diagonal"][place]) for run in able}
        steps = max(map(len, curves.values()))
        shown = np.linspace(0, steps, THUMBNAILS, endpoint=False).astype(int).tolist()
        pictures = [picture(np.roll(pixels, (d, d), (1, 2)), THUMBNAIL_SIDE) for d in shown]
        traces = [
            line(name, np.arange(len(curve)), curve, pens, hovertemplate="%{y:.1f} %") for name, curve in curves.items()
        ]
        xaxis = {"title": "diagonal shift d: the image is moved by (d, d) px", "tickvals": shown, "showspikes": True}
        xaxis["range"] = [-0.48 * steps / THUMBNAILS, steps - 1]
        figure = plot(traces, 440, xaxis=xaxis, **filmed(pictures, shown, 0.96 * steps / THUMBNAILS, of))
        made.append({"place": place, "title": f"test image {place}: {of}", **figure})
    return made
