"""Frames of an image along a path, with the models' answers and feature maps. Needs no torch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lit_shift.results.page.groups import Group
from lit_shift.results.page.pictures import filmstrip, picture
from lit_shift.results.page.plots import Pens, filmed, line, percent, plot, words
from lit_shift.results.page.table import number
from lit_shift.results.path_gallery import correct_class, tolerance
from lit_shift.runs.findings import Findings

MOST_FILMED = 40  # images times models; at least one image is shown
MOST_MAPS = 16  # feature maps whose sums are shown
FRAME_SIDE, MAP_SIDE = 128, 32


def films(group: Group, pens: Pens) -> tuple[list[dict[str, Any]], int]:
    """Return the films of images, in decreasing order of changes of the answers, and the number of images left out.

    Models share a film if they have seen the same frames along the same path.
    """
    pictured = Counter(place for model in group.models for place in _pictured(group, model))
    shown = {place for place, _ in pictured.most_common(max(1, MOST_FILMED // len(group.models)))}
    members: dict[tuple[Any, ...], list[tuple[Findings, int]]] = {}
    for model in group.models:
        for at, place in enumerate(_pictured(group, model)):
            if place in shown:
                frames, positions = group.of(model, "frames"), group.of(model, "positions").tolist()
                members.setdefault((place, *positions, frames.shape, frames[at].tobytes()), []).append((model, at))
    made = [_film(place, group, of, pens) for (place, *_), of in members.items()]
    for film in made:
        same = sum(film["title"] == other["title"] for other in made) > 1
        film["label"] = f"{film['title']} of {', '.join(film['has'])}" if same else film["title"]
    return sorted(made, key=lambda film: -film["change"]), len(pictured) - len(shown)


def _pictured(group: Group, model: Findings) -> list[int]:
    """Indices of the images with a film; a path of a single frame has none."""
    moving = len(group.of(model, "positions")) > 1 and f"{group.protocol}/frames" in model.arrays
    return group.of(model, "shown").tolist() if moving else []


def _film(place: int, group: Group, members: Sequence[tuple[Findings, int]], pens: Pens) -> dict[str, Any]:
    first, kept = members[0]
    positions, at = group.of(first, "positions"), group.of(first, "frame_positions")
    steps, ends = group.steps(first), np.concatenate([positions, at])
    gap = 0.96 * min(np.ptp(ends) / 6, *np.diff(at))
    frames = [picture(frame, FRAME_SIDE) for frame in group.of(first, "frames")[kept]]
    curves = {model.name: group.of(model, "curve")[n] for model, n in members}
    # Points are joined only if they are a small step apart.
    how: dict[str, Any] = {
        "hovertemplate": "%{y:.1f} %",
        "mode": "lines" if f"{group.protocol}/mad" in first.metrics else "markers",
    }
    traces = [line(name, positions[steps], percent(curve[steps]), pens, **how) for name, curve in curves.items()]
    shapes = [{"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "y domain"} for x in at.tolist()]
    xaxis = {"title": words(group.along), "range": [ends.min() - gap / 2, ends.max() + gap / 2], "showspikes": True}
    layout = filmed(frames, at.tolist(), gap, correct_class([first], group.protocol))
    return {
        "title": f"test image {place}",
        "change": float(np.nansum([np.abs(np.diff(curve)).sum() for curve in curves.values()])),
        "frames": frames,
        "positions": [f"{x:.4g}".replace("-", "\N{MINUS SIGN}") for x in at.tolist()],
        "sums": _sums(group, members, pens),
        "maps": [{"name": model.name, "layers": found} for model, n in members if (found := _maps(group, model, n))],
        **plot(
            traces, 440, xaxis=xaxis, shapes=[{"type": "line", "layer": "below", **shape} for shape in shapes], **layout
        ),
    }


def _sums(group: Group, members: Sequence[tuple[Findings, int]], pens: Pens) -> list[dict[str, Any]]:
    """Plot, for each model, the sums of the most responsive feature maps. All plots share the range of their axis."""
    found = {}
    for model, kept in members:
        if f"{group.protocol}/sums" in model.arrays:
            sums = group.of(model, "sums")[kept]
            strongest = np.argsort(-sums.mean(0), kind="stable")[:MOST_MAPS]
            found[model.name] = model, strongest.tolist(), _relative(sums[:, strongest])
    every = np.concatenate([sums.ravel() for *_, sums in found.values()] or [np.ones(1)])
    reach = 1.1 * max([*(tolerance(m, group.protocol) for m, *_ in found.values()), np.nanmax([0, *np.abs(every - 1)])])
    made = []
    for name, (model, channels, sums) in found.items():
        positions, steps, most = group.of(model, "positions"), group.steps(model), tolerance(model, group.protocol)
        traces = [
            line(name, positions[steps], each[steps].astype(np.float32), pens, 1, opacity=0.7, showlegend=False).update(
                line_dash="solid", hovertemplate=f"map {channel}, at %{{x}}: %{{y:.2f}}<extra></extra>"
            )
            for channel, each in zip(channels, sums.T, strict=True)
        ]
        within = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": 1 - most, "y1": 1 + most, "layer": "below"}
        xaxis = {"title": {"text": words(group.along), "font_size": 11}}
        yaxis = {"title": {"text": "sum / its mean", "font_size": 11}, "range": [1 - reach, 1 + reach]}
        margin = {"l": 44, "r": 12, "t": 8, "b": 44}
        made.append({"name": name, **plot(traces, 240, margin=margin, shapes=[within], xaxis=xaxis, yaxis=yaxis)})
    return made


def _maps(group: Group, model: Findings, kept: int) -> list[dict[str, Any]]:
    """Return, for some layers, the most responsive map in each frame and its sums relative to their mean."""
    prefix, made = f"{group.protocol}/maps/", []
    for key in [key for key in model.arrays if key.startswith(prefix)]:
        maps = np.nan_to_num(model.arrays[key][kept].astype(float), posinf=0, neginf=0)
        sums, most = _relative(maps.sum((1, 2))).tolist(), tolerance(model, group.protocol)
        title = f"{key.removeprefix(prefix)} [{'x'.join(map(str, maps.shape[1:]))}]"
        shown = [{"text": number(each, 2), "off": abs(each - 1) > most} for each in sums]
        made.append({"title": title, "strip": filmstrip(maps, MAP_SIDE), "sums": shown})
    return made


def _relative(sums: np.ndarray) -> np.ndarray:
    """Divide sums (S, ...) by their mean along the first axis; NaN where the mean is 0."""
    mean = sums.mean(0)
    return sums / np.where(mean == 0, np.nan, mean)
