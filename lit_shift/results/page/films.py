"""Frames of an image along a path, with the models' answers and feature maps. Needs no torch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lit_shift.results.along import Along, correct_class, films
from lit_shift.results.page.pictures import filmstrip, picture
from lit_shift.results.page.plots import Pens, filmed, line, percent, plot, words
from lit_shift.results.page.table import number
from lit_shift.results.path_figures import strongest

MOST_FILMED = 40  # images times models; at least one image is shown
MOST_MAPS = 16  # feature maps whose sums are shown
FRAME_SIDE, MAP_SIDE = 128, 32


def filmed_images(group: Sequence[Along], pens: Pens) -> tuple[list[dict[str, Any]], int]:
    """Return the films of images, in decreasing order of changes of the answers, and the number of images left out.

    Models share a film if they have seen the same frames along the same path.
    """
    seen = films(group)
    pictured = Counter(place for place, members in seen for _ in members)
    kept = {place for place, _ in pictured.most_common(max(1, MOST_FILMED // len(group)))}
    made = [_film(place, members, pens) for place, members in seen if place in kept]
    titles = Counter(film["title"] for film in made)
    for film in made:
        film["label"] = f"{film['title']} of {', '.join(film['has'])}" if titles[film["title"]] > 1 else film["title"]
    return sorted(made, key=lambda film: -film["change"]), len(pictured) - len(kept)


def _film(place: int, members: Sequence[Along], pens: Pens) -> dict[str, Any]:
    first = members[0]
    positions, at = first["positions"], first["frame_positions"]
    ends = np.concatenate([positions, at])
    gap = 0.96 * min(np.ptp(ends) / 6, *np.diff(at))
    frames = [picture(frame, FRAME_SIDE) for frame in first.shown("frames", place)]
    curves = {each.name: each.shown("curve", place) for each in members}
    # Points are joined only if they are a small step apart.
    how: dict[str, Any] = {"hovertemplate": "%{y:.1f} %", "mode": "lines" if first.ordered else "markers"}
    traces = [line(name, positions, percent(curve), pens, **how) for name, curve in curves.items()]
    figure = plot(
        traces,
        440,
        xaxis={"title": words(first.label), "range": [ends.min() - gap / 2, ends.max() + gap / 2], "showspikes": True},
        shapes=[{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "y domain"} for x in at.tolist()],
        **filmed(frames, at.tolist(), gap, correct_class([first])),
    )
    return figure | {
        "title": first.image(place),
        "change": float(np.nansum([np.abs(np.diff(curve)).sum() for curve in curves.values()])),
        "frames": frames,
        "positions": [f"{x:.4g}".replace("-", "\N{MINUS SIGN}") for x in at.tolist()],
        "sums": _sums(place, members, pens),
        "maps": [{"name": each.name, "layers": found} for each in members if (found := _maps(place, each))],
    }


def _sums(place: int, members: Sequence[Along], pens: Pens) -> list[dict[str, Any]]:
    """Plot, for each model, the sums of the most responsive feature maps. All plots share the range of their axis."""
    found = []
    for each in members:
        if "sums" in each:
            sums = each.shown("sums", place)
            channels = np.argsort(-sums.mean(0), kind="stable")[:MOST_MAPS].tolist()
            found.append((each, channels, _relative(sums[:, channels])))
    every = [np.abs(sums - 1).ravel() for *_, sums in found]
    reach = 1.1 * np.nanmax([*(each.tolerance for each, *_ in found), *np.concatenate([*every, np.zeros(1)])])
    made = []
    for each, channels, sums in found:
        most = each.tolerance
        traces = [
            line(each.name, each["positions"], values.astype(np.float32), pens, 1, opacity=0.7).update(
                line_dash="solid",
                showlegend=False,
                hovertemplate=f"map {channel}, at %{{x}}: %{{y:.2f}}<extra></extra>",
            )
            for channel, values in zip(channels, sums.T, strict=True)
        ]
        figure = plot(
            traces,
            240,
            margin={"l": 44, "r": 12, "t": 8, "b": 44},
            shapes=[{"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": 1 - most, "y1": 1 + most}],
            xaxis={"title": {"text": words(each.label), "font_size": 11}},
            yaxis={"title": {"text": "sum / its mean", "font_size": 11}, "range": [1 - reach, 1 + reach]},
        )
        made.append({"name": each.name, **figure})
    return made


def _maps(place: int, each: Along) -> list[dict[str, Any]]:
    """Return, for some layers, the most responsive map in each frame and its sums relative to their mean."""
    kept, made = each["shown"].tolist().index(place), []
    for layer, responses in strongest(each).items():
        maps = np.nan_to_num(responses[kept].astype(float), posinf=0, neginf=0)
        title = f"{layer} [{'x'.join(map(str, maps.shape[1:]))}]"
        sums = _relative(maps.sum((1, 2))).tolist()
        shown = [{"text": number(sum, 2), "off": abs(sum - 1) > each.tolerance} for sum in sums]
        made.append({"title": title, "strip": filmstrip(maps, MAP_SIDE), "sums": shown})
    return made


def _relative(sums: np.ndarray) -> np.ndarray:
    """Divide sums (S, ...) by their mean along the first axis; NaN where the mean is 0."""
    mean = sums.mean(0)
    return sums / np.where(mean == 0, np.nan, mean)
