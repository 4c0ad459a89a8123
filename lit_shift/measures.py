"""Every measure, declared once: the logs, tables, figures and the page read what they need from here. Needs no torch.

In ``metrics.json`` a measure stands behind where it was measured, ``test/consistency`` or ``embed/mad``; in front of
what it is of, ``tv/conv1_1`` or ``consistency/pairs``; and in front of how it was asked for, ``accuracy_top5`` or, by a
vote, ``accuracy_16``. The ends of its 95% interval stand beside it, as ``..._ci95_low`` and ``..._ci95_high``.

A new measure is a formula in :mod:`lit_shift.functional`, a class in :mod:`lit_shift.metrics` and a line here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import floor, inf, isnan, log10, nan

# Units. Files hold rates in [0, 1]; people see them in percent. A variation is a variance, wherever it is shown.
PERCENT, POINTS, VARIANCE, MILLISECONDS = "%", "percentage points", "variance", "ms"
# Where a measure is taken: over the shifts of each image; along the vertical circular shift; over the frames of every
# protocol; along the frames of protocols that move in small steps; there, layer by layer.
SHIFTS, CIRCULAR, FRAMES, PATHS, LAYERS_ALONG_PATHS = "shifts", "circular", "frames", "paths", "layers along paths"
# Tables in which it stands: of train.py's runs; Zhang's Table 1; along paths, and the figure of the same; of a network;
# layer by layer; by votes.
RUNS, TABLE1, ALONG, NETWORK, BY_LAYER, VOTES = "runs", "table1", "along", "network", "by layer", "votes"
# How the ends of an interval are made: of a mean over images, by lit_shift.intervals.of_mean; or not at all.
OVER_IMAGES, NONE = "Clopper and Pearson's for a mean over images, by their effective number", ""
ENDS = ("_ci95_low", "_ci95_high")
TOPS = (1, 5)  # of which tables along paths have columns in any case


@dataclass(frozen=True)
class Measure:
    """A measure and how people are told of it.

    Args:
        name: in keys.
        label: on axes and in sentences; ``{k}`` stands for the k of the k most probable classes.
        head: over a column; the name where it is left out.
        unit: ``PERCENT`` or ``POINTS`` of what is in [0, 1] in files, ``VARIANCE``, ``MILLISECONDS``, or none.
        range: the smallest and the largest value that there can be, as in files.
        better: ``higher``, ``lower``, or nothing where neither is.
        interval: how its 95% interval is made: ``OVER_IMAGES`` or ``NONE``.
        metric: its class in :mod:`lit_shift.metrics`, where it is measured through one.
        taken: where it is measured with that class.
        tables: where it stands.
        tops: whether it is asked for every k, as ``<name>_top<k>``; ``beyond 1``: of k = 1 as ``<name>`` alone.
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
        """Short, over a column."""
        return self.head or self.name

    @property
    def axis(self) -> str:
        """The label and its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def factor(self) -> int:
        """By how much people see it multiplied."""
        return 100 if self.unit in (PERCENT, POINTS) else 1

    def of_top(self, k: int) -> "Measure":
        """The same, asked for the k most probable classes."""
        name = self.name if self.tops == "beyond 1" and k == 1 else f"{self.name}_top{k}"
        return replace(self, name=name, label=self._label(k), head=self.heading)

    def of_tops(self, tops: Iterable[int]) -> "dict[int, Measure]":
        """By k; itself, by 1, where it is not asked for several."""
        return {k: self.of_top(k) for k in tops} if self.tops else {1: self}

    def _label(self, k: int) -> str:
        return self.label.format(k=k) if "{k}" in self.label or k == 1 else f"top-{k} {self.label}"

    def written(self, value: float, decimals: int | None = None) -> str:
        """A value for people: ``93.21`` percent, a variance of ``0.00130``, a count of ``10,000``; ``-`` for NaN.

        Args:
            value: as in files.
            decimals: of percentages; four digits where it is left out.
        """
        if isnan(value):
            return "-"
        if self.unit == VARIANCE:
            return f"{value:#.3g}"
        if self.factor == 1:
            return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
        return f"{100 * value:.4g}" if decimals is None else f"{100 * value:.{decimals}f}"

    def with_interval(self, mean: float, low: float, high: float) -> str:
        """``15.1 (9.8-20.8)``: three digits of a mean, and as many decimals of its ends; ``-`` where it is unknown."""
        if isnan(mean):
            return "-"
        mean, low, high = (self.factor * value for value in (mean, low, high))
        decimals = max(int(self.factor > 1), 2 - floor(log10(abs(mean)))) if mean else 2
        return f"{mean:.{decimals}f}" + ("" if isnan(low) else f" ({low:.{decimals}f}-{high:.{decimals}f})")


def _rate(name: str, label: str, head: str = "", **more: object) -> Measure:
    """A share of images or frames, or a probability over them: more is better."""
    return Measure(name, label, head, PERCENT, (0, 1), "higher", OVER_IMAGES, **more)  # type: ignore[arg-type]


def _number(name: str, label: str, tables: tuple[str, ...] = (), most: float = inf) -> Measure:
    return Measure(name, label, range=(0, most), tables=tables)


MEASURES = {
    measure.name: measure
    for measure in (
        _rate(
            "accuracy",
            "accuracy",
            metric="Accuracy",
            taken=(FRAMES,),
            tables=(RUNS, TABLE1, ALONG, NETWORK, VOTES),
            tops="beyond 1",
        ),
        _rate(
            "agreement",
            "agreement with the answer on the whole image",
            metric="Accuracy",
            taken=(FRAMES,),
            tables=(ALONG, VOTES),
            tops="beyond 1",
        ),
        _rate(
            "accuracy_random",
            "random accuracy",
            "random",
            metric="RandomAccuracy",
            taken=(SHIFTS,),
            tables=(RUNS, TABLE1),
        ),
        _rate("consistency", "consistency", metric="Consistency", taken=(SHIFTS,), tables=(RUNS, TABLE1, VOTES)),
        _rate("average", "average of accuracy and consistency", tables=(TABLE1,)),  # in the table alone
        Measure(
            "variation",
            "variation",
            unit=VARIANCE,
            range=(0, 0.5),  # 0.25 over all shifts
            better="lower",
            interval=OVER_IMAGES,
            metric="Variation",
            taken=(SHIFTS,),
            tables=(RUNS,),
        ),
        Measure(
            "jaggedness",
            "times that the correct class enters or leaves the top {k} along the path",
            better="lower",
            interval=OVER_IMAGES,
            metric="Jaggedness",
            taken=(CIRCULAR, PATHS),
            tables=(ALONG,),
            tops=True,
        ),
        Measure(
            "jaggedness_rate",
            "steps at which the correct class enters or leaves the top {k}",
            "jagged steps",
            PERCENT,
            (0, 1),
            "lower",
            OVER_IMAGES,
            metric="JaggednessRate",
            taken=(PATHS,),
            tables=(ALONG,),
            tops=True,
        ),
        Measure(
            "jagged_fraction",
            "images whose correct class enters or leaves the top {k} at least once",
            "jagged images",
            PERCENT,
            (0, 1),
            "lower",
            OVER_IMAGES,
            metric="JaggedFraction",
            taken=(PATHS,),
            tables=(ALONG,),
            tops=True,
        ),
        Measure(
            "mad",
            "mean absolute change of the correct class's probability per step",
            "MAD",
            POINTS,
            (0, 1),
            "lower",
            OVER_IMAGES,
            metric="MAD",
            taken=(CIRCULAR, PATHS),
            tables=(ALONG,),
        ),
        Measure(
            "nonshiftability",
            "steps of the path at which the sum of a feature map changes",
            better="lower",
            interval=OVER_IMAGES,
            metric="NonShiftability",
            taken=(LAYERS_ALONG_PATHS,),
        ),
        Measure(
            "departures",
            "frames of the path at which the sum of a feature map departs from its mean",
            better="lower",
            interval=OVER_IMAGES,
            metric="Departures",
            taken=(LAYERS_ALONG_PATHS,),
        ),
        Measure(
            "equivariance",
            "cosine distance between the shifted features and those of the shifted image",
            range=(0, 2),
            better="lower",
            tables=(BY_LAYER,),
        ),
        Measure(
            "invariance",
            "cosine distance between the features and those of the shifted image",
            range=(0, 2),
            better="lower",
            tables=(BY_LAYER,),
        ),
        Measure("tv", "total variation of the filters", better="lower", tables=(BY_LAYER,)),
        Measure("milliseconds", "milliseconds for an image", unit=MILLISECONDS, better="lower", tables=(VOTES,)),
        Measure("loss", "cross-entropy", better="lower"),
        _number("lr", "learning rate"),
        _number("images", "images measured"),
        _number("n", "images measured"),
        _number("steps", "frames of the path"),
        _number("skipped", "images that could not be read, used or answered with finite numbers"),
        _number("bad", "images not answered with finite numbers"),
        _number("shifts", "shifts of each image"),
        _number("exact", "1 where these are all shifts", most=1),
        _number("complete", "1 where these are all images", most=1),
        _number("parameters", "parameters", (NETWORK,)),
        _number("depth", "depth (convolutions and linear layers)", (NETWORK,)),
        _number("subsampling", "subsampling factor s", (NETWORK,)),
        Measure("exact_share", "translations with exact invariance, 1/s²", range=(0, 1), tables=(NETWORK,)),
        _number("copies", "copies for augmentation, s²", (NETWORK,)),
    )
}


def standing(table: str) -> list[Measure]:
    """The measures of a table, in order."""
    return [measure for measure in MEASURES.values() if table in measure.tables]


def taken(where: str) -> list[Measure]:
    """The measures that are taken somewhere, in order."""
    return [measure for measure in MEASURES.values() if where in measure.taken]


def along_paths(keys: Iterable[str] = ()) -> dict[int, list[Measure]]:
    """The measures of tables along paths, in order, by the k of the k most probable classes, as their labels say.

    Args:
        keys: of what was measured; tells which k there are beside those of :data:`TOPS`.
    """
    tops = sorted({*TOPS, *(int(found[1]) for key in keys if (found := re.search(r"_top(\d+)$", key)))})
    each = [measure.of_tops(tops) for measure in map(_over_frames, standing(ALONG))]
    return {k: [by_k[k] for by_k in each if k in by_k] for k in tops}


def _over_frames(measure: Measure) -> Measure:
    return replace(measure, label=f"{measure.label}, over all frames") if FRAMES in measure.taken else measure


def measure_of(key: str) -> Measure:
    """The measure that a key of ``metrics.json`` or ``history.csv`` is of; one that is not declared is a number."""
    for part in key.split("/"):
        name, top = re.fullmatch(r"(.*?)(?:_top(\d+)|_\d+)?(?:_ci95_(?:low|high))?", part).group(1, 2)  # type: ignore[union-attr]
        if name in MEASURES:
            return replace(MEASURES[name].of_top(int(top or 1)), name=name)
    return Measure(key, key)


def interval_in(metrics: Mapping[str, float], key: str) -> tuple[float, float, float]:
    """A measure and the ends of its interval; NaN for what is not known."""
    mean, low, high = (metrics.get(f"{key}{end}", nan) for end in ("", *ENDS))
    return mean, low, high
