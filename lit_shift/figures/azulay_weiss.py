"""The figures of Azulay & Weiss's paper. Rates are in [0, 1], and their axes show percent."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from lit_shift.figures.style import (
    MISSING_COLOUR,
    PROBABILITY_MAP,
    Array,
    dot,
    filmstrip,
    legend_below,
    probability_curves,
    styled,
)
from lit_shift.measures import along_paths

MOST_TICKS = 40


class Interval(NamedTuple):
    """Mean over images, and the lower and upper end of its 95% interval. NaN if unknown."""

    mean: float
    low: float
    high: float


class Probabilities(NamedTuple):
    """A model in :func:`correct_probability`.

    ``positions`` (S,), equally spaced; ``probability`` (N, S) of the correct class at these, in [0, 1], NaN if missing;
    ``along``, the label of the positions.
    """

    positions: Array
    probability: Array
    along: str


def correct_probability(models: Mapping[str, Probabilities], of: str = "correct class") -> Figure:
    """Probability of the correct class along a path: one panel per model, one row per image.

    Each panel has the positions of its model. Rows are sorted by their sum, separately for each model, the largest at
    the top. Missing values are grey. ``of`` names the substitute for the correct class if there are no labels.

    Source: Azulay & Weiss, Fig. 2A.
    """
    columns = min(4, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.8, 3.2 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(models) :]:
        ax.set_axis_off()
    for ax, (name, (positions, probability, along)) in zip(axes.flat, models.items(), strict=False):
        half = (positions[-1] - positions[0]) / (2 * max(1, len(positions) - 1)) or 0.5
        order = np.argsort(-np.nansum(probability, axis=1), kind="stable")
        image = ax.imshow(
            probability[order],
            cmap=PROBABILITY_MAP,
            vmin=0,
            vmax=1,
            extent=(positions[0] - half, positions[-1] + half, len(order), 0),
            aspect="auto",
            interpolation="nearest" if len(order) <= 200 else "auto",
            interpolation_stage="data",  # average rows that share a pixel before colouring them
        )
        ax.set_facecolor(MISSING_COLOUR)
        ax.set(yticks=[], ylabel=f"{len(order)} image{'s' * (len(order) > 1)}")
        ax.set_title(name, fontsize=9)
        ax.set_xlabel(along, fontsize=8)
        ax.tick_params(labelsize=7)
    figure.colorbar(image, ax=axes, aspect=25 * rows, label=f"P({of})")
    return figure


def jaggedness(models: Mapping[str, Mapping[str, Mapping[str, Interval]]], of: str = "correct class") -> Figure:
    """Amount of change of the output along paths: one panel per measure, bars with intervals.

    Args:
        models: for each model and protocol, measures of :func:`lit_shift.measures.along_paths` by name.
        of: what stands for the correct class.

    Source: Azulay & Weiss, Fig. 2B and 7-9.
    """
    protocols = list(dict.fromkeys(protocol for model in models.values() for protocol in model))
    measured = {measure for model in models.values() for found in model.values() for measure in found}
    measures = [each for of_top in along_paths(measured).values() for each in of_top if each.name in measured]
    width = max(6.4, 0.16 * len(models) * len(protocols) + 1)
    figure = Figure(figsize=(width, 1.7 * len(measures) + 0.3), layout="constrained")
    axes = figure.subplots(len(measures), 1, squeeze=False, sharex=True)[:, 0]
    thickness = 0.8 / len(models)
    unknown = Interval(np.nan, np.nan, np.nan)
    for ax, measure in zip(axes, measures, strict=True):
        for number, (name, model, style) in enumerate(styled(models)):
            places = np.arange(len(protocols)) + (number - (len(models) - 1) / 2) * thickness
            intervals = np.array([model.get(protocol, {}).get(measure.name, unknown) for protocol in protocols])
            mean, low, high = intervals.T
            ax.bar(places, mean, thickness, color=style["color"], edgecolor="white", linewidth=0.5, label=name)
            ax.vlines(places, low, high, color="0.2", linewidth=1)
            for place, value, end in zip(places, mean, np.fmax(mean, high), strict=True):
                text = "not measured" if np.isnan(value) else measure.written(value, decimals=1)
                upright = np.isnan(value) or len(models) * len(protocols) > 8
                ax.annotate(
                    text,
                    (place, np.nan_to_num(end)),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=6,
                    rotation=90 if upright else 0,
                )
        ax.margins(y=0.25)
        ax.set_title(measure.label.replace("correct class", of), fontsize=9)
        ax.tick_params(labelsize=8)
        ax.set_ylim(0, None if ax.dataLim.y1 > 0 else 1)
        if measure.factor == 100:
            ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].set_xticks(np.arange(len(protocols)), protocols, fontsize=9)
    legend_below(figure, axes[0], columns=int(width // 2.5))
    return figure


def feature_maps(
    maps: Mapping[str, Array], frames: Array, positions: Array | Sequence[float], along: str, tolerance: float
) -> Figure:
    """Frames of a path, and below each the feature maps that it produces, one row per layer.

    Each row has its own scale, from 0 to its largest value. To its right is the map's sum at each frame, relative to
    its mean over the frames. While it stays within the shaded band, it does not depart from that mean.

    Args:
        maps: for each layer, one feature map at the T frames, (T, h, w).
        frames: (T, 3, H, W) uint8.
        positions: of the T frames.
        along: label of the positions.
        tolerance: fraction of its mean by which a sum must differ from it to depart.

    Source: Azulay & Weiss, Fig. 3.
    """
    figure = Figure(figsize=(1.2 * len(frames) + 2.6, 1.3 * (len(maps) + 1) + 0.3), layout="constrained")
    axes = figure.subplots(len(maps) + 1, len(frames) + 1, squeeze=False, width_ratios=[1] * len(frames) + [1.6])
    pictures = {"input": frames.transpose(0, 2, 3, 1), **maps}
    for row, (name, shown) in zip(axes, pictures.items(), strict=True):
        for ax, picture in zip(row[:-1], shown, strict=True):
            ax.imshow(picture, cmap=PROBABILITY_MAP, vmin=0, vmax=shown.max() if shown.max() > 0 else 1)
            ax.set(xticks=[], yticks=[])
        height, width = shown.shape[1:3]
        row[0].set_ylabel(f"{name}\n[{height}x{width}]", fontsize=8)
    for ax, position in zip(axes[0], positions, strict=False):
        ax.set_title(f"{position:g}", fontsize=8)
    axes[0, -1].set_axis_off()
    curves = axes[1:, -1]
    for ax in curves[1:]:
        ax.sharex(curves[0])
        ax.sharey(curves[0])
    for ax, shown in zip(curves, maps.values(), strict=True):
        _relative_sums(ax, positions, shown.sum((1, 2), dtype=float)[:, None], tolerance, marker="o", markersize=3)
        ax.tick_params(labelsize=7)
    curves[0].set_title("sum / its mean", fontsize=8)
    figure.suptitle(along, fontsize=9)
    return figure


def _relative_sums(ax: Axes, positions: Array | Sequence[float], sums: Array, tolerance: float, **style: Any) -> None:
    """Draw each column of sums (S, C) relative to its mean, unless that is 0, and shade the band of no departure."""
    mean = sums.mean(0)
    ax.axhspan(1 - tolerance, 1 + tolerance, color="0.9", zorder=0)
    ax.plot(positions, sums / np.where(mean == 0, np.nan, mean), **style)


class LayerNonShiftability(NamedTuple):
    """A layer in :func:`nonshiftability`.

    ``depth``, the number of convolutions up to there; ``pool``, true for a pool, false for a convolution;
    ``interval``, the number of steps at which a feature map's sum changes: mean over images and ends.
    """

    layer: str
    depth: int
    pool: bool
    interval: Interval


class NonShiftabilityByDepth(NamedTuple):
    """A model in :func:`nonshiftability`.

    ``layers`` (L) in the network's order; ``steps``, the number of steps of the path; ``tolerance``, the fraction of
    its mean along the path by which a map's sum must change to count; ``images`` (N, L), the number of such steps for
    each image, NaN if no map responds.
    """

    layers: Sequence[LayerNonShiftability]
    steps: int
    tolerance: float
    images: Array


def nonshiftability(models: Mapping[str, NonShiftabilityByDepth]) -> Figure:
    """Non-shiftability by depth: the mean over images with its interval, and a thin line for each image.

    Pools are squares. Networks with the same layers are drawn layer by layer. Others are drawn by the number of
    convolutions passed, or by its fraction if they have different numbers of layers. The vertical axis counts steps, or
    shows their fraction if the paths have different lengths.

    Source: Azulay & Weiss, section 3 and Fig. 10.
    """
    first, *others = [[layer.layer for layer in model.layers] for model in models.values()]
    by_layer = len(first) <= MOST_TICKS and all(names == first for names in others)
    by_share = any(len(names) != len(first) for names in others)
    counted = len({model.steps for model in models.values()}) == 1
    figure = Figure(figsize=(max(6.4, 0.25 * len(first)) if by_layer else 6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, (layers, steps, _, images), style in styled(models):
        scale = 1 if counted else 1 / steps
        depths = np.array([layer.depth for layer in layers])
        places = np.arange(len(layers)) if by_layer else depths / depths.max() if by_share else depths
        intervals = np.array([layer.interval for layer in layers]) * scale
        ax.plot(places, images.T * scale, **style, linewidth=0.4, alpha=min(0.4, 30 / len(images)), zorder=1)
        _interval_line(ax, places, intervals, label=name, **style)
        pools = np.array([layer.pool for layer in layers])
        for chosen, marker, size in ((~pools, "o", 3.5), (pools, "s", 6)):
            ax.plot(places[chosen], intervals[chosen, 0], marker, markersize=size, color=style["color"])
    for kind, marker, pool in (("convolution", "o", False), ("pool", "s", True)):
        if any(layer.pool == pool for model in models.values() for layer in model.layers):
            ax.plot([], [], marker, color="0.4", label=kind)
    if by_layer:
        ax.set_xticks(np.arange(len(first)), first, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    else:
        ax.set_xlabel("share of the convolutions passed" if by_share else "convolutions passed")
    over = " or ".join(f"{100 * tolerance:g}%" for tolerance in sorted({model.tolerance for model in models.values()}))
    ax.set_ylabel(f"{'' if counted else 'share of the '}steps at which\na sum changes by over {over}")
    ax.set_ylim(bottom=0)
    if not counted:
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    legend_below(figure, ax, columns=2)
    return figure


def _interval_line(ax: Axes, places: Array, intervals: Array, **style: Any) -> None:
    """Draw a line and the band of its intervals: (S, 3), mean, low and high."""
    mean, low, high = intervals.T
    ax.plot(places, mean, **style)
    ax.fill_between(places, low, high, color=style["color"], alpha=0.15, linewidth=0)
    if len(places) == 1:  # a band would be invisible
        ax.vlines(places, low, high, color=style["color"])


class SumCurves(NamedTuple):
    """A model's path in :func:`sums`.

    ``positions`` (S,); ``sums`` (S, C) of each of the C feature maps; ``along``, the label of the positions. A sum
    departs from its mean if it differs by more than the fraction ``tolerance`` of it.
    """

    positions: Array
    sums: Array
    along: str
    tolerance: float


def sums(models: Mapping[str, Mapping[str, SumCurves]], most: int = 16) -> Figure:
    """Sum of each feature map along a path, relative to its mean: one row per model, one column per path.

    Each panel has the positions of its model. While a sum stays within the shaded band, it does not depart from its
    mean.

    Args:
        models: for each model, curves by the name of the path.
        most: number of maps to draw, those with the largest mean.

    Source: Azulay & Weiss, Fig. 4 and 11-13.
    """
    paths = list(dict.fromkeys(path for model in models.values() for path in model))
    figure = Figure(figsize=(3.6 * len(paths) + 0.4, 2 * len(models) + 0.3), layout="constrained")
    axes = figure.subplots(len(models), len(paths), squeeze=False, sharey="col")
    for row, (name, model) in zip(axes, models.items(), strict=True):
        for ax, path in zip(row, paths, strict=True):
            if path not in model:
                ax.set_axis_off()
                continue
            positions, summed, along, tolerance = model[path]
            strongest = np.argsort(-summed.mean(0), kind="stable")[:most]
            _relative_sums(ax, positions, summed[:, strongest], tolerance, linewidth=0.8, marker=dot(positions))
            ax.set_title(f"{name}: {path}", fontsize=9)
            ax.set_xlabel(along, fontsize=8)
            ax.tick_params(labelsize=7)
    figure.supylabel("sum of a feature map / its mean", fontsize=9)
    return figure


class SizeAccuracy(NamedTuple):
    """A model in :func:`accuracy_by_size`.

    ``sizes`` (S,) in pixels; ``top1`` (S, 3), the mean over images and both ends of its interval; ``top5`` likewise.
    """

    sizes: Array
    top1: Array
    top5: Array | None = None


def accuracy_by_size(models: Mapping[str, SizeAccuracy], rate: str = "accuracy") -> Figure:
    """Accuracy, or another rate, by the size of resized and placed images: top 1, and top 5 dashed.

    Source: Azulay & Weiss, Fig. 6.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, (sizes, top1, top5), style in styled(models):
        _interval_line(ax, sizes, top1, label=name, color=style["color"], marker=".")
        if top5 is not None:
            _interval_line(ax, sizes, top5, color=style["color"], marker=".", linestyle="--")
    if any(model.top5 is not None for model in models.values()):
        for kind, dash in (("top 1", "-"), ("top 5", "--")):
            ax.plot([], [], dash, color="0.4", label=kind)
    ax.set(xlabel="size in pixels", ylabel=rate, ylim=(-0.03, 1.03))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    legend_below(figure, ax, columns=2)
    return figure


def film(
    frames: Array,
    frame_positions: Array,
    curves: Mapping[str, Array],
    positions: Array,
    along: str,
    title: str,
    of: str = "correct class",
    ordered: bool = True,
) -> Figure:
    """Probability of the correct class along a path, with frames above their positions.

    Args:
        frames: (T, 3, H, W) uint8.
        frame_positions: (T,)
        curves: (S,) for each model.
        positions: (S,)
        along: label of the positions.
        title: name of the image.
        of: the correct class or its substitute.
        ordered: True if neighbouring frames differ by a small step; otherwise points are not joined by a line.

    Source: Azulay & Weiss, Fig. 1.
    """
    places = np.concatenate([positions, frame_positions])
    extent, middle = np.ptp(places) or 1, (places.min() + places.max()) / 2
    half = 0.48 * min([extent / 6, *np.diff(np.unique(frame_positions))])
    reach = extent / 2 + half
    height, width = frames.shape[2:]
    shape = height / width * half / reach  # aspect of the strip that keeps the frames'
    figure = Figure(figsize=(8, 8 * shape + 3.6), layout="constrained")
    strip, ax = figure.subplots(2, 1, height_ratios=(8 * shape, 2.7), sharex=True)
    filmstrip(strip, frames, frame_positions, half)
    strip.set_box_aspect(shape)
    strip.set_axis_off()
    strip.set_title(title, fontsize=9)
    probability_curves(ax, positions, curves, of, joined=ordered)
    for position in frame_positions:
        ax.axvline(position, color="0.9", linewidth=1, zorder=0)
    ax.set(xlim=(middle - reach, middle + reach), xlabel=along)
    legend_below(figure, ax, columns=2)
    return figure


def cost(models: Mapping[str, Mapping[str, Array]], rate: str = "accuracy") -> Figure:
    """Accuracy (or another rate) and consistency against their cost: the number of forward passes per image.

    Args:
        models: for each model, ``passes`` (K,), at least 1, and ``rate`` and ``consistency`` (K, 3), the mean over
            images and both ends of its interval.
        rate: accuracy, or agreement with the answer on the whole image.

    Source: Azulay & Weiss, section 5.
    """
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    passes = np.concatenate([model["passes"] for model in models.values()])
    ticks = 2 ** np.arange(np.floor(np.log2(passes.min())), np.ceil(np.log2(passes.max())) + 1)
    for ax, kind in zip(figure.subplots(1, 2), ("rate", "consistency"), strict=True):
        for name, model, style in styled(models):
            _interval_line(ax, model["passes"], model[kind], label=name, marker="o", markersize=4, **style)
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set(title=rate if kind == "rate" else kind, xlabel="forward passes for an image")
        ax.grid(alpha=0.3)
    legend_below(figure, ax, columns=2)
    return figure
