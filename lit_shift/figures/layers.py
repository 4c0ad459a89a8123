"""The figures of Azulay & Weiss's paper on layers along paths. Rates are in [0, 1], and their axes show percent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lit_shift.figures.style import (
    PROBABILITY_MAP,
    Array,
    dot,
    interval_line,
    legend_below,
    styled,
)

MOST_TICKS = 40


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


class NonShiftabilityByDepth(NamedTuple):
    """A model in :func:`nonshiftability`.

    ``layers`` (L,), names in the network's order; ``depths`` (L,), the number of convolutions up to there; ``pools``
    (L,), true for a pool, false for a convolution; ``intervals`` (L, 3), the number of steps at which a feature map's
    sum changes: mean over images and both ends; ``images`` (N, L), that number for each image, NaN if no map responds;
    ``steps``, the number of steps of the path; ``tolerance``, the fraction of its mean along the path by which a map's
    sum must change to count.
    """

    layers: Array
    depths: Array
    pools: Array
    intervals: Array
    images: Array
    steps: int
    tolerance: float


def nonshiftability(models: Mapping[str, NonShiftabilityByDepth]) -> Figure:
    """Non-shiftability by depth: the mean over images with its interval, and a thin line for each image.

    Pools are squares. Networks with the same layers are drawn layer by layer. Others are drawn by the number of
    convolutions passed, or by its fraction if they have different numbers of layers. The vertical axis counts steps, or
    shows their fraction if the paths have different lengths.

    Source: Azulay & Weiss, section 3 and Fig. 10.
    """
    first, *others = [list(model.layers) for model in models.values()]
    by_layer = len(first) <= MOST_TICKS and all(names == first for names in others)
    by_share = any(len(names) != len(first) for names in others)
    counted = len({model.steps for model in models.values()}) == 1
    figure = Figure(figsize=(max(6.4, 0.25 * len(first)) if by_layer else 6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, model, style in styled(models):
        scale, depths, pools = 1 if counted else 1 / model.steps, model.depths, model.pools
        places = np.arange(len(depths)) if by_layer else depths / depths.max() if by_share else depths
        intervals, thin = model.intervals * scale, min(0.4, 30 / len(model.images))
        ax.plot(places, model.images.T * scale, **style, linewidth=0.4, alpha=thin, zorder=1)
        interval_line(ax, places, intervals, label=name, **style)
        for chosen, marker, size in ((~pools, "o", 3.5), (pools, "s", 6)):
            ax.plot(places[chosen], intervals[chosen, 0], marker, markersize=size, color=style["color"])
    for kind, marker, pool in (("convolution", "o", False), ("pool", "s", True)):
        if any((model.pools == pool).any() for model in models.values()):
            ax.plot([], [], marker, color="0.4", label=kind)
    if by_layer:
        ax.set_xticks(np.arange(len(first)), first, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    else:
        ax.set_xlabel("share of the convolutions passed" if by_share else "convolutions passed")
    over = percents(model.tolerance for model in models.values())
    ax.set_ylabel(f"{'' if counted else 'share of the '}steps at which\na sum changes by over {over}")
    ax.set_ylim(bottom=0)
    if not counted:
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    legend_below(figure, ax, columns=2)
    return figure


def percents(shares: Iterable[float]) -> str:
    """Name each of several fractions in percent."""
    return " or ".join(f"{100 * share:g}%" for share in sorted(set(shares)))


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
    within = percents(curves.tolerance for model in models.values() for curves in model.values())
    text = f"Each line: one feature map of the last layer.\nShaded: within {within} of its mean along the path."
    figure.supxlabel(text, fontsize=8)
    figure.supylabel("sum of a feature map / its mean", fontsize=9)
    return figure


def _relative_sums(ax: Axes, positions: Array | Sequence[float], sums: Array, tolerance: float, **style: Any) -> None:
    """Draw each column of sums (S, C) relative to its mean, unless that is 0, and shade the band of no departure."""
    mean = sums.mean(0)
    ax.axhspan(1 - tolerance, 1 + tolerance, color="0.9", zorder=0)
    ax.plot(positions, sums / np.where(mean == 0, np.nan, mean), **style)
