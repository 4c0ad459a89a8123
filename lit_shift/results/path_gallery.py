"""Azulay & Weiss's figures for one or several models, drawn from their findings. Needs no torch."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from lit_shift import figures
from lit_shift.measures import along_paths, interval_in
from lit_shift.runs.findings import Findings

# A function that draws models, or returns None if they have no data for the figure.
Drawing = Callable[[Sequence[Findings]], Figure | None]


def interval(model: Findings, key: str) -> figures.Interval:
    """Return a measure and the ends of its interval, NaN for missing values."""
    return figures.Interval(*interval_in(model.metrics, key))


def by_answer(model: Findings, protocol: str) -> bool:
    """Return True if the answer on the whole image stands in for the correct class, because there are no labels."""
    return f"{protocol}/agreement" in model.metrics


def correct_class(models: Sequence[Findings], *protocols: str) -> str:
    """Return the term for the correct class, or its stand-in, of models under some protocols (by default all)."""
    names = (
        "answer on the whole image" if by_answer(model, protocol) else "correct class"
        for model in models
        for protocol in protocols or model.protocols
    )
    return " or ".join(dict.fromkeys(names))


def drawings(models: Sequence[Findings]) -> dict[str, Drawing]:
    """Return the functions that draw the models' figures, by name: first those over protocols, then those of each."""
    names = list(dict.fromkeys(name for model in models for name in model.protocols))
    drawn: dict[str, Drawing] = {"jaggedness": jaggedness, "sums": sums}
    drawn |= {"cost": partial(cost, rate="accuracy"), "cost_agreement": partial(cost, rate="agreement")}
    for name in names:
        drawn |= {f"{name}_{kind}": partial(draw, protocol=name) for kind, draw in BY_PROTOCOL.items()}
        shown = [model.arrays[f"{name}/shown"].tolist() for model in models if f"{name}/shown" in model.arrays]
        for place in dict.fromkeys(place for places in shown for place in places):
            drawn[f"{name}_film_{place}"] = partial(film, protocol=name, place=place)
        for model in models:
            of_whom = f"_{model.name}" if len(models) > 1 else ""
            drawn[f"{name}_maps{of_whom}"] = partial(feature_maps, protocol=name, of=model.name)
    return drawn


def jaggedness(models: Sequence[Findings]) -> Figure | None:
    """Draw Fig. 2B and 7-9: frequency and size of changes of the answer, by model and protocol.

    Changes are counts if all paths have the same length, else rates per step.
    """
    titles = _titles(models)
    compared = comparable([(model, protocol) for model in models for protocol in model.protocols])
    found: dict[str, dict[str, dict[str, figures.Interval]]] = {}
    by_name = {model.name: model for model in models}
    counts: dict[str, set[int]] = {}
    for (name, protocol), title in titles.items():
        counts.setdefault(title, set()).add(int(by_name[name].metrics[f"{protocol}/n"]))
    for (name, protocol), title in titles.items():
        model, images = by_name[name], counts[title]
        measured = [measure for measure in compared if f"{protocol}/{measure}" in model.metrics]
        by_protocol = found.setdefault(name, {})
        by_protocol[f"{title}\nn = {' to '.join(map(str, sorted({min(images), max(images)})))}"] = {
            measure: interval(model, f"{protocol}/{measure}") for measure in measured
        }
    return figures.jaggedness(found, correct_class(models)) if found else None


def comparable(measured: Sequence[tuple[Findings, str]]) -> list[str]:
    """Return the names of the measures that are comparable across models and protocols.

    If paths differ in length, these are rates per step in place of counts.
    """
    ordered = [(model, protocol) for model, protocol in measured if f"{protocol}/mad" in model.metrics]
    lengths = {len(model.arrays[f"{protocol}/positions"]) for model, protocol in ordered}
    left_out = "jaggedness_top" if len(lengths) > 1 else "jaggedness_rate"
    of_tops = along_paths(key for model, _ in measured for key in model.metrics).values()
    return [each.name for measures in of_tops for each in measures if not each.name.startswith(left_out)]


def _titles(models: Sequence[Findings]) -> dict[tuple[str, str], str]:
    """Return the title of each (model, protocol), with the protocol's options if models differ in them."""
    options = {
        (model.name, protocol): str(model.arrays[f"{protocol}/options"])
        for model in models
        for protocol in model.protocols
    }
    several = {
        protocol for _, protocol in options if len({text for (_, of), text in options.items() if of == protocol}) > 1
    }
    return {
        (name, protocol): f"{protocol}\n{text.replace(', ', chr(10))}" if protocol in several else protocol
        for (name, protocol), text in options.items()
    }


def sums(models: Sequence[Findings]) -> Figure | None:
    """Draw Fig. 4 and 11-13: sums of the last layer's feature maps of an image along each path."""
    found: dict[str, dict[str, figures.SumCurves]] = {}
    for model in models:
        for protocol in model.protocols:
            if f"{protocol}/sums" in model.arrays:
                positions, maps = (model.arrays[f"{protocol}/{name}"] for name in ("positions", "sums"))
                curves = figures.SumCurves(positions, maps[0], _along(model, protocol), tolerance(model, protocol))
                found.setdefault(model.name, {})[protocol] = curves
    return figures.sums(found) if found else None


def cost(models: Sequence[Findings], rate: str) -> Figure | None:
    """Draw the gain and cost of test-time augmentation (section 5); the rate is accuracy or agreement."""
    found = {
        model.name: {
            "passes": model.arrays["tta/passes"],
            "rate": model.arrays[f"tta/{rate}"],
            "consistency": model.arrays["tta/consistency"],
        }
        for model in models
        if f"tta/{rate}" in model.arrays
    }
    return figures.cost(found, rate) if found else None


def correct_probability(models: Sequence[Findings], protocol: str) -> Figure | None:
    """Draw Fig. 2A: probability of the correct class along the path, one row per image."""
    found = {
        model.name: figures.Probabilities(
            model.arrays[f"{protocol}/positions"], model.arrays[f"{protocol}/probability"], _along(model, protocol)
        )
        for model in _moving(models, protocol)
    }
    return figures.correct_probability(found, correct_class(_moving(models, protocol), protocol)) if found else None


def nonshiftability(models: Sequence[Findings], protocol: str) -> Figure | None:
    """Draw Fig. 10: non-shiftability by depth."""
    found = {
        model.name: figures.NonShiftabilityByDepth(
            layers(model, protocol),
            len(model.arrays[f"{protocol}/positions"]) - 1,
            tolerance(model, protocol),
            model.arrays[f"{protocol}/nonshiftability_by_image"],
        )
        for model in models
        if f"{protocol}/layers" in model.arrays
    }
    return figures.nonshiftability(found) if found else None


def layers(model: Findings, protocol: str) -> list[figures.LayerNonShiftability]:
    """Return the measured layers, in the network's order."""
    names, depths, pools, intervals = (
        model.arrays[f"{protocol}/{name}"].tolist() for name in ("layers", "depths", "pools", "nonshiftability")
    )
    rows = zip(names, depths, pools, intervals, strict=True)
    return [
        figures.LayerNonShiftability(name, depth, pool, figures.Interval(*ends)) for name, depth, pool, ends in rows
    ]


def tolerance(model: Findings, protocol: str) -> float:
    """Return the tolerance of changes and departures, as a fraction of the mean of a map's sum over the path."""
    return float(model.arrays[f"{protocol}/tolerance"])


def rate_by_size(models: Sequence[Findings], protocol: str, rate: str) -> Figure | None:
    """Draw Fig. 6: accuracy, or agreement with the answer on the whole image, as a function of size."""
    found = {
        model.name: figures.SizeAccuracy(
            model.arrays[f"{protocol}/positions"],
            model.arrays[f"{protocol}/{rate}_top1"],
            model.arrays.get(f"{protocol}/{rate}_top5"),
        )
        for model in models
        if f"{protocol}/{rate}_top1" in model.arrays
    }
    return figures.accuracy_by_size(found, rate) if found else None


def film(models: Sequence[Findings], protocol: str, place: int) -> Figure | None:
    """Draw Fig. 1: frames of an image above the probability of its correct class."""
    known = [model for model in _moving(models, protocol) if place in model.arrays[f"{protocol}/shown"]]
    if not known:
        return None
    frames, positions = _frames(known[0], protocol, place), known[0].arrays[f"{protocol}/positions"]
    curves = {}
    for model in known:
        on_path = np.array_equal(model.arrays[f"{protocol}/positions"], positions)
        if on_path and np.array_equal(_frames(model, protocol, place), frames):  # else the image is a different one
            number = model.arrays[f"{protocol}/shown"].tolist().index(place)
            curves[model.name] = model.arrays[f"{protocol}/curve"][number]
    return figures.film(
        frames,
        known[0].arrays[f"{protocol}/frame_positions"],
        curves,
        positions,
        _along(known[0], protocol),
        f"{protocol}: test image {place}",
        correct_class([model for model in known if model.name in curves], protocol),
        ordered=f"{protocol}/mad" in known[0].metrics,  # mad is measured only where frames come in small steps
    )


def _frames(model: Findings, protocol: str, place: int) -> np.ndarray:
    return model.arrays[f"{protocol}/frames"][model.arrays[f"{protocol}/shown"].tolist().index(place)]


def feature_maps(models: Sequence[Findings], protocol: str, of: str) -> Figure | None:
    """Draw Fig. 3: for some layers of one model, the map that responds most to an image, in each frame."""
    (model,) = (model for model in models if model.name == of)
    prefix = f"{protocol}/maps/"
    maps = {key.removeprefix(prefix): values[0] for key, values in model.arrays.items() if key.startswith(prefix)}
    if not maps:
        return None
    frames, positions = (model.arrays[f"{protocol}/{name}"] for name in ("frames", "frame_positions"))
    return figures.feature_maps(maps, frames[0], positions, _along(model, protocol), tolerance(model, protocol))


def _moving(models: Sequence[Findings], protocol: str) -> list[Findings]:
    """Return the models measured at several frames. A path of a single frame has no curve to draw."""
    return [model for model in models if len(model.arrays.get(f"{protocol}/positions", ())) > 1]


def _along(model: Findings, protocol: str) -> str:
    return str(model.arrays[f"{protocol}/along"])


BY_PROTOCOL: dict[str, Callable[..., Figure | None]] = {
    "probability": correct_probability,
    "nonshiftability": nonshiftability,
    "accuracy": partial(rate_by_size, rate="accuracy"),
    "agreement": partial(rate_by_size, rate="agreement"),
}
