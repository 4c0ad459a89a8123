"""Results of one model's measurement: numbers for tables, arrays for figures. Needs no torch."""

import csv
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lit_shift.runs.records import read_config, read_metrics
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_write, read_text

ARRAYS = "arrays.npz"
BY_LAYER = ("nonshiftability", "departures")  # measured under protocols


@dataclass(frozen=True)
class Findings:
    """Measurement of one model.

    ``name`` identifies it; ``config`` is that of its run; ``metrics`` are those of ``metrics.json``; ``history`` has a
    row of numbers per epoch; ``arrays`` are those left by the callbacks (see
    :class:`lit_shift.callbacks.ShiftMeasures`, ``Equivariance`` and ``ShownImages``), read from ``folder``.
    """

    name: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: list[dict[str, float]]
    arrays: Mapping[str, np.ndarray]
    folder: Path | None = None

    @classmethod
    def load(cls, folder: Path, name: str) -> "Findings":
        """Read the folder of a run, or of a measurement of a classifier from elsewhere.

        A run's ``eval/`` adds what only eval.py measures. If eval.py has measured the whole test set again, its arrays
        replace those of the training.

        Raises:
            InputError: a file cannot be read.
        """
        metrics, arrays = read_metrics(folder / "metrics.json"), load_arrays(folder / ARRAYS)
        if (folder / "eval" / "metrics.json").exists():
            again, more = read_metrics(folder / "eval" / "metrics.json"), load_arrays(folder / "eval" / ARRAYS)
            known, whole = {family(key) for key in metrics}, again.get("test/complete") == 1
            metrics |= {key: value for key, value in again.items() if family(key) not in known}
            # Not of the metrics' families: the array ``consistency`` is no reading of ``consistency/...``.
            known = {family(key) for key in arrays}
            arrays |= {key: values for key, values in more.items() if whole or family(key) not in known}
        config, history = read_config(folder / "config.yaml"), read_history(folder / "history.csv")
        return cls(name, config, metrics, history, arrays, folder)

    @property
    def trained(self) -> bool:
        """True for a run of train.py, False for a measurement by eval.py."""
        return "ckpt" not in self.config

    def along_paths(self) -> "Findings":
        """Return only what was measured along paths or by votes."""
        kept = {*self.protocols, *BY_LAYER, "tta"}
        return replace(
            self,
            metrics={key: value for key, value in self.metrics.items() if family(key) in kept},
            arrays={key: value for key, value in self.arrays.items() if family(key) in kept},
        )

    @property
    def protocols(self) -> list[str]:
        """The protocols used for measuring the model, in order."""
        return [key.removesuffix("/positions") for key in self.arrays if key.endswith("/positions")]

    def under(self, prefix: str) -> dict[str, float]:
        """Return the metrics ``<prefix>/<name>`` by name."""
        return {key[len(prefix) + 1 :]: value for key, value in self.metrics.items() if key.startswith(f"{prefix}/")}


def first_by_layer(metrics: Mapping[str, float], protocols: Iterable[str]) -> dict[str, float]:
    """Return ``nonshiftability/<layer>`` and ``departures/<layer>`` of the first protocol that has them."""
    for protocol in protocols:
        prefixes = tuple(f"{protocol}/{kind}/" for kind in BY_LAYER)
        found = (key for key in metrics if key.startswith(prefixes) and "_ci95" not in key)
        if first := {key.removeprefix(f"{protocol}/"): metrics[key] for key in found}:
            return first
    return {}


def family(name: str) -> str:
    """Group of measures and arrays that are measured together: ``embed`` for ``embed/mad``.

    A network's accuracy is measured only along paths, unlike the other ``network/`` entries.
    """
    return "network/accuracy" if name.startswith("network/accuracy") else name.partition("/")[0]


def read_history(path: Path) -> list[dict[str, float]]:
    """Read the rows of a ``history.csv`` without empty cells. Returns no rows if there is no file."""
    if not path.exists():
        return []
    try:
        rows = csv.DictReader(read_text(path).splitlines())
        return [{key: float(cell) for key, cell in row.items() if cell} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed ``.npz``, completely or not at all."""
    content = BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    atomic_write(path, lambda file: file.write(content.getbuffer()))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz``; none if there is no file. Raises an InputError if it is damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged: delete the folder, or measure again into another.") from error
