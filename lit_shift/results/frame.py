"""Finished runs as a DataFrame. Needs no torch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lit_shift.results.gather import gather
from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import of_cifar10, own_pool, recipe
from lit_shift.runs.run import Run


def load(*paths: str | Path) -> pd.DataFrame:
    """Return the finished runs in folders, a row each, in the order in which they ended.

    Columns:

    - ``name``, ``folder`` and ``ended``, when;
    - ``trained``: whether it is a run of train.py, rather than a measurement by eval.py;
    - of runs ``recipe``, what was trained in words; ``pool``, whose options tell pools of one's own apart; ``filter``,
      ``delta`` of plain max pooling and ``-`` where there is none; ``cifar10``, whether the papers' numbers compare;
    - every measure under its key in ``metrics.json``, such as ``test/consistency`` and, for the ends of its 95%
      interval, ``test/consistency_ci95_low`` and ``test/consistency_ci95_high``; see :mod:`lit_shift.measures`;
    - every option of the config, such as ``aug``, ``seed`` and ``optimizer.lr``.

    What a run lacks is missing (NaN).

    Args:
        paths: folders of runs, or folders that hold such at whatever depth.

    Raises:
        InputError: a path that does not exist or holds no run, or no finished run at all.
    """
    return frame(gather(paths)[0])


def frame(models: Sequence[Findings]) -> pd.DataFrame:
    """The same of what is loaded."""
    rows = [_row(model) for model in models]
    # Pools of one's own that share a name and a recipe are told apart by what they do not share.
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
    """The low-pass filter of a run's pool: ``delta`` of plain max pooling, ``-`` where its config names none."""
    return {"max": "delta", "avg": "rect6"}.get(config["choices"]["pool"]) or config["pool"].get("filter", "-")


def _row(model: Findings) -> dict[str, Any]:
    config = model.config
    row: dict[str, Any] = {"name": model.name, "folder": None, "ended": "", "trained": model.trained}
    if model.folder:
        row |= {"folder": str(model.folder), "ended": Run(model.folder).ended}
    if model.trained:
        row |= {"recipe": recipe(config), "pool": config["choices"]["pool"], "filter": filter_of(config)}
        row["cifar10"] = of_cifar10(config)
    return row | dict(model.metrics) | {key: value for key, value in flat(config).items() if key not in row}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config's options by names such as ``trainer.max_epochs``."""
    options: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        options |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return options
