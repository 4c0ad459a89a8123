"""Every figure of Zhang's paper for one model or several, from what was found of them. Needs no torch."""

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from lit_shift import figures, table1
from lit_shift.errors import InputError
from lit_shift.figures import LayerDistance, Point
from lit_shift.files import atomic_write
from lit_shift.findings import Findings

MOST_IMAGES = 8


def draw(models: Sequence[Findings]) -> dict[str, Figure]:
    """Figures by name, those for which anything was found.

    Raises:
        InputError: models of other image sizes, or measured on other test images.
    """
    check_comparable(models)
    drawn = {"accuracy_consistency": accuracy_consistency(models)}
    if layers := {model.name: layer_distances(model) for model in models if layer_distances(model)}:
        drawn["equivariance"] = figures.equivariance(layers)
    if deviations := {m.name: np.sqrt(m.arrays["variation"]) for m in models if "variation" in m.arrays}:
        drawn["variation"] = figures.variation(deviations)
    if tv := {model.name: model.under("tv") for model in models if model.under("tv")}:
        drawn["filter_tv"] = figures.filter_tv(tv)
    if courses := {model.name: filter_tv_course(model) for model in models if filter_tv_course(model)}:
        drawn["filter_tv_course"] = figures.filter_tv_course(courses)
    if chosen := chosen_images(models):
        drawn["stability"] = stability(models, chosen)
    return drawn


def save(models: Sequence[Findings], folder: Path) -> None:
    """Draw every figure into ``<folder>/<name>.png``; what it raises, :func:`draw` does."""
    console = Console(stderr=True)
    drawn = draw(models)
    for name, figure in track(
        drawn.items(), "drawing", console=console, disable=not console.is_terminal, transient=True
    ):
        atomic_write(folder / f"{name}.png", partial(figure.savefig, format="png", dpi=150))


def check_comparable(models: Sequence[Findings]) -> None:
    """That models can share pictures.

    Raises:
        InputError: images of other sizes, or other test images; names two models.
    """
    known = [model for model in models if "labels" in model.arrays]
    for model in known[1:]:
        first = known[0]
        for what, ours, theirs in (
            ("images of other sizes", _size(first), _size(model)),
            ("other test images", first.arrays["labels"].tolist(), model.arrays["labels"].tolist()),
        ):
            if None not in (ours, theirs) and ours != theirs:
                raise InputError(
                    f"{first.name} and {model.name} were measured on {what}: compare runs of one data set."
                )


def _size(model: Findings) -> tuple[int, ...] | None:
    return model.arrays["pixels"].shape[2:] if "pixels" in model.arrays else None


def accuracy_consistency(models: Sequence[Findings]) -> Figure:
    """The models among the paper's, in the plane of accuracy and consistency."""
    points = []
    for (filter, aug), row in table1.PUBLISHED.items():
        rates = (float(row["accuracy"]) / 100, float(row["consistency"]) / 100)
        points.append(Point(filter, table1.family(filter), table1.taps(filter), aug, *rates, published=True))
    for model in models:
        accuracy, consistency = (table1.rate(model.metrics, measure) for measure in ("accuracy", "consistency"))
        if accuracy is not None and consistency is not None:
            filter, aug = table1.filter_of(model.config), model.config["aug"]
            family, taps = table1.family(filter), table1.taps(filter)
            points.append(Point(model.name, family, taps, aug, accuracy, consistency, published=False))
    return figures.accuracy_consistency(points)


def layer_distances(model: Findings) -> dict[str, LayerDistance]:
    """The distances of each measured layer, in the network's order."""
    layers = [key.removeprefix("equivariance/") for key in model.arrays if key.startswith("equivariance/")]
    return {
        layer: LayerDistance(
            model.arrays[f"equivariance/{layer}"],
            float(model.arrays[f"between_images/{layer}"]),
            tuple(model.arrays[f"resolution/{layer}"].tolist()),
        )
        for layer in layers
    }


def filter_tv_course(model: Findings) -> dict[str, np.ndarray]:
    """``epoch`` and each layer's total variation, at the epochs at which it was measured."""
    rows = [row for row in model.history if any(key.startswith("tv/") for key in row)]
    keys = [key for key in (rows[0] if rows else ()) if key == "epoch" or key.startswith("tv/")]
    return {key.removeprefix("tv/"): np.array([row[key] for row in rows]) for key in keys}


def chosen_images(models: Sequence[Findings], most: int = MOST_IMAGES) -> list[int]:
    """Test images for stability curves: each model's choice in turn."""
    choices = [model.arrays["chosen"].tolist() for model in models if "chosen" in model.arrays]
    turns = [place for turn in zip_longest(*choices) for place in turn if place is not None]
    return list(dict.fromkeys(turns))[:most]


def stability(models: Sequence[Findings], images: Sequence[int]) -> Figure:
    """Probability of the correct class along a diagonal shift of some test images, models overlaid.

    Raises:
        InputError: an image whose pixels no model keeps.
    """
    labels = next(model.arrays["labels"] for model in models if "labels" in model.arrays)
    classes = models[0].config["classes"]
    return figures.stability(
        {m.name: m.arrays["diagonal"][list(images)] for m in models if "diagonal" in m.arrays},
        np.stack([pixels(models, place) for place in images]),
        [f"test image {place}: {classes[labels[place]]}" for place in images],
    )


def pixels(models: Sequence[Findings], place: int) -> np.ndarray:
    """A test image, (3, H, W) uint8; an InputError where no model keeps it."""
    for model in models:
        shown = model.arrays.get("shown", np.array([])).tolist()
        if place in shown:
            return model.arrays["pixels"][shown.index(place)]
    raise InputError(
        f"Test image {place} was not kept: python eval.py ckpt=RUN/checkpoints/last.ckpt images=[{place}]."
    )
