"""Figures of the positions and sizes of objects in a data set: counts in, a matplotlib figure out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from lit_shift.figures.style import Array

# Ticks of the colour scale: densities as multiples of the expected one.
TICKS = {1 / 8: "1/8", 1 / 4: "1/4", 1 / 2: "1/2", 1: "1, expected", 2: "2", 4: "4", 8: "8"}


def position(found: Mapping[str, tuple[Array, Array]], what: str, columns: int = 3) -> Figure:
    """Density of box positions, one panel per set of boxes. White is the expected density.

    Args:
        found: for each set of boxes, the number of boxes in each cell of a grid over the unit square, (h, w), and the
            expected number. Cells where no box is possible are grey.
        what: name of the position, for both axes.

    Source: Azulay & Weiss, Fig. 5.
    """
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(2.6 * columns + 1, 2.7 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    for ax, (name, (seen, expected)) in zip(axes.flat, found.items(), strict=False):
        possible = expected > 0
        density = np.full(seen.shape, np.nan)
        density[possible] = seen[possible] / expected[possible]
        ax.set_facecolor("0.8")
        image = ax.imshow(
            np.clip(density, min(TICKS), max(TICKS)),
            cmap="RdBu_r",
            norm=LogNorm(min(TICKS), max(TICKS)),
            extent=(0, 1, 1, 0),
            interpolation="nearest",
        )
        ax.set_title(_label(name, seen), fontsize=9)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.tick_params(labelsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
    bar.set_ticks(list(TICKS), labels=list(TICKS.values()))
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    figure.supxlabel(f"{what}, across", fontsize=9)
    figure.supylabel(f"{what}, down", fontsize=9)
    return figure


def size(heights: Mapping[str, Array], nulls: Mapping[str, Array]) -> Figure:
    """Density of box heights as fractions of the image's. Dashed and dotted lines show the hypotheses.

    Args:
        heights: for each set of boxes, the number of boxes in equal bins of height from 0 to 1, (bins,). The first
            set is drawn in black.
        nulls: for each hypothesis, the expected numbers, (bins,).

    Source: Azulay & Weiss, Fig. 5.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    ax = figure.subplots()
    for place, (name, counts) in enumerate(heights.items()):
        colour, width = ("black", 2.5) if place == 0 else (f"C{place - 1}", 1.2)
        _steps(ax, counts, color=colour, linewidth=width, label=_label(name, counts))
    for (name, counts), style in zip(nulls.items(), ("--", ":"), strict=True):
        _steps(ax, counts, color="0.4", linestyle=style, linewidth=1.2, label=name)
    ax.set(xlim=(0, 1), xlabel="height of the box / height of the image", ylabel="density")
    ax.set_ylim(bottom=0)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _steps(ax: Axes, counts: Array, **style: Any) -> None:
    ax.stairs(counts / counts.mean(), np.linspace(0, 1, len(counts) + 1), baseline=None, **style)


def _label(name: str, counts: Array) -> str:
    return f"{name} ({counts.sum():,})".replace("$", r"\$")  # no TeX formulas in names
