"""Declarations of all measures, shared by the logs, tables, figures and the page. Needs no torch.

A key in ``metrics.json`` names a measure. A prefix says where it was measured (``test/consistency``, ``embed/mad``), a
second part names its subject (``tv/conv1_1``, ``consistency/pairs``), and a suffix gives the k of a top-k measure
(``accuracy_top5``) or the number of votes (``accuracy_16``). The ends of the 95% interval have the same key followed by
``_ci95_low`` and ``_ci95_high``.

A new measure is a formula in :mod:`lit_shift.functional`, a class in :mod:`lit_shift.metrics`, which lists it by its
name, and a declaration here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import floor, inf, isnan, log10, nan, sqrt
from typing import Any

# Display units. Files hold rates in [0, 1] and tables show them in percent. Variation is a variance in both.
PERCENT, POINTS, VARIANCE, MILLISECONDS = "%", "percentage points", "variance", "ms"
PER_SECOND = "images per second"
# Tables that include a measure: training runs, Zhang's Table 1, measures along paths (and their figure), a network's
# properties, values by layer, test-time augmentation by number of votes.
RUNS, TABLE1, ALONG, NETWORK, BY_LAYER, VOTES = "runs", "table1", "along", "network", "by layer", "votes"
# Kinds of interval: for a mean over images, from lit_shift.intervals.of_mean, or none.
OVER_IMAGES, NONE = "Clopper and Pearson's for a mean over images, by their effective number", ""
ENDS = ("_ci95_low", "_ci95_high")
OF_FRAMES = ("accuracy", "agreement")  # along paths, a fraction of all frames instead of images
TOPS = (1, 5)  # values of k that tables along paths always include


@dataclass(frozen=True)
class Measure:
    """A measure and its presentation.

    Args:
        name: name in keys.
        label: text on axes and in sentences; ``{k}`` is replaced by the k of a top-k measure.
        head: column heading; the name by default.
        unit: display unit: ``PERCENT`` or ``POINTS`` for values that are in [0, 1] in files, ``VARIANCE``,
            ``MILLISECONDS``, ``PER_SECOND``, or empty.
        range: smallest and largest possible value, in file units. The variance of a probability is at most 0.25 over
            all shifts and 0.5 over sampled shifts.
        better: ``higher`` or ``lower``; empty if neither is better.
        interval: kind of 95% interval: ``OVER_IMAGES`` or ``NONE``.
        tables: tables that include the measure.
        tops: True for a measure taken for several k, as ``<name>_top<k>``; ``beyond 1`` if k = 1 is plain ``<name>``.
        definition: for the documentation, in Markdown; the label by default.
    """

    name: str
    label: str
    head: str = ""
    unit: str = ""
    range: tuple[float, float] = (0, inf)
    better: str = ""
    interval: str = NONE
    tables: tuple[str, ...] = ()
    tops: bool | str = False
    definition: str = ""

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
        if self.unit == PER_SECOND:  # in three digits, as speeds vary by more than that
            return f"{float(f'{value:.3g}'):,.10g}"
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


def _measure(name: str, label: str, definition: str = "", **more: Any) -> Measure:
    """Declare a measure; without a definition, the label says it all."""
    return Measure(name, label, definition=definition or label, **more)


_MEAN: dict[str, Any] = {"better": "lower", "interval": OVER_IMAGES}
_SHARE = _MEAN | {"unit": PERCENT, "range": (0, 1)}
_RATE = _SHARE | {"better": "higher"}
_OF_TOPS = {"tables": (ALONG,), "tops": True}
_DISTANCE: dict[str, Any] = {"better": "lower", "range": (0, 2), "tables": (BY_LAYER,)}
_SHIFTED, _MOST = (RUNS, TABLE1), (RUNS, TABLE1, ALONG, NETWORK, VOTES)
# One measure is one paragraph.
# fmt: off
_DECLARED = [
    _measure("accuracy", "accuracy",
        "fraction of images, frames or votes whose correct class is the most probable one",
        tables=_MOST, tops="beyond 1", **_RATE),
    _measure("agreement", "agreement with the answer on the whole image",
        "with `class_of=top1`, in place of accuracy: fraction of frames that get the whole image's answer",
        tables=(ALONG, VOTES), tops="beyond 1", **_RATE),
    _measure("accuracy_random", "random accuracy",
        "probability that a uniformly shifted image is classified correctly",
        head="random", tables=_SHIFTED, **_RATE),
    _measure("consistency", "consistency",
        "probability that two independent, uniform shifts of an image get the same class",
        tables=(*_SHIFTED, VOTES), **_RATE),
    _measure("average", "average of accuracy and consistency",
        "mean of accuracy and consistency, in tables only",
        tables=(TABLE1,), **_RATE),  # not in files
    _measure("variation", "variation",
        "variance of the correct class's probability over the shifts of an image",
        tables=(RUNS,), unit=VARIANCE, range=(0, 0.5), **_MEAN),
    _measure("flip_rate", "steps of one pixel at which the answer changes",
        "fraction of the steps of one pixel, vertical or horizontal, at which the most probable class changes",
        **_SHARE),
    _measure("flip_rate_vertical", "vertical steps at which the answer changes", "the same for vertical steps alone",
        **_SHARE),
    _measure("flip_rate_horizontal", "horizontal steps at which the answer changes", "for horizontal ones",
        **_SHARE),
    _measure("flip_rate_diagonal", "diagonal steps at which the answer changes", "for diagonal ones, down and right",
        **_SHARE),
    _measure("jaggedness", "times that the correct class enters or leaves the top {k} along the path",
        **_MEAN | _OF_TOPS),
    _measure("jaggedness_rate", "steps at which the correct class enters or leaves the top {k}",
        "jaggedness per step, shown where paths of different lengths are compared",
        head="jagged steps", **_SHARE | _OF_TOPS),
    _measure("jagged_fraction", "images whose correct class enters or leaves the top {k} at least once",
        head="jagged images", **_SHARE | _OF_TOPS),
    _measure("mad", "mean absolute change of the correct class's probability per step",
        head="MAD", tables=(ALONG,), **_SHARE | {"unit": POINTS}),
    _measure("nonshiftability", "steps of the path at which the sum of a feature map changes",
        "steps at which the sum of a feature map changes by over `tolerance` (20%) of its mean",
        **_MEAN),
    _measure("departures", "frames of the path at which the sum of a feature map departs from its mean",
        "frames at which that sum differs from its mean by over `tolerance` of it",
        **_MEAN),
    _measure("equivariance", "cosine distance between the shifted features and those of the shifted image",
        **_DISTANCE),
    _measure("invariance", "cosine distance between the features and those of the shifted image", **_DISTANCE),
    _measure("lie_derivative", "rate of change per pixel as the image begins to shift",
        "mean absolute rate, per pixel of shift, at which class probabilities change; of a layer, at which its map "
        "departs from shifting with the image, relative to the map",
        tables=(BY_LAYER,), **_MEAN),
    _measure("bandwidth", "root mean square spatial frequency of the images",
        "root mean square spatial frequency of the images about their mean, as a fraction of the Nyquist frequency",
        range=(0, sqrt(2)), interval=OVER_IMAGES),
    _measure("tv", "total variation of the filters", better="lower", tables=(BY_LAYER,)),
    _measure("milliseconds", "milliseconds for an image", unit=MILLISECONDS, better="lower", tables=(VOTES,)),
    _measure("loss", "cross-entropy", better="lower"),
    _measure("lr", "learning rate"),
    _measure("images", "images measured"),
    _measure("n", "images measured"),
    _measure("steps", "frames of the path"),
    _measure("skipped", "images that could not be read, used or answered with finite numbers"),
    _measure("bad", "images not answered with finite numbers"),
    _measure("shifts", "shifts of each image"),
    _measure("exact", "1 where these are all shifts", range=(0, 1)),
    _measure("complete", "1 where these are all images", range=(0, 1)),
    _measure("speed", "speed",
        "`speed/training`, of training steps, and `speed/forward`, of forward passes, on the run's device; "
        "in tables only",
        unit=PER_SECOND, better="higher"),  # in environment.json
    _measure("parameters", "parameters", tables=(NETWORK,)),
    _measure("multiplications", "multiplications",
        "multiplications of a forward pass, an image",
        better="lower", tables=(NETWORK,)),
    _measure("depth", "depth (convolutions and linear layers)",
        "convolutions and linear layers on the longest way through the network", tables=(NETWORK,)),
    _measure("subsampling", "subsampling factor s",
        "s, the product of all strides up to the last map of more than one sample", tables=(NETWORK,)),
    _measure("exact_share", "translations with exact invariance, 1/s²",
        "1/s², the fraction of translations under which invariance can be exact",
        range=(0, 1), tables=(NETWORK,)),
    _measure("copies", "copies for augmentation, s²",
        "s², the shifted copies of each image that augmentation would need instead",
        tables=(NETWORK,)),
]
# fmt: on
MEASURES = {measure.name: measure for measure in _DECLARED}


def standing(table: str) -> list[Measure]:
    """Return the measures of a table, in order of declaration."""
    return [measure for measure in MEASURES.values() if table in measure.tables]


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
    return replace(measure, label=f"{measure.label}, over all frames") if measure.name in OF_FRAMES else measure


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
