"""DataFrame of finished runs. Needs no torch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from lit_shift.results.gather import gather
from lit_shift.runs.config import flat
from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import of_cifar10, own_pool, recipe
from lit_shift.runs.run import Run

SPEEDS = ("speed/training", "speed/forward")


def load(*paths: str | Path) -> pd.DataFrame:
    """Return the finished runs in folders, one row per run, in the order in which they ended.

    Columns:

    - ``name``, ``folder`` and ``ended``, the time at which it ended;
    - ``trained``: True for a run of train.py, False for a measurement by eval.py;
    - ``speed/training`` and ``speed/forward``, images per second of a training step and of a forward pass, and
      ``device``, which they were measured on;
    - for runs of train.py: ``recipe``, a description of the training; ``pool``, with the options that distinguish
      user-defined pools of the same name; ``filter``, ``delta`` for plain max pooling and ``-`` for a pool without one;
      ``cifar10``, True if the images are CIFAR-10's, for which the papers' numbers are comparable;
    - every measure under its key in ``metrics.json``, such as ``test/consistency`` and, for the ends of its 95%
      interval, ``test/consistency_ci95_low`` and ``test/consistency_ci95_high``; see :mod:`lit_shift.measures`;
    - every option of the config, such as ``aug``, ``seed`` and ``optimizer.lr``.

    Values that a run lacks are NaN.

    Args:
        paths: folders of runs, or folders that contain runs at any depth.

    Raises:
        InputError: a path does not exist or contains no run, or no run is finished.
    """
    return frame(gather(paths)[0])


def frame(models: Sequence[Findings]) -> pd.DataFrame:
    """Return the DataFrame of :func:`load` for runs that are already loaded."""
    rows = [_row(model) for model in models]
    # User-defined pools with the same name and recipe are distinguished by the options in which they differ.
    namesakes = defaultdict(list)
    for row, model in zip(rows, models, strict=True):
        if model.trained:
            namesakes[row["recipe"], row["pool"]].append(own_pool(model.config).items())
    for row, model in zip(rows, models, strict=True):
        if model.trained:
            others = namesakes[row["recipe"], row["pool"]]
            own = [
                f"{k}={v}" for k, v in own_pool(model.config).items() if any((k, v) not in other for other in others)
            ]
            row["pool"] += f" ({', '.join(own)})" if own else ""
    return pd.DataFrame(rows)


def filter_of(config: Mapping[str, Any]) -> str:
    """Return the low-pass filter of a run's pool: ``delta`` for plain max pooling, ``-`` if its config names none."""
    return {"max": "delta", "avg": "rect6"}.get(config["choices"]["pool"]) or config["pool"].get("filter", "-")


def _row(model: Findings) -> dict[str, Any]:
    config = model.config
    row: dict[str, Any] = {"name": model.name, "folder": None, "ended": "", "trained": model.trained, "device": ""}
    row |= dict.fromkeys(SPEEDS, nan)
    if model.folder:
        run = Run(model.folder)
        row |= {"folder": str(model.folder), "ended": run.ended, "device": run.device}
        row |= {f"speed/{kind}": speed for kind, speed in run.images_per_second.items()}
    if model.trained:
        row |= {"recipe": recipe(config), "pool": config["choices"]["pool"], "filter": filter_of(config)}
        row["cifar10"] = of_cifar10(config)
    return row | dict(model.metrics) | {key: value for key, value in flat(config).items() if key not in row}
