"""The page's part on measurements along paths. Needs no torch.

Many images and long paths are thinned out evenly, so that the data of many models stay small compared to the script.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lit_shift.figures.style import MISSING_COLOUR, PROBABILITY_MAP
from lit_shift.measures import interval_in, measure_of
from lit_shift.results.page.films import films
from lit_shift.results.page.groups import Group, grouped, thinned
from lit_shift.results.page.plots import NEUTRAL, PATTERNS, Pens, band, colour_scale, line, percent, plot, words
from lit_shift.results.page.table import number
from lit_shift.results.path_gallery import by_answer, comparable, correct_class, layers, tolerance
from lit_shift.results.remarks import remarks
from lit_shift.runs.findings import Findings

MOST_ROWS, MOST_CELLS = 256, 24_000  # in a heat map
MOST_LINES = 64  # images whose non-shiftability is shown


def content(models: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Return the plots of measures and, for each protocol with its options, the plots along the path.

    ``titles`` has, for each model, the titles of the protocols under which it was measured.
    """
    groups = grouped(models)
    return {
        "titles": {
            m.name: [group.title for group in groups if any(each is m for each in group.models)] for m in models
        },
        "remarks": remarks(models),
        "measures": _bars(groups, pens),
        "sizes": [sizes for group in groups if (sizes := _sizes(group, pens))["has"]],
        "protocols": [_protocol(group, pens) for group in groups],
    }


def _bars(groups: Sequence[Group], pens: Pens) -> list[dict[str, Any]]:
    """Plot each measure as bars by protocol, with intervals; a missing value is labelled as such."""
    made = []
    measures = comparable([(model, group.protocol) for group in groups for model in group.models])
    for key in sorted(measures, key=lambda name: name.startswith(("accuracy", "agreement"))):  # last
        able = {
            group.title: {m.name: m for m in group.models if f"{group.protocol}/{key}" in m.metrics} for group in groups
        }
        among = [group for group in groups if able[group.title]]
        if not among:
            continue
        traces = [
            _bar(name, key, among, pens) for name in dict.fromkeys(name for each in able.values() for name in each)
        ]
        data = dict.fromkeys(model.config["choices"]["data"] for each in able.values() for model in each.values())
        yaxis = {"title": measure_of(key).unit, "rangemode": "tozero"}
        figure = plot(
            traces, 380, barmode="group", bargap=0.25, xaxis_automargin=True, xaxis_type="category", yaxis=yaxis
        )
        note = f"Measured on different images: {', '.join(data)}." if len(data) > 1 else ""
        made.append({"key": key, "text": measure_of(key).axis, "note": note, **figure})
    return made


def _bar(name: str, key: str, among: Sequence[Group], pens: Pens) -> go.Bar:
    found = {group.title: (np.full(3, np.nan), "not measured", "not measured") for group in among}
    for group in among:
        for model in group.models:
            if model.name == name and f"{group.protocol}/{key}" in model.metrics:
                mean, low, high = measure_of(key).factor * np.array(
                    interval_in(model.metrics, f"{group.protocol}/{key}")
                )
                images = number(model.metrics.get(f"{group.protocol}/n", len(group.of(model, "places"))), 0)
                text = f"{mean:.4g} ({low:.4g} to {high:.4g}), {images} images"
                found[group.title] = (np.array([mean, low, high]), f"{mean:.3g}", text)
    ends, labels, texts = zip(*found.values(), strict=True)
    mean, low, high = np.array(ends).T
    errors = {"array": np.nan_to_num(high - mean), "arrayminus": np.nan_to_num(mean - low), "color": NEUTRAL}
    return go.Bar(
        name=words(name),
        meta=[name],
        x=[words(title) for title in found],
        y=np.nan_to_num(mean),  # a missing value has a bar of no height and a label
        text=labels,
        textposition="outside",
        textfont_size=10,
        cliponaxis=False,
        error_y={"type": "data", "symmetric": False, "thickness": 1.5, "width": 0, **errors},
        marker={"color": pens[name]["color"], "pattern_shape": PATTERNS[pens[name]["dash"]]},
        customdata=texts,
        hovertemplate="%{x}<br>%{customdata}",
    )


def _rate(group: Group, model: Findings) -> str:
    return "agreement" if by_answer(model, group.protocol) else "accuracy"


def _sizes(group: Group, pens: Pens) -> dict[str, Any]:
    """Plot accuracy, or agreement, by size, with a thin line for the top 5."""
    traces = []
    for k, width, more in ((1, 2.0, ""), (5, 1.0, ", top 5")):
        for model in group.models:
            if (values := model.arrays.get(f"{group.protocol}/{_rate(group, model)}_top{k}")) is not None:
                steps = group.steps(model)
                positions, ends = group.of(model, "positions")[steps], percent(values[steps])
                how = {"mode": "lines+markers", "marker": {"size": 4}, "hovertemplate": "%{y:.1f} %"}
                curve = line(model.name, positions, ends[:, 0], pens, width, **how)
                traces += [band(model.name, positions, ends, pens), curve.update(name=curve.name + more)]
    rate = " or ".join(dict.fromkeys(_rate(group, model) for model in group.models))
    xaxis, yaxis = {"title": words(group.along), "showspikes": True}, {"title": f"{rate} (%)", "range": [-2, 102]}
    figure = plot(traces, 380, hovermode="x unified", xaxis=xaxis, yaxis=yaxis)
    return {"title": group.title, "rate": rate.capitalize(), **figure}


def _protocol(group: Group, pens: Pens) -> dict[str, Any]:
    models = group.models
    filmed, left_out = films(group, pens)
    lengths = dict.fromkeys(str(len(group.of(model, "positions"))) for model in models)
    partly = [model.name for model in models if model.metrics.get(f"{group.protocol}/complete", 1) != 1]
    notes = [
        group.along,
        str(group.of(models[0], "options")),
        f"paths of {', '.join(lengths)} positions" if len(lengths) > 1 else "",
        f"measured on a part of the images: {', '.join(partly)}" if partly else "",
        f"the pictures of {left_out} more images are not on this page" if left_out else "",
    ]
    return {
        "title": group.title,
        "note": f"{'; '.join(filter(None, notes))}.",
        "correct": correct_class(models, group.protocol),
        "heat": [_heat(group, model) for model in models if len(group.of(model, "positions")) > 1],
        "depth": _depth(group, pens),
        "films": filmed,
    }


def _heat(group: Group, model: Findings) -> dict[str, Any]:
    """Plot probabilities with one row per image, sorted by the sum of the row, the largest at the top."""
    probability, positions, steps = group.of(model, "probability"), group.of(model, "positions"), group.steps(model)
    order = np.argsort(-np.nansum(probability, axis=1), kind="stable")
    rows = order[thinned(len(order), min(MOST_ROWS, MOST_CELLS // len(steps)))]
    shown = np.rint(100 * probability[rows][:, steps])
    images = model.metrics.get(f"{group.protocol}/n", len(probability))
    text = f"{number(images, 0)} image{'s' * (images != 1)}"
    if len(rows) < images:
        text = f"{number(len(rows), 0)} of {text}, evenly spread over the order"
    if len(steps) < len(positions):
        text += f", {number(len(steps), 0)} of {number(len(positions), 0)} positions"
    trace = go.Heatmap(
        name=words(model.name),
        meta=[model.name],
        x=positions[steps],
        y=[str(place) for place in group.of(model, "places")[rows].tolist()],
        z=shown.astype(np.float32 if np.isnan(shown).any() else np.uint8),  # one byte each if all are known
        zmin=0,
        zmax=100,
        colorscale=colour_scale(PROBABILITY_MAP),
        showscale=False,
        hovertemplate="test image %{y}, at %{x}: %{z:.0f} %<extra></extra>",
    )
    xaxis = {"title": words(group.along), "showgrid": False}
    yaxis = {"type": "category", "autorange": "reversed", "visible": False}
    margin = {"l": 12, "r": 12, "t": 4, "b": 44}
    figure = plot([trace], 300, margin=margin, plot_bgcolor=MISSING_COLOUR, xaxis=xaxis, yaxis=yaxis)
    return {"name": model.name, "text": text, **figure}


def _depth(group: Group, pens: Pens) -> dict[str, Any] | None:
    """Plot non-shiftability by layer if all models have the same layers, else by the fraction of convolutions passed.

    Values are numbers of steps if all paths have the same length, else fractions of the steps.
    """
    models = [model for model in group.models if group.deep(model)]
    if not models:
        return None
    alike = len({tuple(group.of(model, "layers").tolist()) for model in models}) == 1
    counted = len({len(group.of(model, "positions")) for model in models}) == 1
    traces: list[Any] = []
    for model in models:
        found, scale = layers(model, group.protocol), 1 if counted else 100 / (len(group.of(model, "positions")) - 1)
        names, deepest = [words(layer.layer) for layer in found], max(1, *(layer.depth for layer in found))
        x: list[Any] = names if alike else [layer.depth / deepest for layer in found]
        ends = scale * np.array([layer.interval for layer in found])
        images = group.of(model, "nonshiftability_by_image")
        images = scale * images[thinned(len(images), MOST_LINES)].astype(np.float32)
        joined = np.pad(images, ((0, 0), (0, 1)), constant_values=np.nan).ravel()
        thin = {"hoverinfo": "skip", "showlegend": False, "opacity": min(0.4, 10 / len(images))}
        marker = {"symbol": ["square" if layer.pool else "circle" for layer in found], "line_width": 0}
        marker["size"] = [10 if layer.pool else 6 for layer in found]
        how = {"mode": "lines+markers", "text": names, "hovertemplate": "%{text}: %{y:.2f}", "marker": marker}
        traces += [
            line(model.name, [*x, None] * len(images), joined, pens, 0.5, **thin).update(line_dash="solid"),
            band(model.name, x, ends, pens),
            line(model.name, x, ends[:, 0], pens, 1.5, **how),
        ]
    over = " or ".join(f"{100 * share:g} %" for share in sorted({tolerance(model, group.protocol) for model in models}))
    text = f"{'steps' if counted else 'share of the steps, in percent,'} at which<br>a sum changes by over {over}"
    yaxis = {"title": {"text": text, "font_size": 11}, "rangemode": "tozero"}
    xaxis = {"type": "category", "tickangle": -45} if alike else {"title": "share of the convolutions passed"}
    return plot(traces, 400, margin_b=72, xaxis=xaxis, yaxis=yaxis)
