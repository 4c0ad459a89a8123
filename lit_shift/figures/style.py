"""Declarations that the figures and the page share (colours, markers, colour maps), and the figures' common parts."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from typing import Any, NamedTuple, TypeVar

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[Any]
Data = TypeVar("Data")

# Matplotlib's name of each dash and marker, and plotly's.
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
SYMBOLS = {"o": "circle", "v": "triangle-down", "^": "triangle-up", "s": "square", "D": "diamond", "P": "cross"}
SYMBOLS |= {"*": "star", "X": "x"}

# Line styles of models: ten colours solid, then dashed, dotted and dash-dotted.
COLOURS = [to_hex(f"C{number}") for number in range(10)]
STYLES = [{"color": colour, "linestyle": dash} for dash in DASHES for colour in COLOURS]

# For low-pass filters: a colour for each family, a marker for each length. All can be seen on white and on black.
FAMILY_COLOURS = {"delta": "#d1495b", "rect": "#3f74b5", "tri": "#2a8f4a", "pascal": "#b08a00", "window": "#a8408c"}
FAMILY_COLOURS |= {"ls": "#2fa0b8"}
OTHER_FAMILY = "#8a6a4f"
LENGTH_MARKERS = {1: "o", 2: "v", 3: "^", 4: "s", 5: "D", 6: "P", 7: "*"}
OTHER_LENGTH = "X"
PUBLISHED_COLOUR = "#a8a8a8"

# Matplotlib's names of the colour maps, for distances between features and for probabilities and feature maps.
DISTANCE_MAP, PROBABILITY_MAP = "RdYlBu_r", "viridis"
MISSING_COLOUR = "#a8a8a8"


class ErrorBar(NamedTuple):
    """Mean over images, and the lower and upper end of its 95% interval. NaN if unknown."""

    mean: float
    low: float
    high: float


def panels(count: int, columns: int, width: float, height: float, **share: Any) -> tuple[Figure, Array]:
    """Return a figure of ``count`` panels, at most ``columns`` side by side, and its (rows, columns) of axes.

    Args:
        width, height: of a panel, in inches.
        **share: axes that panels share, ``sharex`` and ``sharey``.
    """
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **share)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return figure, axes


def styled(models: Mapping[str, Data]) -> Iterator[tuple[str, Data, dict[str, Any]]]:
    """Yield each model's name, data and line style."""
    for (name, data), style in zip(models.items(), cycle(STYLES), strict=False):
        yield name, data, style


def legend_below(figure: Figure, ax: Axes, columns: int) -> None:
    """Add the models' names below the panels, and make the figure higher to fit them."""
    handles, names = ax.get_legend_handles_labels()
    columns = min(columns, len(names))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8)


def probability_curves(
    ax: Axes, positions: Array, curves: Mapping[str, Array], of: str = "correct class", joined: bool = True
) -> None:
    """Draw the probability of the correct class (or ``of`` its substitute), (S,) for each model, at S positions.

    They are lines, or points if not ``joined``.
    """
    for name, probabilities, line in styled(curves):
        how = {"linewidth": 1.5, "marker": dot(positions), **line}
        if not joined:
            how |= {"linestyle": "none", "marker": "o", "markersize": 4}
        ax.plot(positions, probabilities, label=name, **how)
    ax.set(ylim=(-0.03, 1.03), ylabel=f"P({of})")


def dot(positions: Array) -> str:
    """Marker of a line: none, except for a single point, which would otherwise be invisible."""
    return "o" if len(positions) == 1 else ""


def filmstrip(
    ax: Axes, pictures: Iterable[Array], places: Iterable[float], half: float, interpolation: str = "auto"
) -> None:
    """Draw images (3, H, W), each centred at its place on the x axis and reaching ``half`` to either side."""
    for picture, place in zip(pictures, places, strict=True):
        extent = (place - half, place + half, 0, 1)
        ax.imshow(picture.transpose(1, 2, 0), extent=extent, aspect="auto", interpolation=interpolation)
    ax.set_yticks([])


def interval_line(ax: Axes, places: Array, intervals: Array, **style: Any) -> None:
    """Draw a line and the band of its intervals: (S, 3), mean, low and high."""
    mean, low, high = intervals.T
    ax.plot(places, mean, **style)
    ax.fill_between(places, low, high, color=style["color"], alpha=0.15, linewidth=0)
    if len(places) == 1:  # a band would be invisible
        ax.vlines(places, low, high, color=style["color"])
