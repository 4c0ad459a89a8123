"""Style shared by the figures: line styles of models, legends, curves and strips of images."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[Any]
Data = TypeVar("Data")

# Line styles of models: ten colours solid, then dashed, dotted and dash-dotted.
STYLES = [{"color": f"C{number}", "linestyle": dash} for dash in ("-", "--", ":", "-.") for number in range(10)]


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
