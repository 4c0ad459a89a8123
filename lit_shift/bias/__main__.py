"""Test for photographer's bias: ``python -m lit_shift.bias``; see ``--help``.

If objects were anywhere and of any size, a network could learn invariance from data. The null hypothesis is that every
box that fits into an image is equally likely. It is tested for each category in two parts:

- position: given its size, a box is anywhere within its free room, so ``xmin / (W - w)`` and ``ymin / (H - h)`` are
  uniform and independent. A box as wide or as high as its image has no position and is left out of this test.
- size: upper and lower edge are two uniform draws, so the height t, as a fraction of the image's, has the density
  2 (1 - t): an image has room for more small boxes than large ones. A uniform height would be another hypothesis,
  about a photographer who frames the object. It is the literal reading below.

Both are shown beside the literal readings of the paper: that the centre is uniform over the image, which no data can
meet, as boxes lie inside images; and that the height is uniform over (0, 1].

Boxes with edges at whole pixels have only room + 1 positions, and whole heights. Each box adds its exact probability
to the expected count of a bin, so a true hypothesis is rejected as often as it should be, in small images too. Boxes
are treated as independent, as in the paper. Needs no torch.

Source: Azulay & Weiss, section 4 and Fig. 5.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from lit_shift import boxes
from lit_shift.bias import figures as bias_figures
from lit_shift.bias.uniformity import LEAST_EXPECTED, LITERAL, MOST_BINS, TESTS, Bias, Tally
from lit_shift.cli.explain import plain_errors
from lit_shift.figures.style import Array
from lit_shift.utils.command import parsed
from lit_shift.utils.console import say, show
from lit_shift.utils.errors import InputError, at_least, true_or_false, unknown
from lit_shift.utils.files import atomic_text, atomic_write, given, make_folder

THRESHOLD = 1e-10  # from the paper


SHOWN = 5  # categories in figures, and at each end of tables


HELP = f"""\
Test whether the objects of a data set are uniformly placed and sized, category by category (Azulay & Weiss, Fig. 5).

  python -m lit_shift.bias boxes=PATH out=FOLDER

PATH is a folder tree of XML files, as ImageNet gives its boxes, or one such file; COCO's instances_*.json; or a CSV
file, in pixels, with the header {",".join(boxes.COLUMNS)}.
FOLDER gets bias.json, figures/position.png, figures/size.png and figures/centre.png.

Each test is a chi-square test over bins:

  position  the position within the free room, xmin / (W - w) and ymin / (H - h), is uniform; boxes as wide or as high
            as their image have none and are left out
  size      the height is distributed as if every box that fits into the image were equally likely
  centre    literal reading: the centre is uniform over the whole image, which no data can meet
  height    literal reading: the height as a fraction of the image's is uniform

== Switches (name=value) ==

boxes     the annotations
out       folder for the results [bias]
bins      bins per axis: 5 means 5 x 5 for the position, 5 for the height; each must expect {LEAST_EXPECTED} boxes [5]
skip_bad  leave out and count bad boxes (empty, outside their image, incomplete) and bad XML files: true, false [false]
"""


@dataclass
class Options:
    """Switches of the command."""

    boxes: Path
    out: Path = Path("bias")
    bins: int = 5
    skip_bad: bool = False


def content(bias: Bias) -> dict[str, Any]:
    """Content of bias.json. A p-value is null if too few boxes are expected for its test."""
    entries: list[dict[str, float | None]] = [
        {"n": int(n), "without_room": int(roomless)} for n, roomless in zip(bias.boxes, bias.roomless, strict=True)
    ]
    for name, test in bias.tests.items():
        for entry, p in zip(entries, test.p.tolist(), strict=True):
            entry[f"p_{name}"] = None if math.isnan(p) else float(f"{p:.6g}")  # independent of the order of the boxes
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
    """Table of the most and least biased categories and of all boxes together, beside the literal reading."""
    statistic, p = bias.tests[name]
    heads = ("boxes", "chi-square", "p", f"p ({LITERAL[name]})")
    shown = Table("category", *(Column(head, justify="right") for head in heads))
    shown.title = f"{name}, from the most to the least biased"
    tested = np.flatnonzero(np.isfinite(p[:-1]))
    order = tested[np.lexsort((-statistic[tested], p[tested]))]  # the statistic orders p-values that underflow
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
    """Sentences per test: how many categories are significantly biased, and which have too few boxes."""
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
            f"{roomless:,} of {bias.boxes[-1]:,} boxes are as wide or as high as their image: they have no position, "
            "and are left out of that test."
        )
    return lines


def figures(bias: Bias) -> dict[str, Figure]:
    """Figures by name, for all boxes and the largest categories."""
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
    """Run the command."""
    words = sys.argv[1:] if arguments is None else arguments
    with plain_errors("bias"):
        if {"-h", "--help"} & set(words):
            print(HELP, end="")
        else:
            measure(parse(words))


def parse(words: Sequence[str]) -> Options:
    """Parse the switches of a command line.

    Raises:
        InputError: an unknown switch, a value of the wrong type, or no ``boxes``.
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
    options = Options(**typed)
    options.boxes, options.out = given(options.boxes, "boxes"), given(options.out, "out")
    true_or_false("skip_bad", options.skip_bad)
    if at_least(2, "bins", options.bins) > MOST_BINS:
        raise InputError(f"bins={options.bins} must be {MOST_BINS} or less.")
    return options


def measure(options: Options) -> None:
    """Count the boxes, test the counts, print the results and write them to the ``out`` folder.

    Raises:
        InputError: from :func:`lit_shift.boxes.read`, or if there is no box.
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
