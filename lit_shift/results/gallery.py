"""The papers' figures for one or several models, drawn from their findings. Needs no torch."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import combinations, zip_longest
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from lit_shift import figures
from lit_shift.figures import LayerDistance, Point
from lit_shift.filters import family, taps
from lit_shift.results import comparison, path_gallery
from lit_shift.results.frame import filter_of
from lit_shift.results.path_gallery import Drawing
from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import CIFAR10, of_cifar10
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_write

MOST_IMAGES = 8


def draw(models: Sequence[Findings]) -> dict[str, Figure]:
    """Return the figures for which there are data, by name.

    Raises:
        InputError: models have different image sizes or were measured on different test images; see
            :func:`by_images`.
    """
    check_comparable(models)
    return {name: figure for name, make in drawings(models).items() if (figure := make(models))}


def save(models: Sequence[Findings], folder: Path) -> None:
    """Draw every figure into ``<folder>/<name>.png`` and remove outdated ones.

    Raises:
        InputError: see :func:`draw`.
    """
    check_comparable(models)
    console = Console(stderr=True)
    makers = track(
        drawings(models).items(), "drawing", console=console, disable=not console.is_terminal, transient=True
    )
    for name, make in makers:
        if figure := make(models):
            atomic_write(folder / f"{name}.png", partial(figure.savefig, format="png", dpi=150))
        else:
            (folder / f"{name}.png").unlink(missing_ok=True)


def remove(models: Sequence[Findings], folder: Path) -> None:
    """Remove all figures of the models from a folder."""
    for name in drawings(models):
        (folder / f"{name}.png").unlink(missing_ok=True)


def drawings(models: Sequence[Findings]) -> dict[str, Drawing]:
    """Return the functions that draw the models' figures, by the name of the figure."""
    return FIGURES | path_gallery.drawings(models)


def by_images(models: Iterable[Findings]) -> dict[str, list[Findings]]:
    """Group models by the test images on which they were measured, under names suitable for folders.

    Two models have the same test images if the labels and pixels of the images that both have saved agree. If they have
    saved no image in common, their data must agree in name, folder and size.
    """
    groups: list[list[Findings]] = []
    for model in models:
        known = (group for group in groups if any(_same_images(model, other) for other in group))
        group = next(known, None)
        if group is None:
            groups.append(group := [])
        group.append(model)
    counts: Counter[str] = Counter()
    named = {}
    for group in groups:
        name, folder, _ = _data(group[0])
        name = f"{name}-{Path(folder).name}" if folder else name
        counts[name] += 1
        named[name if counts[name] == 1 else f"{name}-{counts[name]}"] = group
    return named


def check_comparable(models: Sequence[Findings]) -> None:
    """Check that models can share figures.

    Raises:
        InputError: two models have different image sizes or test images. The message names them.
    """
    for one, other in combinations(models, 2):
        if what := _difference(one, other):
            raise InputError(f"{one.name} and {other.name} were measured on {what}: compare runs of one data set.")


def _same_images(one: Findings, other: Findings) -> bool:
    return not _difference(one, other) and (bool(_common(one, other)) or _data(one) == _data(other))


def _difference(one: Findings, other: Findings) -> str | None:
    """Return the difference between two models' saved test images, in words; None if there is none."""
    if all("pixels" in model.arrays for model in (one, other)):
        if one.arrays["pixels"].shape[2:] != other.arrays["pixels"].shape[2:]:
            return "images of other sizes"
        if any((show([one], place)[0] != show([other], place)[0]).any() for place in _common(one, other)):
            return "other test images"
    labels = (model.arrays.get("labels", np.array([])).tolist() for model in (one, other))
    if any(a != b for a, b in zip(*labels, strict=False)):  # one model may have seen fewer images
        return "other test images"
    return None


def _common(one: Findings, other: Findings) -> set[int]:
    """Indices of the test images that both models have saved."""
    first, second = (set(model.arrays.get("shown", np.array([])).tolist()) for model in (one, other))
    return first & second


def _data(model: Findings) -> tuple[str, str, str]:
    """Name, folder and image size of a model's data; CIFAR-10 is the same in every folder."""
    data = model.config.get("data", {})
    folder = "" if data.get("_target_") == CIFAR10 else data.get("root", "")
    return model.config["choices"]["data"], str(folder), str(data.get("size", ""))


def accuracy_consistency(models: Sequence[Findings]) -> Figure | None:
    """Draw consistency against accuracy, with the published values if a model is for CIFAR-10."""
    points = [
        Point(filter, family(filter), taps(filter), aug, rates["accuracy"], rates["consistency"], published=True)
        for (filter, aug), rates in comparison.PUBLISHED.items()
        if any(of_cifar10(model.config) for model in models)
    ]
    for model in models:
        accuracy, consistency = (model.metrics.get(f"test/{measure}", nan) for measure in ("accuracy", "consistency"))
        if isfinite(accuracy) and isfinite(consistency):
            filter, aug = filter_of(model.config), model.config["aug"]
            points.append(Point(model.name, family(filter), taps(filter), aug, accuracy, consistency, published=False))
    return figures.accuracy_consistency(points) if any(not point.published for point in points) else None


def layer_distances(model: Findings, to: str = "equivariance") -> dict[str, LayerDistance]:
    """Return the distances of each measured layer from ``equivariance`` or ``invariance``, in the network's order."""
    layers = [key.removeprefix(f"{to}/") for key in model.arrays if key.startswith(f"{to}/")]
    return {
        layer: LayerDistance(
            model.arrays[f"{to}/{layer}"],
            float(model.arrays[f"between_images/{layer}"]),
            tuple(model.arrays[f"resolution/{layer}"].tolist()),
        )
        for layer in layers
    }


def filter_tv_course(model: Findings) -> dict[str, np.ndarray]:
    """Return ``epoch`` and each layer's total variation, one entry for each epoch at which it was measured."""
    rows = [row for row in model.history if any(key.startswith("tv/") for key in row)]
    keys = [key for key in (rows[0] if rows else ()) if key == "epoch" or key.startswith("tv/")]
    return {key.removeprefix("tv/"): np.array([row[key] for row in rows]) for key in keys}


def chosen_images(models: Sequence[Findings], most: int = MOST_IMAGES) -> list[int]:
    """Return the indices of test images for stability curves, taking each model's choices in turn."""
    choices = [model.arrays["chosen"].tolist() for model in models if {"chosen", "diagonal"} <= model.arrays.keys()]
    turns = [place for turn in zip_longest(*choices) for place in turn if place is not None]
    return list(dict.fromkeys(turns))[:most]


def stability(models: Sequence[Findings], images: Sequence[int]) -> Figure:
    """Draw the probability of the correct class along a diagonal shift of some test images, with models overlaid.

    Raises:
        InputError: no model has saved one of the images.
    """
    shown = [show(models, place) for place in images]
    classes = models[0].config["classes"]
    last = max(images)
    return figures.stability(
        {m.name: m.arrays["diagonal"][list(images)] for m in models if len(m.arrays.get("diagonal", ())) > last},
        np.stack([pixels for pixels, _ in shown]),
        [f"test image {place}: {classes[label]}" for place, (_, label) in zip(images, shown, strict=True)],
    )


def show(models: Sequence[Findings], place: int) -> tuple[np.ndarray, int]:
    """Return a test image, (3, H, W) uint8, and its label.

    Raises:
        InputError: no model has saved the image.
    """
    for model in models:
        shown = model.arrays.get("shown", np.array([])).tolist()
        if place in shown:
            kept = shown.index(place)
            return model.arrays["pixels"][kept], int(model.arrays["shown_labels"][kept])
    raise InputError(f"Test image {place} was not kept: python eval.py ckpt=RUN 'images=[{place}]'.")


def _of_each(find: Callable[[Findings], Any], draw: Callable[[dict[str, Any]], Figure]) -> Drawing:
    """Return a function that draws the data found for each model and leaves out models without data."""

    def drawing(models: Sequence[Findings]) -> Figure | None:
        found = {model.name: data for model in models if len(data := find(model))}
        return draw(found) if found else None

    return drawing


def _stability(models: Sequence[Findings]) -> Figure | None:
    chosen = chosen_images(models)
    return stability(models, chosen) if chosen else None


FIGURES: dict[str, Drawing] = {
    "accuracy_consistency": accuracy_consistency,
    "equivariance": _of_each(layer_distances, figures.equivariance),
    "invariance": _of_each(partial(layer_distances, to="invariance"), figures.equivariance),
    "variation": _of_each(lambda model: model.arrays.get("variation", ()), figures.variation),
    "filter_tv": _of_each(lambda model: model.under("tv"), figures.filter_tv),
    "filter_tv_course": _of_each(filter_tv_course, figures.filter_tv_course),
    "stability": _stability,
}
