"""What the page shows of measurements along paths. Needs no torch.

Long paths and many images are thinned out evenly, so that a page of many models stays small beside its script.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from lit_shift.figures.style import MISSING_COLOUR, PROBABILITY_MAP
from lit_shift.measures import measure_of
from lit_shift.results.page.pictures import filmstrip, picture
from lit_shift.results.page.plots import (
    NEUTRAL,
    PATTERNS,
    band,
    colour_scale,
    filmed,
    line,
    percent,
    plot,
    thinned,
    words,
)
from lit_shift.results.page.table import number
from lit_shift.results.path_gallery import by_answer, comparable, correct_class, interval, layers, tolerance
from lit_shift.results.path_table import by_protocol
from lit_shift.results.remarks import remarks
from lit_shift.runs.findings import Findings, without_old

MOST_STEPS = 1024  # of a path
MOST_ROWS, MOST_CELLS = 256, 24_000  # of a heat map
MOST_FILMED = 40  # images whose frames and feature maps are shown, times models; but one image in any case
MOST_MAPS = 16  # of which the sums are shown
MOST_LINES = 64  # images of which non-shiftability is shown
FRAME_SIDE, MAP_SIDE = 128, 32

Pens = Mapping[str, dict[str, str]]


class Group(NamedTuple):
    """Models measured under a protocol with the same options: the protocol's name and the models."""

    id: str
    name: str
    title: str
    models: list[Findings]


def content(models: Sequence[Findings], pens: Pens) -> dict[str, Any]:
    """Plots of measures and, for each protocol with its options, of what happens along the path.

    ``titles`` has for each model those of the protocols under which it was measured.
    """
    groups = _groups(models)
    titles: dict[str, list[str]] = {}
    for group in groups:
        for model in group.models:
            titles.setdefault(model.name, []).append(group.title)
    return {
        "titles": titles,
        "remarks": remarks(models),
        "measures": _bars(groups, pens),
        "sizes": [
            _sizes(group, pens)
            for group in groups
            if any(_top(model, group.name, 1) is not None for model in group.models)
        ],
        "protocols": [_protocol(group, pens) for group in groups],
    }


def _groups(models: Sequence[Findings]) -> list[Group]:
    groups = []
    measured = by_protocol(models)
    options = {id: (name, str(model.arrays[f"{name}/options"])) for id, [(model, name), *_] in measured.items()}
    for id, members in measured.items():
        whole = []
        for model, name in members:
            with without_old():
                _ = [model.arrays[f"{name}/{array}"] for array in ("along", "places", "shown")]
                if f"{name}/layers" in model.arrays:
                    tolerance(model, name)
                whole.append(model)
        if whole:
            groups.append(Group(id, options[id][0], _title(id, options), whole))
    return groups


def _title(id: str, options: Mapping[str, tuple[str, str]]) -> str:
    """The protocol's name, and of its options those that tell it from others of that name."""
    name, _ = options[id]
    parts = {key: re.split(r", (?=\w+=)", text) for key, (of, text) in options.items() if of == name}
    own = [part for part in parts[id] if part and any(part not in others for others in parts.values())]
    return f"{name} ({', '.join(own)})" if own else name


def _bars(groups: Sequence[Group], pens: Pens) -> list[dict[str, Any]]:
    """For each measure a plot: bars by protocol with their intervals, and words where there is no value."""
    made = []
    measures = comparable([(model, group.name) for group in groups for model in group.models])
    for measure in sorted(measures, key=lambda name: name.startswith(("accuracy", "agreement"))):  # these last
        among = [g for g in groups if any(f"{g.name}/{measure}" in model.metrics for model in g.models)]
        names = dict.fromkeys(m.name for g in among for m in g.models if f"{g.name}/{measure}" in m.metrics)
        if not names:
            continue
        traces = [_bar(name, measure, among, pens[name]) for name in names]
        text = measure_of(measure).axis
        axes = {"xaxis": {"type": "category", "automargin": True}}
        axes["yaxis"] = {"title": {"text": text, "font": {"size": 11}}, "rangemode": "tozero"}
        data = {m.config["choices"]["data"]: None for g in among for m in g.models if m.name in names}
        note = f"Measured on different images: {', '.join(data)}." if len(data) > 1 else ""
        made.append(
            {"key": measure, "text": text, "note": note, **plot(traces, 380, barmode="group", bargap=0.25, **axes)}
        )
    return made


def _bar(name: str, measure: str, among: Sequence[Group], pen: dict[str, str]) -> go.Bar:
    found, notes, labels = [], [], []
    for group in among:
        (model, *_) = [model for model in group.models if model.name == name] or [None]
        known = model is not None and f"{group.name}/{measure}" in model.metrics
        key = f"{group.name}/{measure}"
        ends = np.multiply(measure_of(measure).factor, interval(model, key) if known else [np.nan] * 3)
        found.append(ends)
        labels.append(f"{ends[0]:.3g}" if known else "not measured")
        count = (
            number(model.metrics.get(f"{group.name}/n", len(model.arrays[f"{group.name}/places"])), 0) if known else ""
        )
        notes.append(f"{ends[0]:.4g} ({ends[1]:.4g} to {ends[2]:.4g}), {count} images" if known else "not measured")
    mean, low, high = np.array(found).T
    errors = {"array": np.nan_to_num(high - mean), "arrayminus": np.nan_to_num(mean - low), "color": NEUTRAL}
    return go.Bar(
        name=words(name),
        meta=[name],
        x=[words(group.title) for group in among],
        y=np.where(np.isnan(mean), 0, mean),  # without height, and the text says that it is no value
        text=labels,
        textposition="outside",
        textfont={"size": 10},
        cliponaxis=False,
        error_y={"type": "data", "symmetric": False, "thickness": 1.5, "width": 0, **errors},
        marker={"color": pen["color"], "pattern": {"shape": PATTERNS[pen["dash"]]}},
        customdata=notes,
        hovertemplate="%{x}<br>%{customdata}",
    )


def _top(model: Findings, protocol: str, k: int) -> Any:
    """Accuracy, or agreement, at each position, with its interval; None where it was not measured."""
    rate = "agreement" if by_answer(model, protocol) else "accuracy"
    return model.arrays.get(f"{protocol}/{rate}_top{k}")


def _sizes(group: Group, pens: Pens) -> dict[str, Any]:
    """Accuracy by size, thin for the top 5."""
    traces = []
    for k, width in ((1, 2.0), (5, 1.0)):
        for model in group.models:
            if (values := _top(model, group.name, k)) is None:
                continue
            positions = model.arrays[f"{group.name}/positions"]
            steps = thinned(len(positions), MOST_STEPS)
            ends, pen = percent(values[steps]), pens[model.name]
            name = f"{words(model.name)}{', top 5' if k == 5 else ''}"
            curve = line(model.name, positions[steps], ends[:, 0], pen, width, mode="lines+markers", marker={"size": 4})
            traces += [band(model.name, positions[steps], ends, pen), curve]
            curve.update(name=name, hovertemplate="%{y:.1f} %", opacity=1 if k == 1 else 0.75)
    rate = " or ".join(dict.fromkeys("agreement" if by_answer(m, group.name) else "accuracy" for m in group.models))
    axes = {"xaxis": {"title": {"text": _along(group)}, "showspikes": True}}
    axes["yaxis"] = {"title": {"text": f"{rate} (%)"}, "range": [-2, 102]}
    return {"title": group.title, "rate": rate.capitalize(), **plot(traces, 380, hovermode="x unified", **axes)}


def _along(group: Group) -> str:
    return words(str(group.models[0].arrays[f"{group.name}/along"]))


def _protocol(group: Group, pens: Pens) -> dict[str, Any]:
    name, models = group.name, group.models
    films, left_out = _films(group, pens)
    lengths = dict.fromkeys(len(model.arrays[f"{name}/positions"]) for model in models)
    partly = [model.name for model in models if model.metrics.get(f"{name}/complete", 1) != 1]
    notes = [
        str(models[0].arrays[f"{name}/along"]),
        str(models[0].arrays[f"{name}/options"]),
        f"paths of {', '.join(map(str, lengths))} positions" if len(lengths) > 1 else "",
        f"measured on a part of the images: {', '.join(partly)}" if partly else "",
        f"the pictures of {left_out} more images are not on this page" if left_out else "",
    ]
    return {
        "title": group.title,
        "note": f"{'; '.join(note for note in notes if note)}.",
        "correct": correct_class(models, name),
        "has": [model.name for model in models],
        "heat": [_heat(model, name) for model in models if len(model.arrays[f"{name}/positions"]) > 1],
        "depth": _depth(group, pens),
        "films": films,
    }


def _heat(model: Findings, protocol: str) -> dict[str, Any]:
    """A row for each image, sorted by their sum, the largest at the top."""
    probability, positions, places = (
        model.arrays[f"{protocol}/{key}"] for key in ("probability", "positions", "places")
    )
    steps = thinned(len(positions), MOST_STEPS)
    order = np.argsort(-np.nansum(probability, axis=1), kind="stable")
    rows = order[thinned(len(order), min(MOST_ROWS, MOST_CELLS // len(steps)))]
    shown = np.rint(100 * probability[rows][:, steps])
    images = model.metrics.get(f"{protocol}/n", len(probability))
    text = f"{number(images, 0)} image{'s' * (images != 1)}"
    if len(rows) < images:
        text = f"{number(len(rows), 0)} of {text}, evenly spread over the order"
    if len(steps) < len(positions):
        text += f", {number(len(steps), 0)} of {number(len(positions), 0)} positions"
    trace = go.Heatmap(
        name=words(model.name),
        meta=[model.name],
        x=positions[steps],
        y=[str(place) for place in places[rows].tolist()],
        z=shown.astype(np.float32 if np.isnan(shown).any() else np.uint8),  # a byte each, where all are known
        zmin=0,
        zmax=100,
        colorscale=colour_scale(PROBABILITY_MAP),
        showscale=False,
        hovertemplate="test image %{y}, at %{x}: %{z:.0f} %<extra></extra>",
    )
    axes = {"xaxis": {"title": {"text": words(str(model.arrays[f"{protocol}/along"]))}, "showgrid": False}}
    axes["yaxis"] = {"type": "category", "autorange": "reversed", "visible": False}
    made = plot([trace], 300, margin={"l": 12, "r": 12, "t": 4, "b": 44}, plot_bgcolor=MISSING_COLOUR, **axes)
    return {"name": model.name, "text": text, **made}


def _depth(group: Group, pens: Pens) -> dict[str, Any] | None:
    """Non-shiftability by depth: by layer where all have the same, else by the share of convolutions passed.

    Steps are counted where all paths are as long, else it is their share.
    """
    looked_into = {m.name: (m, layers(m, group.name)) for m in group.models if f"{group.name}/layers" in m.arrays}
    if not looked_into:
        return None
    alike = len({tuple(layer.layer for layer in found) for _, found in looked_into.values()}) == 1
    steps = {name: len(m.arrays[f"{group.name}/positions"]) - 1 for name, (m, _) in looked_into.items()}
    counted = len(set(steps.values())) == 1
    traces: list[Any] = []
    for name, (model, found) in looked_into.items():
        scale = 1 if counted else 100 / steps[name]
        deepest = max(1, *(layer.depth for layer in found))
        x: list[Any] = [words(layer.layer) if alike else layer.depth / deepest for layer in found]
        ends = scale * np.array([layer.interval for layer in found])
        images = model.arrays[f"{group.name}/nonshiftability_by_image"]
        images = scale * images[thinned(len(images), MOST_LINES)].astype(np.float32)
        joined = np.pad(images, ((0, 0), (0, 1)), constant_values=np.nan).ravel()
        pen = pens[name] | {"dash": "solid"}
        thin = line(name, [*x, None] * len(images), joined, pen, 0.5, hoverinfo="skip", showlegend=False)
        mean = line(
            name, x, ends[:, 0], pens[name], 1.5, mode="lines+markers", text=[words(layer.layer) for layer in found]
        )
        mean.update(
            hovertemplate="%{text}: %{y:.2f}",
            marker={"symbol": ["square" if layer.pool else "circle" for layer in found]}
            | {"size": [10 if layer.pool else 6 for layer in found], "line": {"width": 0}},
        )
        traces += [thin.update(opacity=min(0.4, 10 / len(images))), band(name, x, ends, pens[name]), mean]
    over = " or ".join(
        f"{100 * each:g} %" for each in sorted({tolerance(m, group.name) for m, _ in looked_into.values()})
    )
    text = f"{'steps' if counted else 'share of the steps, in percent,'} at which<br>a sum changes by over {over}"
    axes: dict[str, Any] = {"yaxis": {"title": {"text": text, "font": {"size": 11}}, "rangemode": "tozero"}}
    category, share = {"type": "category", "tickangle": -45}, {"title": {"text": "share of the convolutions passed"}}
    return plot(traces, 400, margin={"l": 56, "r": 12, "t": 12, "b": 72}, xaxis=category if alike else share, **axes)


def _films(group: Group, pens: Pens) -> tuple[list[dict[str, Any]], int]:
    """Each shown image with its frames, those first that models answer most unsteadily, and how many are left out.

    Models share a film where they saw the same frames along the same path.
    """
    name = group.name
    pictured = Counter(place for model in group.models for place in _pictured(model, name))
    shown = {place for place, _ in pictured.most_common(max(1, MOST_FILMED // len(group.models)))}
    members: dict[tuple[Any, ...], list[tuple[Findings, int]]] = {}
    for model in group.models:
        for at, place in enumerate(_pictured(model, name)):
            if place in shown:
                frames, positions = (model.arrays[f"{name}/{array}"] for array in ("frames", "positions"))
                key = (place, *positions.tolist(), frames.shape[1:], frames[at].tobytes())
                members.setdefault(key, []).append((model, at))
    films = [_film(place, group, of, pens) for (place, *_), of in members.items()]
    for film in films:
        same = sum(film["title"] == other["title"] for other in films) > 1
        film["label"] = f"{film['title']} of {', '.join(film['has'])}" if same else film["title"]
    return sorted(films, key=lambda film: -film["unsteadiness"]), len(pictured) - len(shown)


def _pictured(model: Findings, protocol: str) -> list[int]:
    """The images that are shown moving; on a path of one frame nothing moves."""
    moving = len(model.arrays[f"{protocol}/positions"]) > 1
    return model.arrays[f"{protocol}/shown"].tolist() if moving and f"{protocol}/frames" in model.arrays else []


def _film(place: int, group: Group, members: Sequence[tuple[Findings, int]], pens: Pens) -> dict[str, Any]:
    name, (first, kept) = group.name, members[0]
    positions, at = (first.arrays[f"{name}/{array}"] for array in ("positions", "frame_positions"))
    steps = thinned(len(positions), MOST_STEPS)
    ends = np.concatenate([positions, at])
    gap = 0.96 * min(np.ptp(ends) / 6, *np.diff(at))
    frames = [picture(frame, FRAME_SIDE) for frame in first.arrays[f"{name}/frames"][kept]]
    traces = []
    for model, n in members:
        mode = "lines" if f"{name}/mad" in model.metrics else "markers"  # neighbours that are no small step apart
        curve = percent(model.arrays[f"{name}/curve"][n][steps])
        traces.append(line(model.name, positions[steps], curve, pens[model.name], mode=mode))
        traces[-1].update(hovertemplate="%{y:.1f} %")
    shapes = [{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "y domain", "layer": "below"} for x in at.tolist()]
    axis = {"title": {"text": _along(group)}, "range": [ends.min() - gap / 2, ends.max() + gap / 2], "showspikes": True}
    unsteady = [np.abs(np.diff(model.arrays[f"{name}/curve"][n])).sum() for model, n in members]
    layout = filmed(frames, at.tolist(), gap, correct_class([first], name))
    return {
        "title": f"test image {place}",
        "unsteadiness": float(np.nansum(unsteady)),
        "frames": frames,
        "positions": [_written(x) for x in at.tolist()],
        "sums": _sums(members, name, pens),
        "maps": [{"name": model.name, "layers": found} for model, n in members if (found := _maps(model, name, n))],
        **plot(traces, 440, xaxis=axis, shapes=shapes, **layout),
    }


def _written(position: float) -> str:
    """A position in words."""
    return f"{position:.3f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")


def _strongest(sums: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The feature maps of which the sums (S, C) are largest, and these relative to their mean along the path."""
    chosen = np.argsort(-sums.mean(0), kind="stable")[:MOST_MAPS]
    return chosen.tolist(), _relative(sums[:, chosen])


def _sums(members: Sequence[tuple[Findings, int]], protocol: str, pens: Pens) -> list[dict[str, Any]]:
    """For each model the sums of the feature maps that respond most, all on the same axis."""
    able = [(model, kept) for model, kept in members if f"{protocol}/sums" in model.arrays]
    found = [(model, *_strongest(model.arrays[f"{protocol}/sums"][kept])) for model, kept in able]
    share = max((tolerance(model, protocol) for model, _ in able), default=0)
    reach = np.nan_to_num([np.nanmax(np.abs(sums - 1), initial=0, where=~np.isnan(sums)) for *_, sums in found])
    top = 1.1 * max(share, *reach) if found else 0
    made = []
    for model, channels, sums in found:
        positions, pen = model.arrays[f"{protocol}/positions"], pens[model.name] | {"dash": "solid"}
        steps = thinned(len(positions), MOST_STEPS)
        traces = [
            line(model.name, positions[steps], sums[steps, i].astype(np.float32), pen, 1, opacity=0.7).update(
                hovertemplate=f"map {channel}, at %{{x}}: %{{y:.2f}}<extra></extra>", showlegend=False
            )
            for i, channel in enumerate(channels)
        ]
        within = {"y0": 1 - tolerance(model, protocol), "y1": 1 + tolerance(model, protocol)}
        along = words(str(model.arrays[f"{protocol}/along"]))
        axes = {"xaxis": {"title": {"text": along, "font": {"size": 11}}}}
        axes["yaxis"] = {"title": {"text": "sum / its mean", "font": {"size": 11}}, "range": [1 - top, 1 + top]}
        shapes = [{"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "layer": "below", **within}]
        margin = {"l": 44, "r": 12, "t": 8, "b": 44}
        made.append({"name": model.name, **plot(traces, 240, margin=margin, shapes=shapes, **axes)})
    return made


def _maps(model: Findings, protocol: str, kept: int) -> list[dict[str, Any]]:
    """In some layers the map that responds most, frame by frame, and its sums relative to their mean."""
    prefix, made = f"{protocol}/maps/", []
    for key in [key for key in model.arrays if key.startswith(prefix)]:
        maps = np.nan_to_num(model.arrays[key][kept].astype(float), posinf=0, neginf=0)
        relative = _relative(maps.sum((1, 2)))
        made.append(
            {
                "title": f"{key.removeprefix(prefix)} [{'x'.join(map(str, maps.shape[1:]))}]",
                "strip": filmstrip(maps, MAP_SIDE),
                "sums": [
                    {"text": number(each, 2), "off": abs(each - 1) > tolerance(model, protocol)}
                    for each in relative.tolist()
                ],
            }
        )
    return made


def _relative(sums: np.ndarray) -> np.ndarray:
    """Relative to their mean along the first axis, NaN where that is 0."""
    mean = sums.mean(0)
    return sums / np.where(mean == 0, np.nan, mean)
