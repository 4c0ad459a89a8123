"""Declarations of all measures, shared by the logs, tables, figures and the page. Needs no torch.

A key in ``metrics.json`` names a measure. A prefix says where it was measured (``test/consistency``, ``embed/mad``), a
second part names its subject (``tv/conv1_1``, ``consistency/pairs``), and a suffix gives the k of a top-k measure
(``accuracy_top5``) or the number of votes (``accuracy_16``). The ends of the 95% interval have the same key followed by
``_ci95_low`` and ``_ci95_high``.

A new measure is a formula in :mod:`lit_shift.functional`, a class in :mod:`lit_shift.metrics` and a line here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import floor, inf, isnan, log10, nan
from typing import Any

# Display units. Files hold rates in [0, 1] and tables show them in percent. Variation is a variance in both.
PERCENT, POINTS, VARIANCE, MILLISECONDS = "%", "percentage points", "variance", "ms"
# Where a measure is taken: over the shifts of each image, along the vertical circular shift, over the frames of every
# protocol, along the frames of protocols with small steps, or along those frames in each layer.
SHIFTS, CIRCULAR, FRAMES, PATHS, LAYERS_ALONG_PATHS = "shifts", "circular", "frames", "paths", "layers along paths"
# Tables that include a measure: training runs, Zhang's Table 1, measures along paths (and their figure), a network's
# properties, values by layer, test-time augmentation by number of votes.
RUNS, TABLE1, ALONG, NETWORK, BY_LAYER, VOTES = "runs", "table1", "along", "network", "by layer", "votes"
# Kinds of interval: for a mean over images, from lit_shift.intervals.of_mean, or none.
OVER_IMAGES, NONE = "Clopper and Pearson's for a mean over images, by their effective number", ""
ENDS = ("_ci95_low", "_ci95_high")
TOPS = (1, 5)  # values of k that tables along paths always include


@dataclass(frozen=True)
class Measure:
    """A measure and its presentation.

    Args:
        name: name in keys.
        label: text on axes and in sentences; ``{k}`` is replaced by the k of a top-k measure.
        head: column heading; the name by default.
        unit: display unit: ``PERCENT`` or ``POINTS`` for values that are in [0, 1] in files, ``VARIANCE``,
            ``MILLISECONDS``, or empty.
        range: smallest and largest possible value, in file units. The variance of a probability is at most 0.25 over
            all shifts and 0.5 over sampled shifts.
        better: ``higher`` or ``lower``; empty if neither is better.
        interval: kind of 95% interval: ``OVER_IMAGES`` or ``NONE``.
        metric: name of the class in :mod:`lit_shift.metrics` that computes it, if any.
        taken: where that class is applied.
        tables: tables that include the measure.
        tops: True for a measure taken for several k, as ``<name>_top<k>``; ``beyond 1`` if k = 1 is plain ``<name>``.
    """

    name: str
    label: str
    head: str = ""
    unit: str = ""
    range: tuple[float, float] = (0, inf)
    better: str = ""
    interval: str = NONE
    metric: str = ""
    taken: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    tops: bool | str = False

    @property
    def heading(self) -> str:
        """Short column heading."""
        return self.head or self.name

    @property
    def axis(self) -> str:
        """The label and its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def factor(self) -> int:
        """Factor from file units to display units."""
        return 100 if self.unit in (PERCENT, POINTS) else 1

    def of_top(self, k: int) -> "Measure":
        """Return the same measure for the k most probable classes."""
        name = self.name if self.tops == "beyond 1" and k == 1 else f"{self.name}_top{k}"
        return replace(self, name=name, label=self._label(k), head=self.heading)

    def of_tops(self, tops: Iterable[int]) -> "dict[int, Measure]":
        """Return the measure for each k, or only itself, under 1, if it does not depend on k."""
        return {k: self.of_top(k) for k in tops} if self.tops else {1: self}

    def _label(self, k: int) -> str:
        return self.label.format(k=k) if "{k}" in self.label or k == 1 else f"top-{k} {self.label}"

    def written(self, value: float, decimals: int | None = None) -> str:
        """Format a value for display: ``93.21`` (percent), ``0.00130`` (a variance), ``10,000`` (a count), ``-`` (NaN).

        Args:
            value: value in file units.
            decimals: decimals of percentages; four significant digits by default.
        """
        if isnan(value):
            return "-"
        if self.unit == VARIANCE:
            return f"{value:#.3g}"
        if self.factor == 1:
            return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
        return f"{100 * value:.4g}" if decimals is None else f"{100 * value:.{decimals}f}"

    def with_interval(self, mean: float, low: float, high: float) -> str:
        """Format a mean and its interval in display units, as ``15.1 (9.8-20.8)``; ``-`` if the mean is NaN.

        The mean has three significant digits, and the ends have as many decimals.
        """
        if isnan(mean):
            return "-"
        mean, low, high = (self.factor * value for value in (mean, low, high))
        decimals = max(int(self.factor > 1), 2 - floor(log10(abs(mean)))) if mean else 2
        return f"{mean:.{decimals}f}" + ("" if isnan(low) else f" ({low:.{decimals}f}-{high:.{decimals}f})")


def _over_images(
    name: str,
    label: str,
    head: str,
    metric: str,
    taken: tuple[str, ...],
    tables: tuple[str, ...] = (),
    unit: str = "",
    better: str = "lower",
    range: tuple[float, float] | None = None,
    tops: bool | str = False,
) -> Measure:
    """Declare a mean over images; its range is by default [0, 1] in percent, else [0, inf)."""
    range = range or ((0, 1) if unit in (PERCENT, POINTS) else (0, inf))
    return Measure(name, label, head, unit, range, better, OVER_IMAGES, metric, taken, tables, tops)


def _number(name: str, label: str, tables: tuple[str, ...] = (), most: float = inf) -> Measure:
    return Measure(name, label, range=(0, most), tables=tables)


_RATE: dict[str, Any] = {"unit": PERCENT, "better": "higher"}
_AGREE = "agreement with the answer on the whole image"
_TIMES = "times that the correct class enters or leaves the top {k} along the path"
_STEPS = "steps at which the correct class enters or leaves the top {k}"
_IMAGES = "images whose correct class enters or leaves the top {k} at least once"
_CHANGE = "mean absolute change of the correct class's probability per step"
_CHANGED = "steps of the path at which the sum of a feature map changes"
_DEPARTED = "frames of the path at which the sum of a feature map departs from its mean"
_SHIFTED = "cosine distance between the shifted features and those of the shifted image"
_UNSHIFTED = "cosine distance between the features and those of the shifted image"
_SKIPPED = "images that could not be read, used or answered with finite numbers"

_ACCURACY = (RUNS, TABLE1, ALONG, NETWORK, VOTES)
_DECLARED = [
    _over_images("accuracy", "accuracy", "", "Accuracy", (FRAMES,), _ACCURACY, tops="beyond 1", **_RATE),
    _over_images("agreement", _AGREE, "", "Accuracy", (FRAMES,), (ALONG, VOTES), tops="beyond 1", **_RATE),
    _over_images("accuracy_random", "random accuracy", "random", "RandomAccuracy", (SHIFTS,), (RUNS, TABLE1), **_RATE),
    _over_images("consistency", "consistency", "", "Consistency", (SHIFTS,), (RUNS, TABLE1, VOTES), **_RATE),
    _over_images("average", "average of accuracy and consistency", "", "", (), (TABLE1,), **_RATE),  # not in files
    _over_images("variation", "variation", "", "Variation", (SHIFTS,), (RUNS,), VARIANCE, range=(0, 0.5)),
    _over_images("jaggedness", _TIMES, "", "Jaggedness", (CIRCULAR, PATHS), (ALONG,), tops=True),
    _over_images("jaggedness_rate", _STEPS, "jagged steps", "JaggednessRate", (PATHS,), (ALONG,), PERCENT, tops=True),
    _over_images("jagged_fraction", _IMAGES, "jagged images", "JaggedFraction", (PATHS,), (ALONG,), PERCENT, tops=True),
    _over_images("mad", _CHANGE, "MAD", "MAD", (CIRCULAR, PATHS), (ALONG,), POINTS),
    _over_images("nonshiftability", _CHANGED, "", "NonShiftability", (LAYERS_ALONG_PATHS,)),
    _over_images("departures", _DEPARTED, "", "Departures", (LAYERS_ALONG_PATHS,)),
    Measure("equivariance", _SHIFTED, range=(0, 2), better="lower", tables=(BY_LAYER,)),
    Measure("invariance", _UNSHIFTED, range=(0, 2), better="lower", tables=(BY_LAYER,)),
    Measure("tv", "total variation of the filters", better="lower", tables=(BY_LAYER,)),
    Measure("milliseconds", "milliseconds for an image", unit=MILLISECONDS, better="lower", tables=(VOTES,)),
    Measure("loss", "cross-entropy", better="lower"),
    _number("lr", "learning rate"),
    _number("images", "images measured"),
    _number("n", "images measured"),
    _number("steps", "frames of the path"),
    _number("skipped", _SKIPPED),
    _number("bad", "images not answered with finite numbers"),
    _number("shifts", "shifts of each image"),
    _number("exact", "1 where these are all shifts", most=1),
    _number("complete", "1 where these are all images", most=1),
    _number("parameters", "parameters", (NETWORK,)),
    _number("depth", "depth (convolutions and linear layers)", (NETWORK,)),
    _number("subsampling", "subsampling factor s", (NETWORK,)),
    Measure("exact_share", "translations with exact invariance, 1/s²", range=(0, 1), tables=(NETWORK,)),
    _number("copies", "copies for augmentation, s²", (NETWORK,)),
]
MEASURES = {measure.name: measure for measure in _DECLARED}


def standing(table: str) -> list[Measure]:
    """Return the measures of a table, in order of declaration."""
    return [measure for measure in MEASURES.values() if table in measure.tables]


def taken(where: str) -> list[Measure]:
    """Return the measures taken in a given place, in order of declaration."""
    return [measure for measure in MEASURES.values() if where in measure.taken]


def along_paths(keys: Iterable[str] = ()) -> dict[int, list[Measure]]:
    """Return the measures of tables along paths, grouped by k.

    Measures that do not depend on k are under 1.

    Args:
        keys: keys of measured values. Any k in them is added to those of :data:`TOPS`.
    """
    tops = sorted({*TOPS, *(int(found[1]) for key in keys if (found := re.search(r"_top(\d+)$", key)))})
    each = [measure.of_tops(tops) for measure in map(_over_frames, standing(ALONG))]
    return {k: [by_k[k] for by_k in each if k in by_k] for k in tops}


def _over_frames(measure: Measure) -> Measure:
    return replace(measure, label=f"{measure.label}, over all frames") if FRAMES in measure.taken else measure


def measure_of(key: str) -> Measure:
    """Return the measure named by a key of ``metrics.json`` or ``history.csv``; a plain number if none is declared."""
    for part in key.split("/"):
        name, top = re.fullmatch(r"(.*?)(?:_top(\d+)|_\d+)?(?:_ci95_(?:low|high))?", part).group(1, 2)  # type: ignore[union-attr]
        if name in MEASURES:
            return replace(MEASURES[name].of_top(int(top or 1)), name=name)
    return Measure(key, key)


def interval_in(metrics: Mapping[str, float], key: str) -> tuple[float, float, float]:
    """Return a measure and the ends of its interval, in file units; NaN for missing values."""
    mean, low, high = (metrics.get(f"{key}{end}", nan) for end in ("", *ENDS))
    return mean, low, high
