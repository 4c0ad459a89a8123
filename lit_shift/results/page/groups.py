"""Groups of models that share plots because they were measured under the same protocol. Needs no torch."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lit_shift.results.path_table import by_protocol
from lit_shift.runs.findings import Findings

MOST_STEPS = 1024  # positions shown of a path; a longer one is thinned out


class Group(NamedTuple):
    """Models measured under a protocol with the same options, and the protocol's title."""

    protocol: str
    title: str
    models: list[Findings]

    def of(self, model: Findings, array: str) -> Any:
        """Return an array of a model under this protocol."""
        return model.arrays[f"{self.protocol}/{array}"]

    @property
    def along(self) -> str:
        """Meaning of the positions along the path."""
        return str(self.of(self.models[0], "along"))

    def deep(self, model: Findings) -> bool:
        """Return True if layers of the model were measured."""
        return f"{self.protocol}/layers" in model.arrays

    def steps(self, model: Findings) -> np.ndarray:
        """Return the indices of the positions that are shown."""
        return thinned(len(self.of(model, "positions")), MOST_STEPS)


def thinned(count: int, most: int) -> np.ndarray:
    """Return the indices of ``count`` items, or of ``most`` evenly spaced ones if there are more."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def grouped(models: Sequence[Findings]) -> list[Group]:
    """Group models by protocol and options."""
    measured = by_protocol(models)
    options = {id: (name, str(model.arrays[f"{name}/options"])) for id, [(model, name), *_] in measured.items()}
    return [
        Group(options[id][0], _title(id, options), [model for model, _ in members]) for id, members in measured.items()
    ]


def _title(id: str, options: Mapping[str, tuple[str, str]]) -> str:
    """Return the protocol's name and the options that distinguish it from others of the same name."""
    name, _ = options[id]
    parts = {key: re.split(r", (?=\w+=)", text) for key, (of, text) in options.items() if of == name}
    own = [part for part in parts[id] if part and any(part not in others for others in parts.values())]
    return f"{name} ({', '.join(own)})" if own else name
