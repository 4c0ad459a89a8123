"""Tests of whether boxes are placed and sized uniformly at random (Azulay & Weiss, section 4)."""

from array import array
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from lit_shift.boxes import Box
from lit_shift.figures.style import Array

LEAST_EXPECTED = 5  # boxes per bin, for the statistic to follow the chi-square distribution


FINER = 3  # parts per bin and axis in figures; odd, so that an odd number of bins has a middle part


MOST_BINS = 25  # with these the counts of a thousand categories take 200 MB


CHUNK = 2**16  # boxes counted at once


TESTS = {
    "position": "the place in the room that a box has",
    "size": "the height, every box that fits being equally likely",
    "centre": "the centre over the whole image",
    "height": "the height over the image's, every height being equally likely",
}


LITERAL = {"position": "centre", "size": "height"}  # the literal readings of the paper


class Counts:
    """Numbers of boxes in bins, and the numbers that a hypothesis expects.

    ``seen`` and ``expected`` (b, ...) are for the parts of bins that figures show, :data:`FINER` per axis. ``squares``
    (bins, ...) is for the bins: the sum over boxes of the squared probability to fall into the bin.

    Args:
        axes: 2 for a position, 1 for a height.
        bins: per axis.
    """

    def __init__(self, axes: int, bins: int) -> None:
        self.seen = np.zeros((bins * FINER,) * axes, np.int64)
        self.expected = np.zeros((bins * FINER,) * axes)
        self.squares = np.zeros((bins,) * axes)

    def add(self, places: Array, chances: Array) -> None:
        """Count N boxes.

        Args:
            places: (N, axes), the part that each box falls into.
            chances: (N, axes, b), the probability of each part. The axes are independent.
        """
        np.add.at(self.seen, tuple(places.T), 1)
        self.expected += _products(chances)
        self.squares += _products(chances.reshape(*chances.shape[:2], len(self.squares), FINER).sum(3) ** 2)


def _products(chances: Array) -> Array:
    """Sum over boxes of the outer product of their arrays for each axis."""
    rows = chances[:, 0]
    return rows.sum(0) if chances.shape[1] == 1 else rows.T @ chances[:, 1]


def in_room(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Positions of boxes within their free room, for boxes with room along both axes.

    Args:
        image: (N, 2), height and width.
        start: (N, 2), the boxes' upper and left edges.
        end: (N, 2), their lower and right edges.
        parts: number of parts of [0, 1].

    Returns:
        For each box and axis the part that it falls into, and the probability of each part: ``places`` and ``chances``
        of :meth:`Counts.add`.
    """
    room = start + (image - end)
    free = (room > 0).all(1)
    start, room = start[free], room[free]
    edges = np.arange(parts + 1)
    before = np.floor(edges * room[..., None] / parts) + (edges > 0)  # number of whole positions up to each edge
    whole = (start % 1 == 0) & (room % 1 == 0)
    return _part(start, room, parts), _chances(whole, before / (room[..., None] + 1), edges / parts)


def of_any_box(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Heights of boxes relative to their images', if every box that fits is equally likely. Like :func:`in_room`."""
    share, heights, total = _heights(image, parts)
    below = heights * (2 * total + 1 - heights) / (total * (total + 1))  # a height h has total + 1 - h positions
    return _tall(image, start, end, parts, below, share * (2 - share))


def of_any_height(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Heights of boxes relative to their images', if every height is equally likely. Like :func:`in_room`."""
    share, heights, total = _heights(image, parts)
    return _tall(image, start, end, parts, heights / total, share)


def in_image(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Centres of boxes relative to their images, if every part is equally likely. Like :func:`in_room`."""
    return _part((start + end) / 2, image, parts), np.full((*image.shape, parts), 1 / parts)


READINGS: dict[str, tuple[int, Callable[[Array, Array, Array, int], tuple[Array, Array]]]] = {
    "position": (2, in_room),
    "size": (1, of_any_box),
    "centre": (2, in_image),
    "height": (1, of_any_height),
}


def _heights(image: Array, parts: int) -> tuple[Array, Array, Array]:
    """Edges of the parts, number of whole heights up to each edge, and the image's height."""
    edges, total = np.arange(parts + 1), image[:, :1, None]
    return edges / parts, np.floor(edges * total / parts), total


def _tall(image: Array, start: Array, end: Array, parts: int, whole: Array, anywhere: Array) -> tuple[Array, Array]:
    height, total = (end - start)[:, :1], image[:, :1]
    return _part(height, total, parts), _chances((height % 1 == 0) & (total % 1 == 0), whole, anywhere)


def _part(length: Array, whole: Array, parts: int) -> Array:
    # Intervals are open below, so that the last one includes the whole; the first one also includes 0.
    return np.clip(np.ceil(parts * length / whole) - 1, 0, parts - 1).astype(int)


def _chances(is_whole: Array, whole: Array, anywhere: Array) -> Array:
    """Probabilities of parts from the distribution at their edges: for whole pixels, or else for real numbers."""
    return np.diff(np.where(is_whole[..., None], whole, anywhere))


class Tally:
    """Counts of boxes by category and test.

    Args:
        bins: per axis.
    """

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.skipped = 0
        self.first_skipped = ""
        self._counts: dict[str, dict[str, Counts]] = {}
        self._waiting: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._held = 0

    def add(self, box: Box) -> None:
        """Count a box that lies in its image."""
        self._waiting[box.category].extend(box[2:8])
        self._held += 1
        if self._held == CHUNK:
            self._count()

    def skip(self, flaw: str) -> None:
        """Count a box that is skipped."""
        self.skipped += 1
        self.first_skipped = self.first_skipped or flaw

    @property
    def counts(self) -> dict[str, dict[str, Counts]]:
        """Counts of each category, by test."""
        self._count()
        return self._counts

    def _count(self) -> None:
        for category, numbers in self._waiting.items():
            if category not in self._counts:
                self._counts[category] = {name: Counts(axes, self.bins) for name, (axes, _) in READINGS.items()}
            sides, start, end = np.array(numbers).reshape(-1, 3, 2)[:, :, ::-1].swapaxes(0, 1)  # each (y, x)
            for name, (_, reading) in READINGS.items():
                places, chances = reading(sides, start, end, self.bins * FINER)
                self._counts[category][name].add(places, chances)
        self._waiting.clear()
        self._held = 0


class Fit(NamedTuple):
    """Chi-square tests: statistics and p-values, (C,) each, NaN if too few boxes are expected."""

    statistic: Array
    p: Array


def fit(seen: Array, expected: Array, squares: Array) -> Fit:
    """Chi-square tests of counts against their expectations.

    If boxes have different probabilities, counts vary less than the chi-square distribution assumes. The statistic is
    rescaled to have the right mean (first-order correction of Rao & Scott, 1981).

    Args:
        seen: (C, ...), the counts in the bins of C tests.
        expected: (C, ...), the sum over boxes of the probability of each bin. Bins with 0 are ignored.
        squares: (C, ...), the sum of these probabilities squared.
    """
    seen, expected, squares = (each.reshape(len(each), -1) for each in (seen, expected, squares))
    possible = expected > 0
    freedom = possible.sum(1) - 1
    least = np.where(possible, expected, np.inf).min(1)
    enough = (freedom > 0) & (least > LEAST_EXPECTED * (1 - 1e-9))  # allow for rounding of the sums
    expected = np.where(possible, expected, 1)
    mean = freedom + 1 - (squares / expected).sum(1)
    statistic, p = np.full((2, len(seen)), np.nan)
    raw = ((seen - expected) ** 2 / expected * possible).sum(1)
    statistic[enough] = (raw * freedom)[enough] / mean[enough]
    p[enough] = chi2.sf(statistic[enough], freedom[enough])
    return Fit(statistic, p)


class Bias(NamedTuple):
    """Results: the names of C categories, then arrays with an entry for each and a last one for all boxes.

    ``boxes`` (C + 1,) and, of these, ``roomless`` without a position. ``seen`` and ``expected`` by test, for the parts
    of bins: (C + 1, b, b) for positions and (C + 1, b) for heights. ``tests`` are for the bins.
    """

    bins: int
    skipped: int
    categories: list[str]
    boxes: Array
    roomless: Array
    seen: dict[str, Array]
    expected: dict[str, Array]
    tests: dict[str, Fit]

    @classmethod
    def of(cls, tally: Tally) -> "Bias":
        """Test the counts of at least one box."""
        counts = tally.counts
        categories = sorted(counts)
        seen, expected, squares = (
            {name: _with_sum([getattr(counts[category][name], part) for category in categories]) for name in TESTS}
            for part in ("seen", "expected", "squares")
        )
        tests = {name: fit(_whole_bins(seen[name]), _whole_bins(expected[name]), squares[name]) for name in TESTS}
        boxes, placed = seen["size"].sum(1), seen["position"].sum((1, 2))
        return cls(tally.bins, tally.skipped, categories, boxes, boxes - placed, seen, expected, tests)


def _with_sum(arrays: list[Array]) -> Array:
    return np.stack([*arrays, sum(arrays)])


def _whole_bins(counts: Array) -> Array:
    for axis in range(1, counts.ndim):
        counts = np.add.reduceat(counts, np.arange(0, counts.shape[axis], FINER), axis)
    return counts
