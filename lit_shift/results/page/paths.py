"""The page's part on measurements along paths. Needs no torch.

Many images and long paths are thinned out evenly, so that the data of many models stay small compared to the script.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lit_shift.figures.layers import percents
from lit_shift.figures.style import MISSING_COLOUR, PROBABILITY_MAP
from lit_shift.measures import measure_of
from lit_shift.results.along import Along, comparable, correct_class, grouped
from lit_shift.results.page.films import filmed_images
from lit_shift.results.page.plots import (
    NEUTRAL,
    PATTERNS,
    Pens,
    band,
    colour_scale,
    line,
    percent,
    plot,
    thinned,
    words,
)
from lit_shift.results.page.table import number
from lit_shift.results.path_figures import by_depth, by_size
from lit_shift.results.remarks import remarks
from lit_shift.runs.findings import Findings

MOST_ROWS, MOST_CELLS = 256, 24_000  # in a heat map
MOST_LINES = 64  # images whose non-shiftability is shown


def content(models: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Return the plots of measures and, for each protocol with its options, the plots along the path.

    ``titles`` has, for each model, the titles of the protocols under which it was measured.
    """
    groups = grouped(models)
    every = [each for group in groups for each in group]
    return {
        "titles": {model.name: [each.title for each in every if each.model is model] for model in models},
        "remarks": remarks(models),
        "measures": _bars(every, pens),
        "sizes": [sizes for group in groups if (sizes := _sizes(group, pens))["has"]],
        "protocols": [_protocol(group, pens) for group in groups],
    }


def _bars(every: Sequence[Along], pens: Pens) -> list[dict[str, Any]]:
    """Plot each measure as bars by protocol, with intervals; a missing value is labelled as such."""
    made = []
    for key in sorted(comparable(every), key=lambda name: name.startswith(("accuracy", "agreement"))):  # last
        able, measure, rows = [each for each in every if each.measured(key)], measure_of(key), []
        if not able:
            continue
        for each in able:
            mean, low, high = measure.factor * np.array(each.interval(key))
            text = f"{mean:.4g} ({low:.4g} to {high:.4g}), {each.images:,} images"
            rows.append([each.name, each.title, mean, mean - low, high - mean, f"{mean:.3g}", text])
        frame = pd.DataFrame(rows, columns=["name", "title", "mean", "below", "above", "label", "text"])
        index = pd.MultiIndex.from_product([frame["name"].unique(), frame["title"].unique()])
        frame = frame.set_index(["name", "title"]).reindex(index)
        frame = frame.fillna({"mean": 0, "below": 0, "above": 0, "label": "not measured", "text": "not measured"})
        how: dict[str, Any] = {"textposition": "outside", "textfont_size": 10, "cliponaxis": False}
        traces = [
            go.Bar(
                name=words(name),
                meta=[name],
                x=[*map(words, of_model.index.get_level_values(1))],
                y=of_model["mean"],
                text=of_model["label"],
                error_y={"array": of_model["above"], "arrayminus": of_model["below"], "color": NEUTRAL, "width": 0},
                marker={"color": pens[name]["color"], "pattern_shape": PATTERNS[pens[name]["dash"]]},
                customdata=of_model["text"],
                hovertemplate="%{x}<br>%{customdata}",
                **how,
            )
            for name, of_model in frame.groupby(level=0, sort=False)
        ]
        xaxis, yaxis = {"automargin": True, "type": "category"}, {"title": measure.unit, "rangemode": "tozero"}
        data = dict.fromkeys(each.data for each in able)
        note = f"Measured on different images: {', '.join(data)}." if len(data) > 1 else ""
        figure = plot(traces, 380, barmode="group", bargap=0.25, xaxis=xaxis, yaxis=yaxis)
        made.append({"key": key, "text": measure.axis, "note": note, **figure})
    return made


def _sizes(group: Sequence[Along], pens: Pens) -> dict[str, Any]:
    """Plot accuracy, or agreement, by size, with a thin line for the top 5."""
    traces = []
    for k, width, more in ((1, 2.0, ""), (5, 1.0, ", top 5")):
        for each in group:
            if (values := by_size(each, each.rate).get(k)) is not None:
                positions, ends = each["positions"], percent(values)
                how = {"mode": "lines+markers", "marker": {"size": 4}, "hovertemplate": "%{y:.1f} %"}
                curve = line(each.name, positions, ends[:, 0], pens, width, **how)
                traces += [band(each.name, positions, ends, pens), curve.update(name=curve.name + more)]
    rate = " or ".join(dict.fromkeys(each.rate for each in group))
    xaxis, yaxis = {"title": words(group[0].label), "showspikes": True}, {"title": f"{rate} (%)", "range": [-2, 102]}
    figure = plot(traces, 380, hovermode="x unified", xaxis=xaxis, yaxis=yaxis)
    return {"title": group[0].title, "rate": rate.capitalize(), **figure}


def _protocol(group: Sequence[Along], pens: Pens) -> dict[str, Any]:
    films, left_out = filmed_images(group, pens)
    lengths = dict.fromkeys(str(len(each["positions"])) for each in group)
    partly = [each.name for each in group if each.metric("complete", 1) != 1]
    notes = [
        group[0].label,
        str(group[0]["options"]),
        f"paths of {', '.join(lengths)} positions" if len(lengths) > 1 else "",
        f"measured on a part of the images: {', '.join(partly)}" if partly else "",
        f"the pictures of {left_out} more images are not on this page" if left_out else "",
    ]
    return {
        "title": group[0].title,
        "note": f"{'; '.join(filter(None, notes))}.",
        "correct": correct_class(group),
        "heat": [_heat(each) for each in group if each.moves],
        "depth": _depth([each for each in group if "layers" in each], pens),
        "films": films,
    }


def _heat(each: Along) -> dict[str, Any]:
    """Plot probabilities with one row per image, sorted by the sum of the row, the largest at the top."""
    probability, images = each["probability"], each.images
    order = np.argsort(-np.nansum(probability, axis=1), kind="stable")
    rows = order[thinned(len(order), min(MOST_ROWS, MOST_CELLS // probability.shape[1]))]
    shown = np.rint(100 * probability[rows])
    text = f"{number(images, 0)} image{'s' * (images != 1)}"
    if len(rows) < images:
        text = f"{number(len(rows), 0)} of {text}, evenly spread over the order"
    trace = go.Heatmap(
        name=words(each.name),
        meta=[each.name],
        x=each["positions"],
        y=[str(place) for place in each["places"][rows].tolist()],
        z=shown.astype(np.float32 if np.isnan(shown).any() else np.uint8),  # one byte each if all are known
        zmin=0,
        zmax=100,
        colorscale=colour_scale(PROBABILITY_MAP),
        showscale=False,
        hovertemplate="test image %{y}, at %{x}: %{z:.0f} %<extra></extra>",
    )
    xaxis = {"title": words(each.label), "showgrid": False}
    yaxis = {"type": "category", "autorange": "reversed", "visible": False}
    margin = {"l": 12, "r": 12, "t": 4, "b": 44}
    figure = plot([trace], 300, margin=margin, plot_bgcolor=MISSING_COLOUR, xaxis=xaxis, yaxis=yaxis)
    return {"name": each.name, "text": text, **figure}


def _depth(group: Sequence[Along], pens: Pens) -> dict[str, Any] | None:
    """Plot non-shiftability by layer if all models have the same layers, else by the fraction of convolutions passed.

    Values are numbers of steps if all paths have the same length, else fractions of the steps.
    """
    if not group:
        return None
    models = {each.name: by_depth(each) for each in group}
    alike = len({tuple(model.layers) for model in models.values()}) == 1
    counted = len({model.steps for model in models.values()}) == 1
    traces: list[Any] = []
    for name, model in models.items():
        scale, names = 1 if counted else 100 / model.steps, [*map(words, model.layers)]
        x: list[Any] = names if alike else (model.depths / max(1, *model.depths)).tolist()
        ends = scale * model.intervals
        images = scale * model.images[thinned(len(model.images), MOST_LINES)].astype(np.float32)
        joined = np.pad(images, ((0, 0), (0, 1)), constant_values=np.nan).ravel()
        thin = {"hoverinfo": "skip", "showlegend": False, "opacity": min(0.4, 10 / len(images))}
        marker = {"symbol": np.where(model.pools, "square", "circle").tolist(), "line_width": 0}
        marker["size"] = np.where(model.pools, 10, 6).tolist()
        how = {"mode": "lines+markers", "text": names, "hovertemplate": "%{text}: %{y:.2f}", "marker": marker}
        traces += [
            line(name, [*x, None] * len(images), joined, pens, 0.5, **thin).update(line_dash="solid"),
            band(name, x, ends, pens),
            line(name, x, ends[:, 0], pens, 1.5, **how),
        ]
    over = percents(model.tolerance for model in models.values())
    text = f"{'steps' if counted else 'share of the steps, in percent,'} at which<br>a sum changes by over {over}"
    yaxis = {"title": {"text": text, "font_size": 11}, "rangemode": "tozero"}
    xaxis = {"type": "category", "tickangle": -45} if alike else {"title": "share of the convolutions passed"}
    return plot(traces, 400, margin_b=72, xaxis=xaxis, yaxis=yaxis)
