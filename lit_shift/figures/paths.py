"""The figures of Azulay & Weiss's paper on outputs along paths. Rates are in [0, 1], and their axes show percent."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from lit_shift.figures.style import (
    MISSING_COLOUR,
    PROBABILITY_MAP,
    Array,
    ErrorBar,
    filmstrip,
    interval_line,
    legend_below,
    panels,
    probability_curves,
    styled,
)
from lit_shift.measures import along_paths


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
    figure, axes = panels(len(models), 4, 2.8, 3.2)
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
    figure.colorbar(image, ax=axes, aspect=25 * len(axes), label=f"P({of})")
    return figure


def jaggedness(models: Mapping[str, Mapping[str, Mapping[str, ErrorBar]]], of: str = "correct class") -> Figure:
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
    unknown = ErrorBar(np.nan, np.nan, np.nan)
    for ax, measure in zip(axes, measures, strict=True):
        for number, (name, model, style) in enumerate(styled(models)):
            places = np.arange(len(protocols)) + (number - (len(models) - 1) / 2) * thickness
            intervals = np.array([model.get(protocol, {}).get(measure.name, unknown) for protocol in protocols])
            mean, low, high = intervals.T
            bars = ax.bar(
                places,
                np.nan_to_num(mean),
                thickness,
                yerr=np.nan_to_num([mean - low, high - mean]),
                error_kw={"elinewidth": 1, "ecolor": "0.2"},
                color=style["color"],
                edgecolor="white",
                linewidth=0.5,
                label=name,
            )
            texts = ["not measured" if np.isnan(value) else measure.written(value, decimals=1) for value in mean]
            upright = len(models) * len(protocols) > 8 or np.isnan(mean).any()
            ax.bar_label(bars, texts, padding=2, fontsize=6, rotation=90 if upright else 0)
        ax.margins(y=0.25)
        ax.set_title(measure.label.replace("correct class", of), fontsize=9)
        ax.tick_params(labelsize=8)
        ax.set_ylim(0, None if ax.dataLim.y1 > 0 else 1)
        if measure.factor == 100:
            ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].set_xticks(np.arange(len(protocols)), protocols, fontsize=9)
    legend_below(figure, axes[0], columns=int(width // 2.5))
    return figure


class SizeAccuracy(NamedTuple):
    """A model in :func:`accuracy_by_size`.

    ``sizes`` (S,) in pixels; for each k, the top-k rate at each size (S, 3), its mean over images and both ends.
    """

    sizes: Array
    tops: Mapping[int, Array]


def accuracy_by_size(models: Mapping[str, SizeAccuracy], rate: str = "accuracy") -> Figure:
    """Accuracy, or another rate, by the size of resized and placed images, one panel for each k of top k.

    Intervals are drawn at about eight sizes, which differ between models.

    Source: Azulay & Weiss, Fig. 6.
    """
    tops = sorted({k for model in models.values() for k in model.tops})
    figure, axes = panels(len(tops), 2, 4.6, 3.6, sharey=True)
    for ax, k in zip(axes.flat, tops, strict=True):
        for number, (name, (sizes, of_tops), style) in enumerate(styled(models)):
            if k in of_tops:
                mean, low, high = of_tops[k].T
                every = -(-len(sizes) // 8)
                where = (number * every // len(models), every)
                ends = {"yerr": (mean - low, high - mean), "errorevery": where, "elinewidth": 1, "capsize": 2}
                ax.errorbar(sizes, mean, **ends, marker=".", markersize=4, linewidth=1, label=name, **style)
        ax.set(title=f"top {k}", xlabel="size in pixels", ylim=(-0.03, 1.03))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(rate)
    legend_below(figure, axes[0, 0], columns=2)
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
            interval_line(ax, model["passes"], model[kind], label=name, marker="o", markersize=4, **style)
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set(title=rate if kind == "rate" else kind, xlabel="forward passes for an image")
        ax.grid(alpha=0.3)
    legend_below(figure, ax, columns=2)
    return figure
