"""Jaggedness of remedied classifiers against what they cost."""

from collections.abc import Collection, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from lit_shift.figures.style import COLOURS, SYMBOLS, ErrorBar, legend_below

APART = 0.1  # between marks of equal work, in octaves


def remedies(jaggedness: Mapping[str, ErrorBar], passes: Mapping[str, float], keeping: Collection[str]) -> Figure:
    """Fraction of one-pixel steps at which the answer changes, against the cost of an answer, for each remedy.

    Remedies that change too many answers have hollow marks.

    Args:
        jaggedness: by name, with its interval.
        passes: cost in forward passes of the network as it was, by name.
        keeping: names of the remedies that keep the answers of the network as it was.
    """
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    ax = figure.subplots()
    for (name, bar), x, marker, colour in zip(
        jaggedness.items(), _apart([passes[name] for name in jaggedness]), cycle(SYMBOLS), cycle(COLOURS), strict=False
    ):
        below_above = np.array([[bar.mean - bar.low], [bar.high - bar.mean]])
        face = colour if name in keeping else "white"
        ax.errorbar(x, bar.mean, below_above, fmt=marker, color=colour, markerfacecolor=face, capsize=3, label=name)
    ax.set_xscale("log", base=2)
    ticks = 2.0 ** np.arange(0, np.ceil(np.log2(max(passes.values()))) + 1)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])  # a mark at 0 can be seen
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(
        xlabel="work of an answer, in forward passes (equal ones side by side)",
        ylabel="one-pixel steps that change the answer",
    )
    if len(keeping) < len(jaggedness):
        ax.set_title("Hollow: loses the answers of the network as it is", fontsize="medium")
    ax.grid(alpha=0.3)
    legend_below(figure, ax, columns=3)
    return figure


def _apart(work: Sequence[float]) -> list[float]:
    """Move places on a logarithmic axis apart, as little as possible in the sense of least squares, in their order."""
    octaves = np.log2(work)
    order = np.argsort(octaves, kind="stable")
    steps = APART * np.arange(len(work))
    moved = np.empty(len(work))
    moved[order] = isotonic_regression(octaves[order] - steps).x + steps
    return [float(place) for place in 2**moved]
