"""Findings of models along paths, grouped by protocol. Needs no torch."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from lit_shift.figures.style import ErrorBar
from lit_shift.measures import along_paths, interval_in
from lit_shift.results.images import name_of
from lit_shift.runs.findings import Findings


@dataclass(frozen=True)
class Along:
    """Findings of one model under one protocol; ``each["positions"]`` is an array, ``"layers" in each`` tests for one.

    ``title`` is the protocol's name, with the options that distinguish it from others of the same name.
    """

    model: Findings
    protocol: str
    title: str

    def __contains__(self, array: str) -> bool:
        return f"{self.protocol}/{array}" in self.model.arrays

    def __getitem__(self, array: str) -> Any:
        return self.model.arrays[f"{self.protocol}/{array}"]

    def shown(self, array: str, place: int) -> Any:
        """Return an array's part on a shown image."""
        return self[array][self._kept(place)]

    def _kept(self, place: int) -> int:
        """Return the index of an image among the shown ones."""
        return int(self["shown"].tolist().index(place))

    def metric(self, name: str, default: float = nan) -> float:
        """Return a measured value in file units."""
        return self.model.metrics.get(f"{self.protocol}/{name}", default)

    def interval(self, measure: str) -> ErrorBar:
        """Return a measure and the ends of its interval, NaN for missing values."""
        return ErrorBar(*interval_in(self.model.metrics, f"{self.protocol}/{measure}"))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def data(self) -> str:
        """Name of the data set."""
        return str(self.model.config["choices"]["data"])

    @property
    def described(self) -> str:
        """The protocol's name and all its options."""
        return f"{self.protocol} ({self['options']})" if str(self["options"]) else self.protocol

    @property
    def label(self) -> str:
        """Meaning of the positions along the path."""
        return str(self["along"])

    @property
    def tolerance(self) -> float:
        """Fraction of its mean along the path by which a map's sum must change or depart to count."""
        return float(self["tolerance"])

    @property
    def images(self) -> int:
        """Number of images measured."""
        return int(self.metric("n", len(self["places"])))

    @property
    def moves(self) -> bool:
        """True if there are several frames. A path of a single frame has no curve to draw."""
        return len(self["positions"]) > 1

    @property
    def ordered(self) -> bool:
        """True if frames come in small steps, without which MAD is not measured."""
        return self.measured("mad")

    def measured(self, measure: str) -> bool:
        """Return True if the measure was taken."""
        return f"{self.protocol}/{measure}" in self.model.metrics

    @property
    def rate(self) -> str:
        """``agreement`` with the answer on the whole image if there are no labels, else ``accuracy``."""
        return "agreement" if self.measured("agreement") else "accuracy"

    def image(self, place: int) -> str:
        """Return the name of a shown image."""
        return name_of(place, self._kept(place), self.model.arrays.get(f"{self.protocol}/names", ()))


def grouped(models: Sequence[Findings]) -> list[list[Along]]:
    """Group what was measured along paths by protocol and options, in order of appearance."""
    found: dict[tuple[str, str], list[Findings]] = {}
    for model in models:
        for protocol in model.protocols:
            found.setdefault((protocol, str(model.arrays[f"{protocol}/options"])), []).append(model)
    return [[Along(model, id[0], _title(*id, found)) for model in members] for id, members in found.items()]


def _title(protocol: str, options: str, among: Iterable[tuple[str, str]]) -> str:
    others = [_parts(each) for name, each in among if name == protocol]
    own = [part for part in _parts(options) if any(part not in parts for parts in others)]
    return f"{protocol} ({', '.join(own)})" if own else protocol


def _parts(options: str) -> list[str]:
    return [part for part in re.split(r", (?=\w+=)", options) if part]


def under(models: Sequence[Findings], protocol: str | None = None) -> list[Along]:
    """Return what was measured under a protocol, whatever its options, or under all of them."""
    every = (each for group in grouped(models) for each in group)
    return [each for each in every if protocol in (None, each.protocol)]


def correct_class(members: Iterable[Along]) -> str:
    """Return the term for the correct class, or for its stand-in if there are no labels."""
    names = {"accuracy": "correct class", "agreement": "answer on the whole image"}
    return " or ".join(dict.fromkeys(names[each.rate] for each in members))


def comparable(members: Collection[Along]) -> list[str]:
    """Return the names of the measures that are comparable across models and protocols.

    If paths differ in length, these are rates per step in place of counts.
    """
    lengths = {len(each["positions"]) for each in members if each.ordered}
    left_out = "jaggedness_top" if len(lengths) > 1 else "jaggedness_rate"
    of_tops = along_paths(key for each in members for key in each.model.metrics).values()
    return [each.name for measures in of_tops for each in measures if not each.name.startswith(left_out)]


def films(members: Iterable[Along], only: int | None = None) -> list[tuple[int, list[Along]]]:
    """Return each shown image, or ``only`` one, together with the models that saw the same frames on the same path."""
    found: dict[tuple[Any, ...], list[Along]] = {}
    for each in members:
        shown = each["shown"].tolist() if each.moves and "frames" in each else ()
        for place in (place for place in shown if only in (None, place)):
            frames = each.shown("frames", place)
            found.setdefault((place, *each["positions"].tolist(), frames.shape, frames.tobytes()), []).append(each)
    return [(place, seen) for (place, *_), seen in found.items()]
