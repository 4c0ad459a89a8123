"""Azulay & Weiss's figures of one or several models: which of their findings go into each. Needs no torch.

Each function is named like its file, without the protocol, and returns None if no model has data for it.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from lit_shift.figures import layers, paths
from lit_shift.results.along import Along, comparable, correct_class, films, under
from lit_shift.runs.findings import Findings


def jaggedness(models: Sequence[Findings]) -> Figure | None:
    """Draw Fig. 2B and 7-9: frequency and size of changes of the answer, by model and protocol.

    Changes are counts if all paths have the same length, else rates per step.
    """
    members = under(models)
    measures = comparable(members)
    images: dict[str, set[int]] = {}
    for each in members:
        images.setdefault(each.title, set()).add(each.images)
    found: dict[str, dict[str, Any]] = {}
    for each in members:
        count = " to ".join(map(str, sorted({min(images[each.title]), max(images[each.title])})))
        title = f"{each.title.replace(' (', chr(10) + '(').replace(', ', ',' + chr(10))}\nn = {count}"
        measured = {measure: each.interval(measure) for measure in measures if each.measured(measure)}
        found.setdefault(each.name, {})[title] = measured
    return paths.jaggedness(found, correct_class(members)) if found else None


def sums(models: Sequence[Findings]) -> Figure | None:
    """Draw Fig. 4 and 11-13: sums of the last layer's feature maps of an image along each path."""
    found: dict[str, dict[str, layers.SumCurves]] = {}
    for each in under(models):
        if "sums" in each:
            curves = layers.SumCurves(each["positions"], each["sums"][0], each.label, each.tolerance)
            found.setdefault(each.name, {})[each.protocol] = curves
    return layers.sums(found) if found else None


def cost(models: Sequence[Findings], rate: str = "accuracy") -> Figure | None:
    """Draw the gain and cost of test-time augmentation (section 5)."""
    found = {
        model.name: {
            "passes": model.arrays["tta/passes"],
            "rate": model.arrays[f"tta/{rate}"],
            "consistency": model.arrays["tta/consistency"],
        }
        for model in models
        if f"tta/{rate}" in model.arrays
    }
    return paths.cost(found, rate) if found else None


def cost_agreement(models: Sequence[Findings]) -> Figure | None:
    """Draw :func:`cost` with agreement in place of accuracy."""
    return cost(models, "agreement")


def probability(models: Sequence[Findings], protocol: str) -> Figure | None:
    """Draw Fig. 2A: probability of the correct class along the path, one row per image."""
    moving = [each for each in under(models, protocol) if each.moves]
    found = {each.name: paths.Probabilities(each["positions"], each["probability"], each.label) for each in moving}
    return paths.correct_probability(found, correct_class(moving)) if found else None


def nonshiftability(models: Sequence[Findings], protocol: str) -> Figure | None:
    """Draw Fig. 10: non-shiftability by depth."""
    found = {each.name: by_depth(each) for each in under(models, protocol) if "layers" in each}
    return layers.nonshiftability(found) if found else None


def by_depth(each: Along) -> layers.NonShiftabilityByDepth:
    """Return the non-shiftability of a model's layers, in the network's order."""
    names, intervals, images = each["layers"], each["nonshiftability"], each["nonshiftability_by_image"]
    steps = len(each["positions"]) - 1
    return layers.NonShiftabilityByDepth(names, each["depths"], each["pools"], intervals, images, steps, each.tolerance)


def accuracy(models: Sequence[Findings], protocol: str, rate: str = "accuracy") -> Figure | None:
    """Draw Fig. 6: accuracy, or agreement with the answer on the whole image, as a function of size."""
    found = {
        each.name: paths.SizeAccuracy(each["positions"], tops)
        for each in under(models, protocol)
        if (tops := by_size(each, rate))
    }
    return paths.accuracy_by_size(found, rate) if found else None


def by_size(each: Along, rate: str) -> dict[int, Any]:
    """Return the mean and the ends of the top-1 and top-5 rate at each size (S, 3), if they were measured."""
    return {k: each[f"{rate}_top{k}"] for k in (1, 5) if f"{rate}_top{k}" in each}


def agreement(models: Sequence[Findings], protocol: str) -> Figure | None:
    """Draw :func:`accuracy` with agreement in its place."""
    return accuracy(models, protocol, "agreement")


def film(models: Sequence[Findings], protocol: str, place: int) -> Figure | None:
    """Draw Fig. 1: frames of an image above the probability of its correct class.

    A model that saw other frames is left out.
    """
    seen = next((members for _, members in films(under(models, protocol), only=place)), None)
    if not seen:
        return None
    first = seen[0]
    return paths.film(
        first.shown("frames", place),
        first["frame_positions"],
        {each.name: each.shown("curve", place) for each in seen},
        first["positions"],
        first.label,
        f"{protocol}: {first.image(place)}",
        correct_class(seen),
        ordered=first.ordered,
    )


def maps(models: Sequence[Findings], protocol: str) -> Figure | None:
    """Draw Fig. 3: for some layers of the first model, the map that responds most to an image, in each frame."""
    for each in under(models[:1], protocol):
        if found := {layer: maps[0] for layer, maps in strongest(each).items()}:
            positions = each["frame_positions"]
            return layers.feature_maps(found, each["frames"][0], positions, each.label, each.tolerance)
    return None


def strongest(each: Along) -> dict[str, Any]:
    """Return the map (M, T, h, w) of some layers that responds most to each of M images, in its T frames."""
    prefix = f"{each.protocol}/maps/"
    return {key.removeprefix(prefix): maps for key, maps in each.model.arrays.items() if key.startswith(prefix)}
