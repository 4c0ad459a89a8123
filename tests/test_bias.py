"""``python -m lit_shift.bias``: tests against hand computations, and the command on boxes of known bias."""

import json
import math
import subprocess
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy.stats import kstest

from lit_shift.bias import FINER, HELP, Bias, Options, Tally, content, figures, main, summary, table, uniformity
from lit_shift.boxes import Box
from lit_shift.figures import bias as bias_figures
from tests.test_boxes import BOXES, FORMATS, random_boxes, write_csv


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """The command leaves these in the environment."""
    for name in ("HYDRA_FULL_ERROR", "LIT_SHIFT_ERRORS"):
        monkeypatch.setenv(name, "1")


def tally(boxes, bins=5):
    counted = Tally(bins * FINER)
    for box in boxes:
        counted.add(box)
    return counted


def bias(boxes, bins=5):
    return Bias.of(tally(boxes, bins))


def placed(category, x, y, height):
    """A box of unit images, centred there."""
    return Box("", category, 1, 1, x - 0.001, y - height / 2, x + 0.001, y + height / 2, "")


def test_uniformity_by_hand():
    tested = uniformity(np.array([[10, 20, 30], [20, 20, 20], [4, 5, 6], [4, 5, 5]]))
    np.testing.assert_allclose(tested.statistic, [(100 + 0 + 100) / 20, 0, 2 / 5, math.nan])
    np.testing.assert_allclose(tested.p, [math.exp(-5), 1, math.exp(-1 / 5), math.nan])  # of two degrees of freedom
    grid = np.array([[[10, 20], [30, 15]], [[0, 0], [0, 0]]])
    five = uniformity(np.array([[5, 10, 15, 20, 25]]))
    assert five.statistic == pytest.approx((100 + 25 + 0 + 25 + 100) / 15)
    x = five.statistic[0]
    assert five.p == pytest.approx(math.exp(-x / 2) * (1 + x / 2))  # of four
    expected = 75 / 4
    by_hand = sum((count - expected) ** 2 for count in (10, 20, 30, 15)) / expected
    np.testing.assert_allclose(uniformity(grid).statistic, [by_hand, math.nan])


@pytest.mark.parametrize("bins", [2, 5, 8])
def test_every_box_is_in_the_bin_that_exact_arithmetic_tells(bins):
    def place(length, whole):
        share = Fraction(length) / Fraction(whole)
        (fits,) = (b for b in range(bins) if Fraction(b, bins) < share <= Fraction(b + 1, bins))
        return fits

    for box in [*BOXES, *random_boxes(300)]:
        counted = Tally(bins)
        counted.add(box)
        row, column = place((box.ymin + box.ymax) / 2, box.height), place((box.xmin + box.xmax) / 2, box.width)
        assert np.argwhere(counted.position[box.category]).tolist() == [[row, column]]
        assert np.flatnonzero(counted.size[box.category]).tolist() == [place(box.ymax - box.ymin, box.height)]


@pytest.mark.parametrize("bins", [2, 3, 5])
def test_tests_are_over_bins_of_which_figures_show_the_parts(bins):
    boxes = list(random_boxes(3000))
    found, whole = bias(boxes, bins), Tally(bins)
    for box in boxes:
        whole.add(box)
    assert found.categories == ["cat", "dog"]
    for name, counts in (("position", whole.position), ("size", whole.size)):
        expected = uniformity(np.stack([counts["cat"], counts["dog"], counts["cat"] + counts["dog"]]))
        np.testing.assert_array_equal(found.tests[name], expected)
        assert np.isfinite(expected.p).all()
        assert found.counts[name][-1].sum() == 3000


def test_p_values_of_uniform_boxes_are_uniform_and_those_of_biased_ones_are_not():
    rng = np.random.default_rng(0)
    names, n = [f"{place:03}" for place in range(200)], 400
    even = bias(placed(name, *rng.random(2), rng.random()) for name in names for _ in range(n))
    for test in even.tests.values():
        assert kstest(test.p[:-1], "uniform").pvalue > 0.01
        assert test.p[-1] > 0.01
    assert content(even)["below_1e-10"] == {"position": 0, "size": 0}
    centred = bias(placed(name, *rng.normal(0.5, 0.1, 2), rng.normal(0.5, 0.1)) for name in names for _ in range(n))
    assert content(centred)["below_1e-10"] == {"position": 200, "size": 200}
    assert content(centred)["tested"] == {"position": 200, "size": 200}


def test_position_and_size_are_told_apart():
    rng = np.random.default_rng(1)
    of_kind = {
        "centred": lambda: (*rng.normal(0.5, 0.1, 2), rng.random()),
        "low": lambda: (rng.random(), 1 - rng.random() ** 3, rng.random()),
        "tall": lambda: (*rng.random(2), 1 - rng.random() ** 3),
    }
    found = content(bias(placed(name, *draw()) for name, draw in of_kind.items() for _ in range(500)))["categories"]
    biased = {name: [entry[f"p_{test}"] < 1e-10 for test in ("position", "size")] for name, entry in found.items()}
    assert biased == {"centred": [True, False], "low": [True, False], "tall": [False, True]}


def test_categories_with_too_few_boxes_are_named_and_not_tested():
    rng = np.random.default_rng(2)
    counts = {"a": 125, "b": 124, "c": 25, "d": 24, "e": 3, "f": 2, "g": 1, "h": 1}
    found = bias(placed(name, *rng.random(2), rng.random()) for name, n in counts.items() for _ in range(n))
    said = content(found)
    assert {name: entry["n"] for name, entry in said["categories"].items()} == counts
    assert [name for name, entry in said["categories"].items() if entry["p_position"] is not None] == ["a"]
    assert [name for name, entry in said["categories"].items() if entry["p_size"] is not None] == ["a", "b", "c"]
    assert said["tested"] == {"position": 1, "size": 3}
    assert said["boxes"] == said["all"]["n"] == sum(counts.values())
    position, size = summary(found)
    assert position == (
        "position: 0 of 1 categories have p < 1e-10; 7 not tested, with fewer than 125 boxes: b, c, d, e, f and 2 more."
    )
    assert size.endswith("5 not tested, with fewer than 25 boxes: d, e, f, g, h.")
    assert len(table(found, "position").rows) == 2  # a, and all boxes
    few = bias([placed("a", 0.5, 0.5, 0.5)])
    assert content(few)["all"] == {"n": 1, "p_position": None, "p_size": None}
    assert not table(few, "position").rows


def test_table_is_in_order_of_bias_where_p_values_underflow(capsys):
    names = [f"[{place:02}]" for place in range(12)]
    found = bias(placed(name, 0.5, 0.5, 0.5) for place, name in enumerate(names) for _ in range(1000 + place))
    assert not found.tests["position"].p.any()
    Console().print(table(found, "position"))
    out = capsys.readouterr().out
    shown = [name for name in names if name in out]
    assert shown == names[:5] + names[-5:]
    assert sorted(shown, key=out.index) == shown[::-1]
    assert out.count("< 1e-300") == 11


def test_figures_hold_densities_relative_to_a_uniform_one():
    centres, heights = np.array([[8, 4], [4, 0]]), np.array([1, 0, 5, 6])
    figure = bias_figures.position({"all boxes": centres, "$cat": 4 * centres, "dog": centres, "cow": centres})
    drawn = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in drawn] == ["all boxes (16)", r"\$cat (64)", "dog (16)", "cow (16)"]
    for ax in drawn:
        (image,) = ax.images
        np.testing.assert_allclose(image.get_array(), [[2, 1], [1, 1 / 8]])  # the lowest colour
        assert image.get_extent() == [0, 1, 1, 0]
        np.testing.assert_allclose(image.cmap(image.norm(1)), 1, atol=0.04)  # white
    (ax,) = bias_figures.size({"all boxes": heights, "dog": heights}).axes
    for patch in ax.patches:
        values, edges, _ = patch.get_data()
        np.testing.assert_allclose(values, heights / 3)
        np.testing.assert_allclose(edges, [0, 0.25, 0.5, 0.75, 1])
    (line,) = ax.lines
    assert line.get_label() == "uniform"
    assert set(line.get_ydata()) == {1}


def test_figures_show_all_boxes_and_the_largest_categories():
    found = bias(placed(name, 0.5, 0.5, 0.5) for place, name in enumerate("abcdefgh") for _ in range(place + 1))
    titles = [ax.get_title() for ax in figures(found)["position"].axes if ax.images]
    assert titles == ["all boxes (36)", "h (8)", "g (7)", "f (6)", "e (5)", "d (4)"]


def test_the_command_says_the_same_of_every_format(tmp_path, capsys):
    boxes = list(random_boxes(2000, categories=("cat", "dog", "owl"), images=300))
    outs = [tmp_path / "results" / name for name in FORMATS]
    for out, (name, write) in zip(outs, FORMATS.items(), strict=True):
        main([f"boxes={write(tmp_path / name, boxes)}", f"out={out}"])
        said = capsys.readouterr()
        assert "position: 3 of 3 categories have p < 1e-10." in said.out
        assert f"written: {out}" in said.err
        assert sorted(file.relative_to(out).as_posix() for file in out.rglob("*")) == [
            *("bias.json", "figures", "figures/position.png", "figures/size.png")
        ]
        for file in (out / "figures").iterdir():
            with Image.open(file) as image:
                assert min(image.size) > 300
    first, *others = ((out / "bias.json").read_text() for out in outs)
    assert others == [first] * 2
    found = json.loads(first)
    assert found == content(bias(boxes))
    assert found["categories"].keys() == {"cat", "dog", "owl"}
    assert all(list(entry) == ["n", "p_position", "p_size"] for entry in found["categories"].values())
    assert (found["boxes"], found["skipped"], found["bins"]) == (2000, 0, 5)


def test_bad_boxes_are_left_out_on_request(tmp_path, capsys):
    good = list(random_boxes(200))
    bad = [good[0]._replace(xmax=1000), good[1]._replace(ymax=good[1].ymin)]
    path = write_csv(tmp_path / "boxes.csv", [*good[:100], *bad, *good[100:]])
    out = tmp_path / "out"
    assert "With skip_bad=true such boxes are left out and counted." in mistake(capsys, f"boxes={path}", f"out={out}")
    assert not (out / "bias.json").exists()
    main([f"boxes={path}", f"out={out}", "skip_bad=true", "bins=3"])
    assert "2 boxes were skipped" in capsys.readouterr().err
    assert json.loads((out / "bias.json").read_text()) == content(bias(good, bins=3)) | {"skipped": 2}
    write_csv(path, bad)
    assert "holds no box that is not bad" in mistake(capsys, f"boxes={path}", f"out={out}", "skip_bad=true")


def mistake(capsys, *words):
    with pytest.raises(SystemExit) as exit:
        main(words)
    assert exit.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_mistakes_are_said_in_a_sentence(tmp_path, capsys):
    path = write_csv(tmp_path / "boxes.csv", BOXES)
    assert "boxes must be given: type boxes=PATH." in mistake(capsys)
    assert "boxes must be given" in mistake(capsys, "bins=3")
    assert "Arguments are of the form name=value" in mistake(capsys, path.as_posix())
    assert "'boxes=' is not of the form" in mistake(capsys, "boxes=")
    assert "Unknown switch 'box'. Did you mean 'boxes'? Choices: boxes, out, bins" in mistake(capsys, f"box={path}")
    assert "--bins=3: there is no dash before a switch, type bins=3" in mistake(capsys, f"boxes={path}", "--bins=3")
    assert "bins: Value 'many' of type 'str' could not be" in mistake(capsys, f"boxes={path}", "bins=many")
    assert "bins=1 must be a whole number, 2 or more." in mistake(capsys, f"boxes={path}", "bins=1")
    assert "bins=51 must be 50 or less." in mistake(capsys, f"boxes={path}", "bins=51")
    assert "skip_bad: Value 'maybe' is not a valid bool" in mistake(capsys, f"boxes={path}", "skip_bad=maybe")
    assert "boxes: Interpolation key 'nothing' not found" in mistake(capsys, "boxes=${nothing}")
    assert "There is no file or folder" in mistake(capsys, f"boxes={tmp_path}/none", f"out={tmp_path}/out")
    assert not (tmp_path / "out").exists()
    assert "cannot be written" in mistake(capsys, f"boxes={path}", f"out={path}/inner")
    write_csv(path, [])
    assert "boxes.csv holds no box." in mistake(capsys, f"boxes={path}", f"out={tmp_path}/out")


def test_help_knows_every_switch(capsys):
    main(["--help"])
    assert capsys.readouterr().out == HELP
    switches = [line.split()[0] for line in HELP.partition("==\n\n")[2].splitlines()]
    assert switches == list(Options.__annotations__)


def test_the_command_starts_without_torch(tmp_path):
    write_csv(tmp_path / "boxes.csv", random_boxes(50))
    code = "import sys, runpy; runpy.run_module('lit_shift.bias', run_name='__main__'); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "boxes=boxes.csv"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert out.endswith("False\n")
    assert (tmp_path / "bias" / "bias.json").exists()


def test_memory_is_that_of_the_bins():
    def peak(count):
        tracemalloc.start()
        found = tally(random_boxes(count))
        assert sum(counts.sum() for counts in found.size.values()) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # what is made once
    assert peak(3000) < peak(300) + 20_000
