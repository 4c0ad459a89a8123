"""What the page shows of measurements along paths, as plain numbers and text for its JSON. Needs no torch.

What may be long is thinned out evenly, so that a page of many models stays small beside its script.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lit_shift.measures import along_paths
from lit_shift.results.page.render import packed, picture
from lit_shift.results.path_gallery import by_answer, correct_class, interval, layers, tolerance
from lit_shift.results.path_table import by_protocol
from lit_shift.results.remarks import remarks
from lit_shift.runs.findings import Findings, without_old

MOST_STEPS = 1024  # of a path
MOST_ROWS, MOST_CELLS = 256, 24_000  # of a heat map
MOST_FILMED = 40  # images whose frames and feature maps are shown, times models; but one image in any case
MOST_MAPS = 16  # of which the sums are shown
MOST_LINES = 64  # images of which non-shiftability is shown
FRAME_SIDE, MAP_SIDE = 128, 32
KNOWN, MISSING = 254, 255  # bytes: a probability of 1, and one that is not known


def content(models: Sequence[Findings]) -> dict[str, Any]:
    """What :func:`lit_shift.results.page.render.render` is to show of protocols.

    ``protocols`` are in order, each with an ``id``, a shorter ``title``, what is called the ``correct`` class and the
    ``rate`` of frames that get it, and, where layers were looked into, the ``tolerance`` of non-shiftability, which is
    one of the options that tell protocols apart; ``remarks`` are sentences on what to beware of; ``films`` are the
    frames of an image under one of them, those that several models share once; ``models`` have by name what was found
    of them by the protocol's id, and there by the film's number what was found of that image.
    """
    groups = by_protocol(models)
    options = {id: (name, str(model.arrays[f"{name}/options"])) for id, [(model, name), *_] in groups.items()}
    protocols = []
    films: dict[tuple[Any, ...], dict[str, Any]] = {}
    found: dict[str, dict[str, Any]] = {}
    for id, all_members in groups.items():
        members = []
        for model, name in all_members:
            with without_old():
                found.setdefault(model.name, {})[id] = _measured(model, name) | {"films": {}}
                members.append((model, name))
        if not members:
            continue
        pictured = Counter(place for model, name in members for place in _pictured(model, name))
        shown = [place for place, _ in pictured.most_common(max(1, MOST_FILMED // len(members)))]
        for model, name in members:
            with without_old():
                places = [place for place in _pictured(model, name) if place in shown]
                of_films = {str(_film(films, id, model, name, place)): _shown(model, name, place) for place in places}
                found[model.name][id]["films"] = of_films
        first, name = members[0]
        tolerances = [tolerance(model, name) for model, name in members if f"{name}/layers" in model.arrays]
        protocols.append(
            {
                "id": id,
                "title": _title(id, options),
                "name": name,
                "options": options[id][1],
                "along": found[first.name][id]["along"],
                "correct": correct_class([first], name),
                "rate": _rate(first, name),
                "tolerance": next(iter(tolerances), None),
                "images_left_out": len(pictured) - len(shown),
            }
        )
    return {"protocols": protocols, "remarks": remarks(models), "films": list(films.values()), "models": found}


def _title(id: str, options: Mapping[str, tuple[str, str]]) -> str:
    """The protocol's name, and of its options those that tell it from others of that name."""
    name, _ = options[id]
    parts = {key: re.split(r", (?=\w+=)", text) for key, (of, text) in options.items() if of == name}
    own = [part for part in parts[id] if part and any(part not in others for others in parts.values())]
    return f"{name} ({', '.join(own)})" if own else name


def _measured(model: Findings, protocol: str) -> dict[str, Any]:
    arrays, metrics = model.arrays, model.metrics
    positions, probability = arrays[f"{protocol}/positions"], arrays[f"{protocol}/probability"]
    steps = _thinned(len(positions), MOST_STEPS)
    looked_into = layers(model, protocol) if f"{protocol}/layers" in arrays else []
    rate = _rate(model, protocol)
    rates = {
        name: _rounded(arrays[f"{protocol}/{rate}_{name}"][steps], 4)
        for name in ("top1", "top5")
        if f"{protocol}/{rate}_{name}" in arrays
    }
    return {
        "along": str(arrays[f"{protocol}/along"]),
        "data": model.config["choices"]["data"],
        "images": metrics.get(f"{protocol}/n", len(probability)),
        "complete": metrics.get(f"{protocol}/complete", 1) == 1,
        "measures": {
            measure: list(interval(model, f"{protocol}/{measure}"))
            for of_top in along_paths(metrics).values()
            for measure in (each.name for each in of_top)
            if f"{protocol}/{measure}" in metrics
        },
        "steps": len(positions),
        "positions": positions[steps].tolist(),
        "heat": _heat(probability[:, steps], arrays[f"{protocol}/places"]) if len(positions) > 1 else None,
        "layers": {
            "names": [layer.layer for layer in looked_into],
            "depths": [layer.depth for layer in looked_into],
            "pools": [layer.pool for layer in looked_into],
            "intervals": [_rounded(layer.interval, 3) for layer in looked_into],
            "images": _rounded(_by_image(model, protocol), 2) if looked_into else [],
        },
        "rates": rates,
    }


def _rate(model: Findings, protocol: str) -> str:
    return "agreement" if by_answer(model, protocol) else "accuracy"


def _by_image(model: Findings, protocol: str) -> np.ndarray:
    """Non-shiftability of evenly many of the images, in the layers that were looked into."""
    by_image = model.arrays[f"{protocol}/nonshiftability_by_image"]
    return by_image[_thinned(len(by_image), MOST_LINES)]


def _heat(probability: np.ndarray, places: np.ndarray) -> dict[str, Any]:
    """Rows (N, S) sorted by their sum, the largest first."""
    order = np.argsort(-np.nansum(probability, axis=1), kind="stable")
    rows = order[_thinned(len(order), min(MOST_ROWS, MOST_CELLS // probability.shape[1]))]
    kept = probability[rows]
    levels = np.where(np.isnan(kept), MISSING, np.rint(KNOWN * np.nan_to_num(kept)))
    return {"places": places[rows].tolist(), "levels": packed(levels)}


def _pictured(model: Findings, protocol: str) -> list[int]:
    """The images that are shown moving; on a path of one frame nothing moves."""
    moving = len(model.arrays[f"{protocol}/positions"]) > 1
    return model.arrays[f"{protocol}/shown"].tolist() if moving and f"{protocol}/frames" in model.arrays else []


def _film(films: dict[tuple[Any, ...], dict[str, Any]], id: str, model: Findings, protocol: str, place: int) -> int:
    """The number of the film of this image under this protocol, among those that there are so far and itself."""
    frames = model.arrays[f"{protocol}/frames"][_pictured(model, protocol).index(place)]
    path, positions = (model.arrays[f"{protocol}/{name}"].tolist() for name in ("positions", "frame_positions"))
    key = (id, place, *path, frames.shape, frames.tobytes())
    if key not in films:
        pictures = [picture(frame, FRAME_SIDE) for frame in frames]
        films[key] = {"protocol": id, "place": place, "positions": positions, "frames": pictures}
    return list(films).index(key)


def _shown(model: Findings, protocol: str, place: int) -> dict[str, Any]:
    """The curve of a shown image, the sums of its last feature maps that respond most, and a map of some layers."""
    arrays = model.arrays
    number = _pictured(model, protocol).index(place)
    steps = _thinned(len(arrays[f"{protocol}/positions"]), MOST_STEPS)
    sums = arrays[f"{protocol}/sums"][number] if f"{protocol}/sums" in arrays else np.empty((len(steps), 0))
    strongest = np.argsort(-sums.mean(0), kind="stable")[:MOST_MAPS]
    prefix = f"{protocol}/maps/"
    return {
        "curve": _rounded(arrays[f"{protocol}/curve"][number][steps], 4),
        "strongest": strongest.tolist(),
        "sums": _rounded(_relative(sums)[steps][:, strongest].T, 3),
        "maps": [
            _maps(key.removeprefix(prefix), np.nan_to_num(maps[number].astype(float), posinf=0, neginf=0))
            for key, maps in arrays.items()
            if key.startswith(prefix)
        ],
    }


def _maps(layer: str, maps: np.ndarray) -> dict[str, Any]:
    """A layer's map at each frame (T, h, w), in bytes between 0 and the largest value."""
    size = maps.shape[1:]
    height, width = (max(1, round(side * min(1, MAP_SIDE / max(size)))) for side in size)
    small = np.stack([np.asarray(_shrunk(map, height, width)) for map in maps])
    levels = np.rint(255 * np.clip(small, 0, None) / (small.max() if small.max() > 0 else 1))
    relative = _rounded(_relative(maps.sum((1, 2))), 3)
    return {"layer": layer, "size": size, "shape": (height, width), "levels": packed(levels), "sums": relative}


def _shrunk(map: np.ndarray, height: int, width: int) -> Image.Image:
    return Image.fromarray(map.astype(np.float32)).resize((width, height), Image.Resampling.BOX)


def _relative(sums: np.ndarray) -> np.ndarray:
    """Relative to their mean along the first axis, NaN where that is 0."""
    mean = sums.mean(0)
    return sums / np.where(mean == 0, np.nan, mean)


def _thinned(count: int, most: int) -> np.ndarray:
    """All of so many places, or ``most`` of them, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def _rounded(values: Any, digits: int) -> Any:
    return np.round(np.asarray(values, float), digits).tolist()
