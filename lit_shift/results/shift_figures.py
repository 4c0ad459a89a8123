"""Zhang's figures of one or several models: which of their findings go into each. Needs no torch.

Each function is named like its file and returns None if no model has data for it.
"""

from collections.abc import Sequence
from itertools import zip_longest
from math import isfinite, nan
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lit_shift.figures import zhang
from lit_shift.filters import family, taps
from lit_shift.results import comparison, images
from lit_shift.results.frame import filter_of
from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import of_cifar10

MOST_IMAGES = 8
TV = "tv"  # of each layer, in metrics and history


def accuracy_consistency(models: Sequence[Findings]) -> Figure | None:
    """Draw consistency against accuracy, with the published values if a model is for CIFAR-10."""
    ours = []
    for model in models:
        across, up = (model.metrics.get(f"test/{measure}", nan) for measure in ("accuracy", "consistency"))
        if isfinite(across) and isfinite(up):
            filter, aug = filter_of(model.config), model.config["aug"]
            ours.append(zhang.Point(model.name, family(filter), taps(filter), aug, across, up, published=False))
    if not ours:
        return None
    published = comparison.PUBLISHED if any(of_cifar10(model.config) for model in models) else {}
    points = [
        zhang.Point(filter, family(filter), taps(filter), aug, rates["accuracy"], rates["consistency"], published=True)
        for (filter, aug), rates in published.items()
    ]
    return zhang.accuracy_consistency(points + ours)


def equivariance(models: Sequence[Findings]) -> Figure | None:
    """Draw the distance from equivariance of each layer, at each shift."""
    found = _by_name(models, layer_distances)
    return zhang.equivariance(found) if found else None


def invariance(models: Sequence[Findings]) -> Figure | None:
    """Draw the distance from invariance of each layer, at each shift."""
    found = _by_name(models, lambda model: layer_distances(model, "invariance"))
    return zhang.equivariance(found) if found else None


def variation(models: Sequence[Findings]) -> Figure | None:
    """Draw histograms of the variation over images."""
    found = _by_name(models, lambda model: model.arrays.get("variation", ()))
    return zhang.variation(found) if found else None


def filter_tv(models: Sequence[Findings]) -> Figure | None:
    """Draw the total variation of the filters by layer."""
    found = _by_name(models, lambda model: model.under(TV))
    return zhang.filter_tv(found) if found else None


def filter_tv_course(models: Sequence[Findings]) -> Figure | None:
    """Draw the total variation of the filters during training."""
    found = _by_name(models, course)
    return zhang.filter_tv_course(found) if found else None


def stability(models: Sequence[Findings]) -> Figure | None:
    """Draw the probability of the correct class along a diagonal shift of some images, chosen by each model in turn."""
    able = [model for model in models if "diagonal" in model.arrays]
    choices = zip_longest(*(model.arrays.get("chosen", np.array([])).tolist() for model in able))
    kept = images.all_shown(models)
    chosen = [place for place in dict.fromkeys(place for turn in choices for place in turn) if place in kept]
    if not (chosen := chosen[:MOST_IMAGES]):
        return None
    curves = {m.name: m.arrays["diagonal"][chosen] for m in able if len(m.arrays["diagonal"]) > max(chosen)}
    pixels = np.stack([kept[place].pixels for place in chosen])
    return zhang.stability(curves, pixels, [titled(models, kept[place]) for place in chosen])


def titled(models: Sequence[Findings], image: images.Shown) -> str:
    """Return the name and the class of an image."""
    return f"{image.name}: {models[0].config['classes'][image.label]}"


def layer_distances(model: Findings, to: str = "equivariance") -> dict[str, zhang.LayerDistance]:
    """Return the distances of each measured layer from ``equivariance`` or ``invariance``, in the network's order."""
    layers = [key.removeprefix(f"{to}/") for key in model.arrays if key.startswith(f"{to}/")]
    return {
        layer: zhang.LayerDistance(
            model.arrays[f"{to}/{layer}"],
            float(model.arrays[f"between_images/{layer}"]),
            tuple(model.arrays[f"resolution/{layer}"].tolist()),
        )
        for layer in layers
    }


def course(model: Findings) -> dict[str, np.ndarray]:
    """Return ``epoch`` and each layer's total variation, one entry for each epoch at which it was measured."""
    rows = [row for row in model.history if any(key.startswith(f"{TV}/") for key in row)]
    keys = [key for key in (rows[0] if rows else ()) if key == "epoch" or key.startswith(f"{TV}/")]
    return {key.removeprefix(f"{TV}/"): np.array([row[key] for row in rows]) for key in keys}


def _by_name(models: Sequence[Findings], find: Any) -> dict[str, Any]:
    """Return the data found for each model, without models that have none."""
    return {model.name: data for model in models if len(data := find(model))}
