"""Photographer's bias, whether objects are uniformly placed and sized: ``python -m lit_shift.bias``; see ``--help``.

If objects were anywhere and of any size, a network could learn invariance from data. So two null hypotheses are tested
for each category: that a box's centre, in units of its image's width and height, is uniform over the unit square, and
that its height, in units of its image's, is uniform over (0, 1]. As in the paper, boxes count as independent and the
two hypotheses are apart, although a large box cannot have its centre near a border. Needs no torch.

Source: Azulay & Weiss, section 4 and Fig. 5.
"""

import json
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
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
from scipy.stats import chisquare

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
MOST_BINS = 50  # the counts of a thousand categories then take 200 MB
SHOWN = 5  # categories in figures, and at either end of tables

HELP = f"""\
Test whether the objects of a data set are uniformly placed and sized, category by category (Azulay & Weiss, Fig. 5).

  python -m lit_shift.bias boxes=PATH out=FOLDER

PATH is a folder tree of XML files, as ImageNet gives its boxes, or one such file; COCO's instances_*.json; or a CSV
file, in pixels, with the header {",".join(boxes.COLUMNS)}.
FOLDER gets bias.json, figures/position.png and figures/size.png.

== Switches (name=value) ==

boxes     where the boxes are
out       folder of the results [bias]
bins      bins an axis: 5 are 5 x 5 for the centre, 5 for the height; a test needs {LEAST_EXPECTED} boxes a bin [5]
skip_bad  leave out and count boxes that are empty or reach outside their image: true, false [false]
"""


@dataclass
class Options:
    """The switches."""

    boxes: Path
    out: Path = Path("bias")
    bins: int = 5
    skip_bad: bool = False


class Tally:
    """Counts of boxes of each category by where their centre is and how high they are.

    Args:
        bins: of each axis.
    """

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.position: dict[str, Array] = defaultdict(lambda: np.zeros((bins, bins), np.int64))
        self.size: dict[str, Array] = defaultdict(lambda: np.zeros(bins, np.int64))
        self.skipped = 0

    def add(self, box: Box) -> None:
        """Count a box that lies in its image."""
        row = self._bin((box.ymin + box.ymax) / 2, box.height)
        column = self._bin((box.xmin + box.xmax) / 2, box.width)
        self.position[box.category][row, column] += 1
        self.size[box.category][self._bin(box.ymax - box.ymin, box.height)] += 1

    def skip(self, flaw: str) -> None:
        """Count a box that is left out."""
        self.skipped += 1

    def _bin(self, length: float, whole: float) -> int:
        return math.ceil(self.bins * length / whole) - 1  # open below, so that the last one holds the whole


class Uniformity(NamedTuple):
    """Chi-square tests: statistics and p-values, (C,) each; NaN where there are too few counts."""

    statistic: Array
    p: Array


def uniformity(counts: Array) -> Uniformity:
    """Chi-square tests of whether counts are uniform over bins.

    Args:
        counts: (C, ...), the counts of C tests in two bins or more.
    """
    counts = counts.reshape(len(counts), -1)
    enough = counts.mean(1) >= LEAST_EXPECTED
    statistic, p = np.full((2, len(counts)), np.nan)
    statistic[enough], p[enough] = chisquare(counts[enough], axis=1)
    return Uniformity(statistic, p)


class Bias(NamedTuple):
    """What is found: the names of C categories, then an entry for each of them and at the end one for all boxes.

    ``boxes`` (C + 1,). ``counts`` over the bins' parts, :data:`FINER` an axis: ``position`` (C + 1, b, b) and ``size``
    (C + 1, b). ``tests`` of the same names are over the bins.
    """

    bins: int
    skipped: int
    categories: list[str]
    boxes: Array
    counts: dict[str, Array]
    tests: dict[str, Uniformity]

    @classmethod
    def of(cls, tally: Tally) -> "Bias":
        """Test what was counted: at least one box, over the bins' parts."""
        categories = sorted(tally.size)
        counts = {}
        for name, found in (("position", tally.position), ("size", tally.size)):
            each = np.stack([found[category] for category in categories])
            counts[name] = np.concatenate([each, each.sum(0, keepdims=True)])
        tests = {name: uniformity(_whole_bins(parts)) for name, parts in counts.items()}
        return cls(tally.bins // FINER, tally.skipped, categories, counts["size"].sum(1), counts, tests)


def _whole_bins(counts: Array) -> Array:
    for axis in range(1, counts.ndim):
        counts = np.add.reduceat(counts, np.arange(0, counts.shape[axis], FINER), axis)
    return counts


def content(bias: Bias) -> dict[str, Any]:
    """What bias.json says; a p-value is null where there are too few boxes for its test."""
    entries: list[dict[str, float | None]] = [{"n": int(n)} for n in bias.boxes]
    for name, test in bias.tests.items():
        for entry, p in zip(entries, test.p.tolist(), strict=True):
            entry[f"p_{name}"] = None if math.isnan(p) else p
    *categories, everything = entries
    return {
        "boxes": everything["n"],
        "skipped": bias.skipped,
        "bins": bias.bins,
        "tested": {name: int(np.isfinite(test.p[:-1]).sum()) for name, test in bias.tests.items()},
        f"below_{THRESHOLD:g}": {name: int((test.p[:-1] < THRESHOLD).sum()) for name, test in bias.tests.items()},
        "all": everything,
        "categories": dict(zip(bias.categories, categories, strict=True)),
    }


def table(bias: Bias, name: str) -> Table:
    """The most and the least biased of the categories tested, and all boxes together."""
    statistic, p = bias.tests[name]
    shown = Table("category", *(Column(head, justify="right") for head in ("boxes", "chi-square", "p")))
    shown.title = f"{name}, from the most to the least biased"
    tested = np.flatnonzero(np.isfinite(p[:-1]))
    order = tested[np.argsort(-statistic[tested], kind="stable")]  # p-values that underflow are in no order
    everything = [-1] if len(order) else []
    for places in (order[:SHOWN], order[max(SHOWN, len(order) - SHOWN) :], everything):
        for place in places:
            label = escape([*bias.categories, "all boxes"][place])
            small = "< 1e-300" if p[place] < 1e-300 else f"{p[place]:.1e}"
            shown.add_row(label, f"{bias.boxes[place]:,}", f"{statistic[place]:,.1f}", small)
        shown.add_section()
    return shown


def summary(bias: Bias) -> list[str]:
    """For each test, how many categories are biased beyond doubt, and which have too few boxes."""
    lines = []
    for name, test in bias.tests.items():
        p = test.p[:-1]
        line = f"{name}: {(p < THRESHOLD).sum():,} of {np.isfinite(p).sum():,} categories have p < {THRESHOLD:g}"
        if few := [category for category, value in zip(bias.categories, p, strict=True) if np.isnan(value)]:
            least = LEAST_EXPECTED * bias.bins ** (bias.counts[name].ndim - 1)
            more = f" and {len(few) - SHOWN:,} more" if len(few) > SHOWN else ""
            line += f"; {len(few):,} not tested, with fewer than {least:,} boxes: {', '.join(few[:SHOWN])}{more}"
        lines.append(f"{line}.")
    return lines


def figures(bias: Bias) -> dict[str, Figure]:
    """The figures by name, of all boxes and the largest categories."""
    shown = [-1, *np.argsort(-bias.boxes[:-1], kind="stable")[:SHOWN]]
    names = [*bias.categories, "all boxes"]
    position, size = ({names[place]: counts[place] for place in shown} for counts in bias.counts.values())
    return {"position": bias_figures.position(position), "size": bias_figures.size(size)}


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
    tally = Tally(options.bins * FINER)
    found = boxes.read(options.boxes, tally.skip if options.skip_bad else _refuse)
    make_folder(options.out, "out")
    console = Console(stderr=True)
    for box in track(found, "reading boxes", console=console, disable=not console.is_terminal, transient=True):
        tally.add(box)
    if not tally.size:
        raise InputError(f"{options.boxes} holds no box" + (" that is not bad." if tally.skipped else "."))
    bias = Bias.of(tally)
    atomic_text(options.out / "bias.json", json.dumps(content(bias), indent=2, allow_nan=False) + "\n")
    for name, figure in figures(bias).items():
        atomic_write(options.out / "figures" / f"{name}.png", partial(figure.savefig, format="png", dpi=150))
    for shown in (table(bias, name) for name in bias.tests):
        if shown.rows:
            show(shown)
    for line in summary(bias):
        print(line)
    if bias.skipped:
        say(f"{bias.skipped:,} boxes were skipped: empty, or reaching outside their image.")
    say(f"written: {options.out}")


def _refuse(flaw: str) -> None:
    raise InputError(f"{flaw} With skip_bad=true such boxes are left out and counted.")


if __name__ == "__main__":
    main()
