"""Content of the page: table, plots and shift explorer of each data set. Needs no torch."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lit_shift.figures.style import COLOURS
from lit_shift.results.images import Shown, all_shown, by_images
from lit_shift.results.page import cost_plots, paths, plots, zhang
from lit_shift.results.page.pictures import picture
from lit_shift.results.page.table import alone, number, plain, table
from lit_shift.results.rows import against, costs
from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import of_cifar10


def content(
    models: Sequence[Findings],
    rows: pd.DataFrame,
    unfinished: Sequence[tuple[str, str]],
    compared: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return the argument of :func:`lit_shift.results.page.render.render`.

    ``sets`` has an entry for each set of test images. Different sets share no figure.

    Args:
        models: models to be drawn, both runs and external classifiers.
        rows: table of the runs, from :func:`lit_shift.results.rows.costs.with_costs`.
        unfinished: name and state of each run that is in no row.
        compared: differences from a baseline, from :func:`lit_shift.results.rows.against.differences`.
    """
    kinds = {"run": sum(model.trained for model in models), "classifier": sum(not model.trained for model in models)}
    counted = [f"{count} {kind}{'s' * (count != 1)}" for kind, count in kinds.items() if count]
    groups = by_images(models) or {"": []}
    return {
        "title": f"lit_shift: {', '.join(counted) or 'no runs'}",
        "sets": [_set(name, members, rows, unfinished, compared) for name, members in groups.items()],
    }


def _set(
    name: str,
    models: Sequence[Findings],
    all_rows: pd.DataFrame,
    unfinished: Sequence[tuple[str, str]],
    compared: pd.DataFrame | None,
) -> dict[str, Any]:
    """Return the content for models that were measured on the same test images."""
    pens = plots.pens(models)
    by_name = {model.name: model for model in models}
    rows = all_rows.loc[[names[0] in by_name for names in all_rows["runs"]]]
    runs = [by_name[name] for names in rows["runs"] for name in names]
    images, along = _images(runs), paths.content(models, pens)
    shown: dict[str, Any] = {
        "equivariance": zhang.equivariance(runs),
        "variation": zhang.variation(runs, pens),
        "tv": zhang.tv(runs, pens),
        "explorer": _explorer(runs, images),
    }
    plotted = [*shown["equivariance"], *shown["explorer"]["runs"], shown["variation"], shown["tv"]]
    drawn = Counter(name for name, titles in along["titles"].items() if titles) + Counter(
        name for each in plotted for name in each["has"]
    )
    counts = [[number(run.metrics.get(f"test/{key}"), 0) for key in ("images", "shifts")] for run in runs]
    measured = dict.fromkeys(f"{images} images at {shifts} shifts" for images, shifts in counts)
    return shown | {
        "name": name,
        "measured": f"Measured on {'; '.join(measured)}." if measured else "",
        "pens": pens,
        "runs": [run.name for run in runs],
        "plane": zhang.plane(rows, any(of_cifar10(run.config) for run in runs)),
        "course": zhang.course(runs, pens),
        "stability": zhang.stability(runs, images, pens),
        "table": table(rows, unfinished, drawn),
        "against": {} if compared is None else _against(compared, rows),
        "costs": [plain(each) for each in costs.tables(rows)],
        "cost_plots": cost_plots.content(rows),
        "elsewhere": alone([model for model in models if not model.trained], along["titles"]),
        "paths": along,
    }


def _against(compared: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the tables of differences among some rows, and sentences on those without a baseline; empty if neither."""
    ours = compared[[names in rows["runs"].tolist() for names in compared["runs"]]]
    tables, lonely = [plain(each) for each in against.tables(ours, rows)], against.alone(compared, rows)
    return {"baseline": compared["baseline"].iloc[0], "tables": tables, "alone": lonely} if tables or lonely else {}


def _kept(run: Findings) -> list[int]:
    """Return the images with answers at every shift. The page stores a class as a byte, so 256 classes are the most."""
    return run.arrays["shown"].tolist() if "shown" in run.arrays and len(run.config["classes"]) <= 256 else []


def _images(runs: Sequence[Findings]) -> dict[int, Shown]:
    """Return the images saved by the runs, in decreasing order of the number of runs that saved them."""
    count, images = Counter(place for run in runs for place in _kept(run)), all_shown(runs)
    return {place: images[place] for place in sorted(count, key=lambda place: (-count[place], place))}


def _explorer(runs: Sequence[Findings], images: Mapping[int, Shown]) -> dict[str, Any]:
    """Return the images of the explorer and each run's answers at all shifts."""
    orbits = {run.name: dict(zip(_kept(run), run.arrays.get("probabilities", ()), strict=False)) for run in runs}
    images = {place: image for place, image in images.items() if any(place in kept for kept in orbits.values())}
    classes = list(runs[0].config["classes"]) if runs else []
    return {
        "images": {
            place: {"label": image.label, "name": image.name, "picture": picture(image.pixels)}
            for place, image in images.items()
        },
        "classes": classes,
        "colours": COLOURS if len(classes) <= len(COLOURS) else _wheel(len(classes)),
        "size": next((image.pixels.shape[1:] for image in images.values()), (1, 1)),
        "runs": [
            {"name": name, "has": [name], "answers": {place: _answers(values) for place, values in kept.items()}}
            for name, kept in orbits.items()
            if kept
        ],
    }


def _wheel(count: int) -> list[str]:
    """Return colours in steps of the golden angle, so that successive ones differ."""
    return [f"hsl({k * 137.5 % 360:g} {55 + k % 2 * 20}% {45 + k % 3 * 10}%)" for k in range(count)]


def _answers(probabilities: np.ndarray) -> dict[str, str]:
    """Encode probabilities (H, W, K) and the most probable classes (H, W) in base64, one byte per value."""
    levels = {"probabilities": np.rint(255 * np.nan_to_num(probabilities)), "predictions": probabilities.argmax(-1)}
    return {key: base64.b64encode(values.astype(np.uint8).tobytes()).decode() for key, values in levels.items()}
