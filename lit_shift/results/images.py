"""The test images on which models were measured: their names, and which models share them. Needs no torch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import CIFAR10
from lit_shift.utils.errors import InputError


class Shown(NamedTuple):
    """A test image that a run has saved: (3, H, W) uint8, its label and its name."""

    pixels: np.ndarray
    label: int
    name: str


def shown(model: Findings) -> dict[int, Shown]:
    """Return the images that a run has saved, by index."""
    places, names = model.arrays.get("shown", np.array([], int)), model.arrays.get("shown_names", ())
    return {
        place: Shown(model.arrays["pixels"][kept], int(model.arrays["shown_labels"][kept]), name_of(place, kept, names))
        for kept, place in enumerate(places.tolist())
    }


def name_of(place: int, kept: int, names: Sequence[str] | np.ndarray) -> str:
    """Return the file name of a test image, or its index if no name is known.

    Args:
        place: its index among all test images.
        kept: its index among those that a run has saved.
        names: of those, such as ``cat/0012.jpg``; empty if unknown.
    """
    return (str(names[kept]) if kept < len(names) else "") or f"test image {place}"


def all_shown(models: Sequence[Findings]) -> dict[int, Shown]:
    """Return the images that any of several runs has saved, by index."""
    return {place: image for model in reversed(models) for place, image in shown(model).items()}


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
        InputError: they were measured on different test images. The message names the groups of :func:`by_images`.
    """
    groups = [", ".join(model.name for model in group) for group in by_images(models).values()]
    if len(groups) > 1:
        raise InputError(f"{'; '.join(groups)}: these were measured on different images: compare runs of one data set.")


def _same_images(one: Findings, other: Findings) -> bool:
    first, second = shown(one), shown(other)
    common = first.keys() & second.keys()
    same = (np.array_equal(first[place].pixels, second[place].pixels) for place in common)
    labels = (model.arrays.get("labels", np.array([])).tolist() for model in (one, other))
    # One model may have seen fewer images.
    if not all(same) or any(a != b for a, b in zip(*labels, strict=False)):
        return False
    return bool(common) or _data(one) == _data(other)


def _data(model: Findings) -> tuple[str, str, str]:
    """Name, folder and image size of a model's data; CIFAR-10 is the same in every folder."""
    data = model.config.get("data", {})
    folder = "" if data.get("_target_") == CIFAR10 else data.get("root", "")
    return model.config["choices"]["data"], str(folder), str(data.get("size", ""))
