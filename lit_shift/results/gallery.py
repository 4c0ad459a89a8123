"""All figures of one or several models, as objects or as files. Needs no torch."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from lit_shift.results import path_figures, shift_figures
from lit_shift.results.images import check_comparable
from lit_shift.runs.findings import Findings
from lit_shift.utils.files import atomic_write

# Functions of models, then of models and a protocol. A figure is named like its function.
FIGURES: list[Callable[..., Figure | None]] = [
    shift_figures.accuracy_consistency,
    shift_figures.equivariance,
    shift_figures.invariance,
    shift_figures.variation,
    shift_figures.filter_tv,
    shift_figures.filter_tv_course,
    shift_figures.stability,
    path_figures.jaggedness,
    path_figures.sums,
    path_figures.cost,
    path_figures.cost_agreement,
]
BY_PROTOCOL: list[Callable[..., Figure | None]] = [
    path_figures.probability,
    path_figures.nonshiftability,
    path_figures.accuracy,
    path_figures.agreement,
]


def drawings(models: Sequence[Findings]) -> dict[str, Callable[[], Figure | None]]:
    """Return functions that draw the models' figures, or return None for lack of data, by the figure's name."""
    found: dict[str, Callable[[], Figure | None]] = {draw.__name__: partial(draw, models) for draw in FIGURES}
    for protocol in dict.fromkeys(name for model in models for name in model.protocols):
        found |= {f"{protocol}_{draw.__name__}": partial(draw, models, protocol) for draw in BY_PROTOCOL}
        shown = [model.arrays[key].tolist() for model in models if (key := f"{protocol}/shown") in model.arrays]
        for place in dict.fromkeys(place for places in shown for place in places):
            found[f"{protocol}_film_{place}"] = partial(path_figures.film, models, protocol, place)
        for model in models:
            of_whom = f"_{model.name}" if len(models) > 1 else ""
            found[f"{protocol}_maps{of_whom}"] = partial(path_figures.maps, [model], protocol)
    return found


def draw(models: Sequence[Findings]) -> dict[str, Figure]:
    """Return the figures for which there are data, by name.

    Raises:
        InputError: models have different image sizes or were measured on different test images; see
            :func:`lit_shift.results.images.by_images`.
    """
    check_comparable(models)
    return {name: figure for name, make in drawings(models).items() if (figure := make())}


def save(models: Sequence[Findings], folder: Path) -> None:
    """Draw every figure into ``<folder>/<name>.png`` and remove outdated ones.

    Raises:
        InputError: see :func:`draw`.
    """
    check_comparable(models)
    console = Console(stderr=True)
    makers = drawings(models).items()
    for name, make in track(makers, "drawing", console=console, disable=not console.is_terminal, transient=True):
        if figure := make():
            atomic_write(folder / f"{name}.png", partial(figure.savefig, format="png", dpi=150))
        else:
            (folder / f"{name}.png").unlink(missing_ok=True)


def remove(models: Sequence[Findings], folder: Path) -> None:
    """Remove all figures of the models from a folder."""
    for name in drawings(models):
        (folder / f"{name}.png").unlink(missing_ok=True)
