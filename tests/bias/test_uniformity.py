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
from scipy.stats import binom, kstest

from lit_shift.bias import figures as bias_figures
from lit_shift.bias import uniformity
from lit_shift.bias.__main__ import HELP, Options, content, figures, main, summary, table
from lit_shift.bias.uniformity import READINGS, TESTS, Bias, Tally, fit
from lit_shift.boxes import Box
from tests.test_boxes import BOXES, FORMATS, random_boxes, write_csv


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """The command leaves these in the environment."""
    for name in ("HYDRA_FULL_ERROR", "LIT_SHIFT_ERRORS"):
        monkeypatch.setenv(name, "1")


def tally(boxes, bins=5):
    counted = Tally(bins)
    for box in boxes:
        counted.add(box)
    return counted


def bias(boxes, bins=5):
    return Bias.of(tally(boxes, bins))


def placed(category, x, y, height):
    """A narrow box of unit images, at a place in the room that it has."""
    left, top = x * (1 - 0.002), y * (1 - height)
    return Box("", category, 1, 1, left, top, left + 0.002, top + height, "")


def test_chi_square_by_hand():
    def even(counts):
        flat = counts.reshape(len(counts), -1)
        mean = flat.mean(1, keepdims=True) + 0 * flat
        return fit(flat, mean, mean / flat.shape[1])

    tested = even(np.array([[10, 20, 30], [20, 20, 20], [4, 5, 6], [4, 5, 5]]))
    np.testing.assert_allclose(tested.statistic, [(100 + 0 + 100) / 20, 0, 2 / 5, math.nan])
    np.testing.assert_allclose(tested.p, [math.exp(-5), 1, math.exp(-1 / 5), math.nan])  # of two degrees of freedom
    grid = np.array([[[10, 20], [30, 15]], [[0, 0], [0, 0]]])
    five = even(np.array([[5, 10, 15, 20, 25]]))
    assert five.statistic == pytest.approx((100 + 25 + 0 + 25 + 100) / 15)
    x = five.statistic[0]
    assert five.p == pytest.approx(math.exp(-x / 2) * (1 + x / 2))  # of four
    expected = 75 / 4
    by_hand = sum((count - expected) ** 2 for count in (10, 20, 30, 15)) / expected
    np.testing.assert_allclose(even(grid).statistic, [by_hand, math.nan])


def test_chi_square_of_unlike_boxes_has_the_mean_of_chi_square():
    """Of 10 boxes that are in either of two bins and 30 that are in any of three; a fourth bin holds none."""
    alike = np.array([[1 / 2, 1 / 2, 0, 0]] * 10 + [[1 / 3, 1 / 3, 1 / 3, 0]] * 30)
    expected, squares = alike.sum(0, keepdims=True), (alike**2).sum(0, keepdims=True)
    variance = (alike * (1 - alike)).sum(0)
    mean = (variance[:3] / expected[0, :3]).sum()
    seen = np.array([[10, 18, 12, 0]])
    raw = 25 / 15 + 9 / 15 + 4 / 10
    assert fit(seen, expected, squares).statistic == pytest.approx(raw * 2 / mean)
    assert fit(seen, expected, squares).p == pytest.approx(math.exp(-raw / mean))


def part(length, whole, parts):
    """The part of (0, whole] that holds a length, the first one for 0."""
    share = Fraction(length) / Fraction(whole)
    return next(place for place in range(parts) if share <= Fraction(place + 1, parts))


def shares(places, parts):
    return np.bincount(places, minlength=parts) / len(places)


@pytest.mark.parametrize("parts", [2, 5, 15])
@pytest.mark.parametrize("sides", [(1, 2), (3, 7), (6, 5), (8, 30)])
def test_what_is_expected_is_counted_over_every_box_that_fits(parts, sides):
    width, height = sides
    every = [
        (left, top, right, bottom)
        for left in range(width)
        for right in range(left + 1, width + 1)
        for top in range(height)
        for bottom in range(top + 1, height + 1)
    ]
    box = every[len(every) // 3]
    image, start, end = np.array([[[height, width]], [box[1::-1]], [box[:1:-1]]], float)
    wide, high = box[2] - box[0], box[3] - box[1]
    room = (height - high, width - wide)
    places, chances = READINGS["position"][1](image, start, end, parts)
    if min(room) == 0:
        assert (len(places), len(chances)) == (0, 0)
    else:
        assert places.tolist() == [[part(first, free, parts) for first, free in zip(box[1::-1], room, strict=True)]]
        for found, free in zip(chances[0], room, strict=True):
            every_place = [part(k, free, parts) for k in range(free + 1)]
            np.testing.assert_allclose(found, shares(every_place, parts), atol=1e-12)
    for name, heights in (("size", [b[3] - b[1] for b in every]), ("height", range(1, height + 1))):
        places, chances = READINGS[name][1](image, start, end, parts)
        assert places.tolist() == [[part(high, height, parts)]]
        np.testing.assert_allclose(chances[0, 0], shares([part(h, height, parts) for h in heights], parts), atol=1e-12)
    places, chances = READINGS["centre"][1](image, start, end, parts)
    middle = (Fraction(box[1] + box[3], 2), Fraction(box[0] + box[2], 2))
    assert places.tolist() == [[part(middle[0], height, parts), part(middle[1], width, parts)]]
    np.testing.assert_allclose(chances, 1 / parts)


def test_edges_between_pixels_may_be_anywhere():
    box = placed("a", 0.31, 0.72, 0.5)
    edges = np.array([box[2:8]]).reshape(1, 3, 2)[:, :, ::-1].swapaxes(0, 1)
    for name, (axes, reading) in READINGS.items():
        _, (chances,) = reading(*edges, 5)
        triangle = np.array([9, 7, 5, 3, 1]) / 25  # of |u - v|
        np.testing.assert_allclose(chances, [triangle if name == "size" else np.full(5, 0.2)] * axes)


@pytest.mark.parametrize("bins", [2, 3, 5])
def test_tests_are_over_bins_of_which_figures_show_the_parts(bins, monkeypatch):
    boxes = list(random_boxes(3000))
    found = bias(boxes, bins)
    monkeypatch.setattr(uniformity, "FINER", 1)
    whole = bias(boxes, bins)
    assert found.categories == whole.categories == ["cat", "dog"]
    for name in TESTS:
        np.testing.assert_allclose(found.tests[name], whole.tests[name], rtol=1e-9)
        assert np.isfinite(found.tests[name].p).all()
        assert found.seen[name][-1].sum() == found.boxes[-1] - (found.roomless[-1] if name == "position" else 0)


def any_size(low, high):
    """Boxes of which every one that fits is equally likely, in images of random sides."""

    def draw(rng, count):
        sides = rng.integers(low, high + 1, (2, count))
        first = rng.integers(0, sides + 1)
        second = rng.integers(0, sides)
        second += second >= first  # the other edges
        return sides, np.minimum(first, second), np.maximum(first, second)

    return draw


def one_size(image, box):
    def draw(rng, count):
        start = rng.integers(0, np.array(image)[:, None] - np.array(box)[:, None] + 1, (2, count))
        return np.repeat(np.array(image)[:, None], count, 1), start, start + np.array(box)[:, None]

    return draw


def any_height(low, high):
    def draw(rng, count):
        sides = rng.integers(low, high + 1, (2, count))
        box = rng.integers(1, sides + 1)
        start = rng.integers(0, sides - box + 1)
        return sides, start, start + box

    return draw


def between_pixels(rng, count):
    sides = rng.uniform(0.5, 30, (2, count))
    start, end = np.sort(rng.random((2, 2, count)), 0) * sides
    return sides, start, end


@pytest.mark.parametrize(
    ("draw", "tests"),
    [
        (one_size((200, 200), (40, 40)), ["position"]),
        (one_size((7, 9), (6, 5)), ["position"]),
        (any_size(8, 8), ["position", "size"]),
        (any_size(2, 12), ["position", "size"]),
        (any_size(100, 640), ["position", "size"]),
        (any_height(3, 12), ["position", "height"]),
        (between_pixels, ["position", "size"]),
    ],
)
def test_a_true_hypothesis_is_rejected_at_5_percent_5_percent_of_the_time(draw, tests):
    rng = np.random.default_rng(0)
    sets, count = 400, 300
    counted = Tally(3)
    for number in range(sets):
        for numbers in np.concatenate(draw(rng, count)).T.tolist():  # width, height, xmin, ymin, xmax, ymax
            counted.add(Box("", f"{number:03}", *numbers, ""))
    found = Bias.of(counted)
    least, most = binom.ppf([0.0005, 0.9995], sets, 0.05)
    for name in tests:
        assert np.isfinite(found.tests[name].p).all()
        assert least <= (found.tests[name].p[:-1] < 0.05).sum() <= most
    assert (found.tests["centre"].p[:-1] < 0.05).sum() > most  # which no data can meet
    assert found.tests["position"].p[-1] > 1e-3


def test_small_boxes_anywhere_are_not_biased():
    rng = np.random.default_rng(0)
    boxes = [Box("", "a", 200, 200, x, y, x + 40, y + 40, "") for x, y in rng.integers(0, 161, (4000, 2)).tolist()]
    entry = content(bias(boxes))["all"]
    assert entry["p_position"] > 0.01
    assert entry["p_centre"] < 1e-100
    assert entry["p_size"] < 1e-300  # all of one height


def test_bias_is_found_where_it_is():
    rng = np.random.default_rng(1)
    of_kind = {
        "even": lambda: (*rng.random(2), 1 - math.sqrt(rng.random())),
        "centred": lambda: (*rng.normal(0.5, 0.1, 2), 1 - math.sqrt(rng.random())),
        "low": lambda: (rng.random(), 1 - rng.random() ** 3, 1 - math.sqrt(rng.random())),
        "tall": lambda: (*rng.random(2), rng.random()),
    }
    found = content(bias(placed(name, *draw()) for name, draw in of_kind.items() for _ in range(1000)))["categories"]
    biased = {
        name: [entry[f"p_{test}"] < 1e-10 for test in ("position", "size", "height")] for name, entry in found.items()
    }
    assert biased == {
        "even": [False, False, True],
        "centred": [True, False, True],
        "low": [True, False, True],
        "tall": [False, True, False],
    }


def test_p_values_of_uniform_boxes_are_uniform():
    rng = np.random.default_rng(0)
    names, n = [f"{place:03}" for place in range(200)], 400
    found = bias(placed(name, *rng.random(2), 1 - math.sqrt(rng.random())) for name in names for _ in range(n))
    for name in ("position", "size"):
        assert kstest(found.tests[name].p[:-1], "uniform").pvalue > 0.01
        assert found.tests[name].p[-1] > 0.01
    assert content(found)["below_1e-10"] | {"centre": 0} == {"position": 0, "size": 0, "centre": 0, "height": 200}


def test_boxes_without_room_have_no_position_and_are_counted():
    rng = np.random.default_rng(0)
    free = [Box("", "a", 100, 100, x, y, x + 50, y + 50, "") for x, y in rng.integers(0, 51, (200, 2)).tolist()]
    wide, high = free[0]._replace(xmin=0, xmax=100), free[1]._replace(ymin=0, ymax=100)
    whole = wide._replace(ymin=0, ymax=100)
    fraction = Box("", "a", 0.3, 10.1, 0.0, 0.1, 0.3, 0.2, "")  # whose room rounds to no other number than 0
    without = [*[wide] * 7, *[high] * 20, whole, fraction]
    alone, both = content(bias(free)), content(bias([*free, *without]))
    assert alone["all"]["p_position"] == both["all"]["p_position"]
    assert (alone["without_room"], both["without_room"], both["boxes"]) == (0, 29, 229)
    assert both["categories"]["a"]["without_room"] == 29
    assert summary(bias(free))[-1].startswith("height")
    assert summary(bias([*free, *without]))[-1].startswith(
        "29 of 229 boxes are as wide or as high as their image: they have no position"
    )
    none = content(bias([wide] * 500))
    assert none["all"]["p_position"] is None
    assert none["all"]["p_size"] is not None


def test_the_order_of_boxes_and_how_many_are_counted_at_once_change_nothing(monkeypatch):
    boxes = list(random_boxes(1000))
    expected = content(bias(boxes))
    assert content(bias(boxes[::-1])) == expected
    monkeypatch.setattr(uniformity, "CHUNK", 7)
    assert content(bias(boxes)) == expected


def test_categories_with_too_few_boxes_are_named_and_not_tested():
    rng = np.random.default_rng(2)
    counts = {"a": 125, "b": 124, "c": 25, "d": 24, "e": 3, "f": 2, "g": 1, "h": 1}
    found = bias(placed(name, *rng.random(2), rng.random()) for name, n in counts.items() for _ in range(n))
    said = content(found)
    assert {name: entry["n"] for name, entry in said["categories"].items()} == counts
    assert [name for name, entry in said["categories"].items() if entry["p_position"] is not None] == ["a"]
    assert [name for name, entry in said["categories"].items() if entry["p_height"] is not None] == ["a", "b", "c"]
    assert said["tested"] == {"position": 1, "size": 1, "centre": 1, "height": 3}
    assert said["boxes"] == said["all"]["n"] == sum(counts.values())
    position, _, _, height = summary(found)
    assert position == (
        "position (the place in the room that a box has): 0 of 1 categories have p < 1e-10; 7 not tested, as a bin "
        "would expect fewer than 5 boxes: b, c, d, e, f and 2 more."
    )
    assert height.startswith(
        "height (the height over the image's, every height being equally likely, read literally): 0"
    )
    assert height.endswith("5 not tested, as a bin would expect fewer than 5 boxes: d, e, f, g, h.")
    assert len(table(found, "position").rows) == 2  # a, and all boxes
    few = bias([placed("a", 0.5, 0.5, 0.5)])
    assert content(few)["all"] == {"n": 1, "without_room": 0} | {f"p_{name}": None for name in TESTS}
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
    assert out.count("< 1e-300") == 22  # by the literal reading too


def test_figures_hold_densities_relative_to_a_uniform_one():
    seen, expected, heights = np.array([[8, 4], [4, 0]]), np.array([[4, 4], [8, 0]]), np.array([1, 0, 5, 6])
    found = {name: (seen * many, expected * many) for name, many in {"all": 1, "$cat": 4, "dog": 1, "cow": 1}.items()}
    figure = bias_figures.position(found, "place")
    drawn = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in drawn] == ["all (16)", r"\$cat (64)", "dog (16)", "cow (16)"]
    for ax in drawn:
        (image,) = ax.images
        density = image.get_array()
        np.testing.assert_allclose(density.filled(-1), [[2, 1], [1 / 2, -1]])  # where none can be there is none
        assert image.get_extent() == [0, 1, 1, 0]
        np.testing.assert_allclose(image.cmap(image.norm(1)), 1, atol=0.04)  # white
    (image,) = bias_figures.position({"none": (0 * seen, expected)}, "place").axes[0].images
    assert image.get_array().min() == 1 / 8  # the lowest colour
    nulls = {"even": np.ones(4), "falling": np.array([7, 5, 3, 1])}
    (ax,) = bias_figures.size({"all boxes": heights, "dog": heights}, nulls).axes
    shown = {patch.get_label(): patch.get_data() for patch in ax.patches}
    assert list(shown) == ["all boxes (12)", "dog (12)", "even", "falling"]
    for label, counts in zip(shown, (heights, heights, *nulls.values()), strict=True):
        np.testing.assert_allclose(shown[label].values, counts / counts.mean())
        np.testing.assert_allclose(shown[label].edges, [0, 0.25, 0.5, 0.75, 1])


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
        assert "position (the place in the room that a box has): 0 of 3 categories have p < 1e-10." in said.out
        assert "centre (the centre over the whole image, read literally): 3 of 3 categories" in said.out
        assert f"written: {out}" in said.err
        assert sorted(file.relative_to(out).as_posix() for file in out.rglob("*")) == [
            *("bias.json", "figures", "figures/centre.png", "figures/position.png", "figures/size.png")
        ]
        for file in (out / "figures").iterdir():
            with Image.open(file) as image:
                assert min(image.size) > 300
    first, *others = ((out / "bias.json").read_text() for out in outs)
    assert others == [first] * 2
    found = json.loads(first)
    assert found == content(bias(boxes))
    assert found["categories"].keys() == {"cat", "dog", "owl"}
    assert all(
        list(entry) == ["n", "without_room", *(f"p_{name}" for name in TESTS)] for entry in found["categories"].values()
    )
    assert (found["boxes"], found["skipped"], found["bins"]) == (2000, 0, 5)


def test_bad_boxes_are_left_out_on_request(tmp_path, capsys):
    good = list(random_boxes(200))
    bad = [good[0]._replace(xmax=1000), good[1]._replace(ymax=good[1].ymin)]
    path = write_csv(tmp_path / "boxes.csv", [*good[:100], *bad, *good[100:]])
    out = tmp_path / "out"
    assert "With skip_bad=true such boxes are left out and counted." in mistake(capsys, f"boxes={path}", f"out={out}")
    assert not (out / "bias.json").exists()
    main([f"boxes={path}", f"out={out}", "skip_bad=true", "bins=3"])
    err = capsys.readouterr().err
    assert "2 boxes, or files that are not XML, were skipped; the first: " in err
    assert "(xmin " in err
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
    assert "--bins=3: a switch has no dash, type bins=3" in mistake(capsys, f"boxes={path}", "--bins=3")
    assert "bins=many must be a whole number, 2 or more." in mistake(capsys, f"boxes={path}", "bins=many")
    assert "bins=1 must be a whole number, 2 or more." in mistake(capsys, f"boxes={path}", "bins=1")
    assert "bins=26 must be 25 or less." in mistake(capsys, f"boxes={path}", "bins=26")
    assert "skip_bad=maybe must be true or false." in mistake(capsys, f"boxes={path}", "skip_bad=maybe")
    assert "There is no file or folder '${nothing}'" in mistake(capsys, "boxes=${nothing}")
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


def test_memory_is_that_of_the_bins(monkeypatch):
    monkeypatch.setattr(uniformity, "CHUNK", 100)

    def peak(count):
        tracemalloc.start()
        found = tally(random_boxes(count))
        assert sum(counts["size"].seen.sum() for counts in found.counts.values()) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # what is made once
    assert peak(3000) < peak(300) + 20_000
