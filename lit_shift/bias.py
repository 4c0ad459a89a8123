"""Photographer's bias, whether objects are uniformly placed and sized: ``python -m lit_shift.bias``; see ``--help``.

If objects were anywhere and of any size, a network could learn invariance from data. The null hypothesis is that every
box that an image can hold is equally likely. It is tested for each category in two parts:

- position: given its size, a box is anywhere in the room that it has, so ``xmin / (W - w)`` and ``ymin / (H - h)`` are
  uniform and independent. A box as wide or as high as its image has no position and is left out of this test.
- size: the two edges are a uniform draw, so a height of t in units of the image's has the density 2 (1 - t), for an
  image holds more small boxes than large ones. A uniform draw of the height itself would be a second hypothesis, of a
  photographer who fits the frame to the object; it is the literal reading below.

Beside them stands the literal reading: that the centre is uniform over the image, which no data can meet, as boxes lie
inside images, and that the height is uniform over (0, 1].

Edges at whole pixels take whole places only, room + 1 of them, and whole heights. Each box adds to what a bin expects
the exact probability that it has there, so a true hypothesis is rejected as often as it should be in small images too.
Boxes count as independent, as in the paper. Needs no torch.

Source: Azulay & Weiss, section 4 and Fig. 5.
"""

import json
import math
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table
from scipy.stats import chi2

from lit_shift import boxes
from lit_shift.boxes import Box
from lit_shift.cli import plain_errors
from lit_shift.command import parsed
from lit_shift.console import say, show
from lit_shift.errors import InputError, at_least, unknown
from lit_shift.figures import bias as bias_figures
from lit_shift.figures.style import Array
from lit_shift.files import atomic_text, atomic_write, given, make_folder

LEAST_EXPECTED = 5  # counts in a bin, for their statistic to be distributed as chi-square
THRESHOLD = 1e-10  # the paper's
FINER = 3  # figures show a bin in so many parts an axis; odd, so that an odd number of bins has a middle part
MOST_BINS = 25  # the counts of a thousand categories then take 200 MB
SHOWN = 5  # categories in figures, and at either end of tables
CHUNK = 2**16  # boxes that are counted at once

TESTS = {
    "position": "the place in the room that a box has",
    "size": "the height, every box that fits being equally likely",
    "centre": "the centre over the whole image",
    "height": "the height over the image's, every height being equally likely",
}
LITERAL = {"position": "centre", "size": "height"}  # what the paper says word for word

HELP = f"""\
Test whether the objects of a data set are uniformly placed and sized, category by category (Azulay & Weiss, Fig. 5).

  python -m lit_shift.bias boxes=PATH out=FOLDER

PATH is a folder tree of XML files, as ImageNet gives its boxes, or one such file; COCO's instances_*.json; or a CSV
file, in pixels, with the header {",".join(boxes.COLUMNS)}.
FOLDER gets bias.json, figures/position.png, figures/size.png and figures/centre.png.

What is tested, each by chi-square over bins:

  position  the place in the room that a box has, xmin / (W - w) and ymin / (H - h), is uniform; boxes as wide or as
            high as their image have none and are counted out
  size      the height is that of boxes of which every one that fits into the image is equally likely
  centre    read literally: the centre is uniform over the whole image, which no data can meet
  height    read literally: the height in units of the image's is uniform

== Switches (name=value) ==

boxes     where the boxes are
out       folder of the results [bias]
bins      bins an axis: 5 are 5 x 5 for the position, 5 for the height; each must expect {LEAST_EXPECTED} boxes [5]
skip_bad  leave out and count bad boxes (empty, outside their image, incomplete) and bad XML files: true, false [false]
"""


@dataclass
class Options:
    """The switches."""

    boxes: Path
    out: Path = Path("bias")
    bins: int = 5
    skip_bad: bool = False


class Counts:
    """Counts of boxes in bins, and what a hypothesis expects there.

    ``seen`` and ``expected`` (b, ...) are over the bins' parts, :data:`FINER` an axis, as figures show them.
    ``squares`` (bins, ...) is over the bins: the sum over boxes of the squared probability of being there.

    Args:
        axes: 2 of a position, 1 of a height.
        bins: of each axis.
    """

    def __init__(self, axes: int, bins: int) -> None:
        self.seen = np.zeros((bins * FINER,) * axes, np.int64)
        self.expected = np.zeros((bins * FINER,) * axes)
        self.squares = np.zeros((bins,) * axes)

    def add(self, places: Array, chances: Array) -> None:
        """Count N boxes.

        Args:
            places: (N, axes), the part of a bin in which each is.
            chances: (N, axes, b), the probability of each part; the axes are independent.
        """
        np.add.at(self.seen, tuple(places.T), 1)
        self.expected += _products(chances)
        self.squares += _products(chances.reshape(*chances.shape[:2], len(self.squares), FINER).sum(3) ** 2)


def _products(chances: Array) -> Array:
    """The sum over boxes of the outer product of an array an axis."""
    rows = chances[:, 0]
    return rows.sum(0) if chances.shape[1] == 1 else rows.T @ chances[:, 1]


def in_room(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Where boxes lie in the room that they have, of those that have some along both axes.

    Args:
        image: (N, 2), height and width.
        start: (N, 2), the boxes' upper and left edges.
        end: (N, 2), their lower and right ones.
        parts: of [0, 1].

    Returns:
        For each box and axis the part that holds its place, and the probability of each part: ``places`` and
        ``chances`` of :meth:`Counts.add`.
    """
    room = start + (image - end)
    free = (room > 0).all(1)
    start, room = start[free], room[free]
    edges = np.arange(parts + 1)
    before = np.floor(edges * room[..., None] / parts) + (edges > 0)  # so many whole places are not beyond an edge
    whole = (start % 1 == 0) & (room % 1 == 0)
    return _part(start, room, parts), _chances(whole, before / (room[..., None] + 1), edges / parts)


def of_any_box(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Heights of boxes over their image's, where every box that fits is equally likely; as :func:`in_room`."""
    share, heights, total = _heights(image, parts)
    below = heights * (2 * total + 1 - heights) / (total * (total + 1))  # there are total + 1 - h places for a height h
    return _tall(image, start, end, parts, below, share * (2 - share))


def of_any_height(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Heights of boxes over their image's, where every height is equally likely; as :func:`in_room`."""
    share, heights, total = _heights(image, parts)
    return _tall(image, start, end, parts, heights / total, share)


def in_image(image: Array, start: Array, end: Array, parts: int) -> tuple[Array, Array]:
    """Centres of boxes over their image, where every part is equally likely; as :func:`in_room`."""
    return _part((start + end) / 2, image, parts), np.full((*image.shape, parts), 1 / parts)


READINGS: dict[str, tuple[int, Callable[[Array, Array, Array, int], tuple[Array, Array]]]] = {
    "position": (2, in_room),
    "size": (1, of_any_box),
    "centre": (2, in_image),
    "height": (1, of_any_height),
}


def _heights(image: Array, parts: int) -> tuple[Array, Array, Array]:
    """The parts' edges, so many whole heights that are not beyond each, and the image's height."""
    edges, total = np.arange(parts + 1), image[:, :1, None]
    return edges / parts, np.floor(edges * total / parts), total


def _tall(image: Array, start: Array, end: Array, parts: int, whole: Array, anywhere: Array) -> tuple[Array, Array]:
    height, total = (end - start)[:, :1], image[:, :1]
    return _part(height, total, parts), _chances((height % 1 == 0) & (total % 1 == 0), whole, anywhere)


def _part(length: Array, whole: Array, parts: int) -> Array:
    # Open below, so that the last one holds the whole; the first one holds 0 too.
    return np.clip(np.ceil(parts * length / whole) - 1, 0, parts - 1).astype(int)


def _chances(is_whole: Array, whole: Array, anywhere: Array) -> Array:
    """Probabilities of parts, from the distribution at their edges for whole pixels and for any real numbers."""
    return np.diff(np.where(is_whole[..., None], whole, anywhere))


class Tally:
    """Counts of boxes of each category, for each test.

    Args:
        bins: of each axis.
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
        """Count a box that is left out."""
        self.skipped += 1
        self.first_skipped = self.first_skipped or flaw

    @property
    def counts(self) -> dict[str, dict[str, Counts]]:
        """Those of each category, by test."""
        self._count()
        return self._counts

    def _count(self) -> None:
        for category, numbers in self._waiting.items():
            if category not in self._counts:
                self._counts[category] = {name: Counts(axes, self.bins) for name, (axes, _) in READINGS.items()}
            sides, start, end = np.array(numbers).reshape(-1, 3, 2)[:, :, ::-1].swapaxes(0, 1)  # of each (y, x)
            for name, (_, reading) in READINGS.items():
                places, chances = reading(sides, start, end, self.bins * FINER)
                self._counts[category][name].add(places, chances)
        self._waiting.clear()
        self._held = 0


class Fit(NamedTuple):
    """Chi-square tests: statistics and p-values, (C,) each; NaN where too few counts are expected."""

    statistic: Array
    p: Array


def fit(seen: Array, expected: Array, squares: Array) -> Fit:
    """Chi-square tests of whether counts are as expected.

    Where not all that is counted has the same probabilities, counts vary less than chi-square takes them to, and the
    statistic is multiplied for its mean to be right (the first-order correction of Rao & Scott, 1981).

    Args:
        seen: (C, ...), the counts of C tests in bins.
        expected: (C, ...), the sums of the probabilities of being there; bins where they are 0 do not count.
        squares: (C, ...), the sums of their squares.
    """
    seen, expected, squares = (each.reshape(len(each), -1) for each in (seen, expected, squares))
    possible = expected > 0
    freedom = possible.sum(1) - 1
    least = np.where(possible, expected, np.inf).min(1)
    enough = (freedom > 0) & (least > LEAST_EXPECTED * (1 - 1e-9))  # sums are rounded
    expected = np.where(possible, expected, 1)
    mean = freedom + 1 - (squares / expected).sum(1)
    statistic, p = np.full((2, len(seen)), np.nan)
    raw = ((seen - expected) ** 2 / expected * possible).sum(1)
    statistic[enough] = (raw * freedom)[enough] / mean[enough]
    p[enough] = chi2.sf(statistic[enough], freedom[enough])
    return Fit(statistic, p)


class Bias(NamedTuple):
    """What is found: the names of C categories, then an entry for each of them and at the end one for all boxes.

    ``boxes`` (C + 1,), and ``roomless`` those of them that have no position. ``seen`` and ``expected`` by test, over
    the bins' parts, (C + 1, b, b) of positions and (C + 1, b) of heights. ``tests`` are over the bins.
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
        """Test what was counted: at least one box."""
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


def content(bias: Bias) -> dict[str, Any]:
    """What bias.json says; a p-value is null where too few boxes are expected for its test."""
    entries: list[dict[str, float | None]] = [
        {"n": int(n), "without_room": int(roomless)} for n, roomless in zip(bias.boxes, bias.roomless, strict=True)
    ]
    for name, test in bias.tests.items():
        for entry, p in zip(entries, test.p.tolist(), strict=True):
            entry[f"p_{name}"] = None if math.isnan(p) else float(f"{p:.6g}")  # the same in whatever order boxes come
    *categories, everything = entries
    return {
        "boxes": everything["n"],
        "without_room": everything["without_room"],
        "skipped": bias.skipped,
        "bins": bias.bins,
        "tests": TESTS,
        "tested": {name: int(np.isfinite(test.p[:-1]).sum()) for name, test in bias.tests.items()},
        f"below_{THRESHOLD:g}": {name: int((test.p[:-1] < THRESHOLD).sum()) for name, test in bias.tests.items()},
        "all": everything,
        "categories": dict(zip(bias.categories, categories, strict=True)),
    }


def table(bias: Bias, name: str) -> Table:
    """The most and the least biased of the categories tested, and all boxes together; the literal reading beside it."""
    statistic, p = bias.tests[name]
    heads = ("boxes", "chi-square", "p", f"p ({LITERAL[name]})")
    shown = Table("category", *(Column(head, justify="right") for head in heads))
    shown.title = f"{name}, from the most to the least biased"
    tested = np.flatnonzero(np.isfinite(p[:-1]))
    order = tested[np.lexsort((-statistic[tested], p[tested]))]  # p-values that underflow are in no order
    everything = [-1] if len(order) else []
    for places in (order[:SHOWN], order[max(SHOWN, len(order) - SHOWN) :], everything):
        for place in places:
            label = escape([*bias.categories, "all boxes"][place])
            both = (_small(p[place]), _small(bias.tests[LITERAL[name]].p[place]))
            shown.add_row(label, f"{bias.seen[name][place].sum():,}", f"{statistic[place]:,.1f}", *both)
        shown.add_section()
    return shown


def _small(p: float) -> str:
    return "" if math.isnan(p) else "< 1e-300" if p < 1e-300 else f"{p:.1e}"


def summary(bias: Bias) -> list[str]:
    """For each test, how many categories are biased beyond doubt, and which have too few boxes."""
    lines = []
    for name, test in bias.tests.items():
        p = test.p[:-1]
        literal = ", read literally" * (name in LITERAL.values())
        found = f"{(p < THRESHOLD).sum():,} of {np.isfinite(p).sum():,} categories have p < {THRESHOLD:g}"
        line = f"{name} ({TESTS[name]}{literal}): {found}"
        if few := [category for category, value in zip(bias.categories, p, strict=True) if np.isnan(value)]:
            more = f" and {len(few) - SHOWN:,} more" if len(few) > SHOWN else ""
            line += f"; {len(few):,} not tested, as a bin would expect fewer than {LEAST_EXPECTED} boxes: "
            line += f"{', '.join(few[:SHOWN])}{more}"
        lines.append(f"{line}.")
    if roomless := bias.roomless[-1]:
        lines.append(
            f"{roomless:,} of {bias.boxes[-1]:,} boxes are as wide or as high as their image: without room they have "
            "no position, and are left out of that test."
        )
    return lines


def figures(bias: Bias) -> dict[str, Figure]:
    """The figures by name, of all boxes and the largest categories."""
    names = [*bias.categories, "all boxes"]
    shown = {names[place]: place for place in (-1, *np.argsort(-bias.boxes[:-1], kind="stable")[:SHOWN])}

    def densities(name: str) -> dict[str, tuple[Array, Array]]:
        return {label: (bias.seen[name][place], bias.expected[name][place]) for label, place in shown.items()}

    nulls = {"every box equally likely": "size", "every height equally likely": "height"}
    return {
        "position": bias_figures.position(densities("position"), "place in the room that the box has"),
        "size": bias_figures.size(
            {label: bias.seen["size"][place] for label, place in shown.items()},
            {label: bias.expected[name][-1] for label, name in nulls.items()},
        ),
        "centre": bias_figures.position(densities("centre"), "centre of the box / side of the image"),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    words = sys.argv[1:] if arguments is None else arguments
    with plain_errors("bias"):
        if {"-h", "--help"} & set(words):
            print(HELP, end="")
        else:
            measure(parse(words))


def parse(words: Sequence[str]) -> Options:
    """The switches of a command line.

    Raises:
        InputError: a word that is no switch, a value of the wrong type, or no ``boxes``.
    """
    names = [field.name for field in fields(Options)]
    typed: dict[str, Any] = {}
    for override in parsed(words):
        if override.key_or_group not in names:
            raise unknown("switch", override.key_or_group, names)
        if override.is_sweep_override() or override.value() in (None, ""):
            raise InputError(f"{override.input_line!r} is not of the form name=value, such as boxes=PATH.")
        typed[override.key_or_group] = override.value()
    if "boxes" not in typed:
        raise InputError("boxes must be given: type boxes=PATH.")
    try:
        options: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Options), typed))
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key!s}: {str(error.msg).splitlines()[0]}.") from error
    options.boxes, options.out = given(options.boxes), given(options.out)
    if at_least(2, "bins", options.bins) > MOST_BINS:
        raise InputError(f"bins={options.bins} must be {MOST_BINS} or less.")
    return options


def measure(options: Options) -> None:
    """Count the boxes, test the counts, show what is found and write it to the ``out`` folder.

    Raises:
        InputError: what :func:`lit_shift.boxes.read` raises, or no box.
    """
    tally = Tally(options.bins)
    found = boxes.read(options.boxes, tally.skip if options.skip_bad else _refuse)
    make_folder(options.out, "out")
    console = Console(stderr=True)
    for box in track(found, "reading boxes", console=console, disable=not console.is_terminal, transient=True):
        tally.add(box)
    if not tally.counts:
        raise InputError(f"{options.boxes} holds no box" + (" that is not bad." if tally.skipped else "."))
    bias = Bias.of(tally)
    atomic_text(options.out / "bias.json", json.dumps(content(bias), indent=2, allow_nan=False) + "\n")
    for name, figure in figures(bias).items():
        atomic_write(options.out / "figures" / f"{name}.png", partial(figure.savefig, format="png", dpi=150))
    for shown in (table(bias, name) for name in LITERAL):
        if shown.rows:
            show(shown)
    for line in summary(bias):
        print(line)
    if bias.skipped:
        say(f"{bias.skipped:,} boxes, or files that are not XML, were skipped; the first: {tally.first_skipped}")
    say(f"written: {options.out}")


def _refuse(flaw: str) -> None:
    raise InputError(f"{flaw} With skip_bad=true such boxes are left out and counted.")


if __name__ == "__main__":
    main()
