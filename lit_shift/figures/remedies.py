"""Jaggedness of remedied classifiers against what they cost."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from lit_shift.figures.style import ErrorBar, legend_below

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")


def remedies(jaggedness: Mapping[str, ErrorBar], passes: Mapping[str, float]) -> Figure:
    """Fraction of one-pixel steps at which the answer changes, against the cost of an answer, for each remedy.

    Args:
        jaggedness: by name, with its interval.
        passes: cost in forward passes of the network as it was, by name.
    """
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    ax = figure.subplots()
    for number, (name, bar) in enumerate(jaggedness.items()):
        below_above = np.array([[bar.mean - bar.low], [bar.high - bar.mean]])
        ax.errorbar(
            passes[name],
            bar.mean,
            below_above,
            fmt=MARKERS[number // 10 % len(MARKERS)] if number >= 10 else MARKERS[number % len(MARKERS)],
            color=f"C{number % 10}",
            capsize=3,
            label=name,
        )
    ax.set_xscale("log", base=2)
    ticks = 2.0 ** np.arange(0, np.ceil(np.log2(max(passes.values()))) + 1)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(xlabel="work of an answer, in forward passes", ylabel="one-pixel steps that change the answer")
    ax.grid(alpha=0.3)
    legend_below(figure, ax, columns=3)
    return figure
