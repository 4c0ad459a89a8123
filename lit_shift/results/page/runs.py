"""What the page shows of some runs, as plain numbers and text for its JSON. Needs no torch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lit_shift.figures import VARIATION_EDGES, LayerDistance, variation_counts
from lit_shift.filters import family, taps
from lit_shift.results import gallery
from lit_shift.results.comparison import MEASURES, PUBLISHED, agreement, any_published
from lit_shift.results.frame import filter_of
from lit_shift.results.page import paths
from lit_shift.results.page.render import packed, picture
from lit_shift.runs.findings import Findings, without_old
from lit_shift.runs.recipe import of_cifar10


def content(models: Sequence[Findings], rows: pd.DataFrame, unfinished: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The argument of :func:`lit_shift.results.page.render.render`.

    Of each data set, measured on its own test images, ``sets`` have what is shown of one: nothing of another shares a
    picture with it.

    Args:
        models: what is drawn: runs, and classifiers from elsewhere.
        rows: the table, made of the runs.
        unfinished: name and state of each run that is in no row.
    """
    kinds = {"run": [model for model in models if model.trained]}
    kinds["classifier"] = [model for model in models if not model.trained]
    counted = [f"{len(members)} {kind}{'s' * (len(members) != 1)}" for kind, members in kinds.items() if members]
    return {
        "title": f"lit_shift: {', '.join(counted)}",
        "unfinished": [{"run": name, "note": note} for name, note in unfinished],
        "sets": [_set(name, members, rows) for name, members in gallery.by_images(models).items()],
    }


def _set(name: str, models: Sequence[Findings], all_rows: pd.DataFrame) -> dict[str, Any]:
    """What is shown of models that were measured on the same test images."""
    runs, elsewhere = ([model for model in models if model.trained is trained] for trained in (True, False))
    here = {run.name for run in runs}
    rows = all_rows.loc[[names[0] in here for names in all_rows["runs"]]]
    protocols = {name: row.recipe for row in all_rows.itertuples() for name in row.runs}
    # First the images that most runs show.
    count = Counter(place for run in runs for place in _kept(run))
    shown = sorted(count, key=lambda place: (-count[place], place))
    images = {place: gallery.show(runs, place) for place in shown}
    return {
        "name": name,
        "rows": [_row(row) for row in rows.to_dict("records")],
        "foot": [_foot(recipe, members) for recipe, members in rows.groupby("recipe") if any_published(members)],
        "published": [
            {"filter": filter, "family": family(filter), "taps": taps(filter), "aug": aug} | rates
            for (filter, aug), rates in PUBLISHED.items()
            if any(of_cifar10(run.config) for run in runs)
        ],
        "runs": [_run(run, protocols[run.name], shown) for run in runs if run.name in protocols],
        "images": [
            {"index": place, "label": label, "png": picture(pixels)} for place, (pixels, label) in images.items()
        ],
        "classes": list(runs[0].config["classes"]) if runs else [],
        "size": list(next(iter(images.values()))[0].shape[1:]) if images else [],
        "elsewhere": [
            {"id": model.name, "name": model.name, "data": model.config["choices"]["data"]} for model in elsewhere
        ],
        "paths": paths.content(models),
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("pool", "filter", "aug", "n", "notes", "runs")}
    return {
        **kept,
        "family": family(row["filter"]),
        "taps": taps(row["filter"]),
        "protocol": row["recipe"],
        **{
            measure: {
                key: row[f"{measure}{end}"] for key, end in (("mean", ""), ("std", "_std"), ("published", "_published"))
            }
            | {mark: row[f"{measure}_mark"] == mark for mark in ("best", "worst")}
            for measure in MEASURES
        },
    }


def _foot(protocol: Any, rows: pd.DataFrame) -> dict[str, Any]:
    agreements = {measure: agreement(rows, measure) for measure in MEASURES}
    return {
        "protocol": protocol,
        "rows": max((a.rows for a in agreements.values() if a), default=0),
        **{measure: a._asdict() if a else None for measure, a in agreements.items()},
    }


def _run(run: Findings, protocol: str, shown: Sequence[int]) -> dict[str, Any]:
    arrays = run.arrays
    tv, course = run.under("tv"), gallery.filter_tv_course(run)
    orbits = dict(zip(_kept(run), arrays.get("probabilities", ()), strict=False))
    counts = variation_counts(arrays["variation"]).tolist() if "variation" in arrays else None
    distances: dict[str, LayerDistance] = {}
    with without_old():
        distances = gallery.layer_distances(run)
    return {
        "id": run.name,
        "name": run.name,
        "pool": run.config["choices"]["pool"],
        "filter": filter_of(run.config),
        "aug": run.config["aug"],
        "seed": run.config["seed"],
        "protocol": protocol,
        "images": run.metrics.get("test/images"),
        "shifts": run.metrics.get("test/shifts"),
        "variation": run.metrics.get("test/variation"),
        "tv": {
            "layers": list(tv),
            "final": list(tv.values()),
            "epochs": course["epoch"].tolist() if course else [],
            "course": [course[layer].tolist() for layer in tv] if course else [],
        },
        "equivariance": [
            {
                "layer": layer,
                "resolution": list(distance.resolution),
                "top": distance.between_images,
                "map": np.round(distance.by_shift, 5).tolist(),
            }
            for layer, distance in distances.items()
        ],
        "variations": counts and {"edges": VARIATION_EDGES.tolist(), "counts": counts},
        "stability": {
            str(place): np.round(arrays["diagonal"][place], 4).tolist()
            for place in shown
            if place < len(arrays.get("diagonal", ()))
        },
        "probabilities": {str(place): packed(np.rint(255 * values)) for place, values in orbits.items()},
        "predictions": {str(place): packed(values.argmax(-1)) for place, values in orbits.items()},
    }


def _kept(run: Findings) -> list[int]:
    """The images that a run can show at every shift; a class is a byte in the page."""
    return run.arrays["shown"].tolist() if "shown" in run.arrays and len(run.config["classes"]) <= 256 else []
