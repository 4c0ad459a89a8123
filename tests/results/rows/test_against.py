"""Paired differences from a row of Table 1, against literal loops, and how they are told."""

import csv
import io
import json
import math
from statistics import mean

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import ttest_rel

from lit_shift.intervals import of_difference
from lit_shift.results import against, load, writer
from lit_shift.results.__main__ import main
from lit_shift.results.rows.against import MEASURES, alone, differences, for_csv, names_of, tables
from lit_shift.runs.findings import ARRAYS, save_arrays
from lit_shift.utils.errors import InputError
from tests.findings import build, by_image, findings
from tests.results.page.test_paths import model, under
from tests.results.test_results import mistake, save

ENDS = [f"{over}_ci95_{end}" for over in ("", "_seeds") for end in ("low", "high")]


def run(name, arrays=None, **of_config):
    """A run of plain max pooling unless a filter is given."""
    pool = of_config.pop("pool", "blur" if "filter" in of_config else "max")
    return findings(name, arrays=by_image() if arrays is None else arrays, pool=pool, **of_config)


def compared(runs, baseline="blur-tri5"):
    """The differences, and Table 1 of the same runs."""
    rows = build(runs)
    return differences(rows, {run.name: run for run in runs}, baseline), rows


def seeded(name, seeds, first=0, images=150, **of_config):
    arrays = {seed: by_image(first + seed, images) for seed in seeds}
    return [run(f"{name}{seed}", arrays[seed], seed=seed, **of_config) for seed in seeds]


def literal(ours, theirs, measure):
    """Difference, interval over images and interval over seeds, image by image; runs of the same seeds, in order."""
    by_image = []
    for place in range(len(ours[0].arrays["labels"])):
        values = [[float(each.arrays[measure][place]) for each in row] for row in (ours, theirs)]
        by_image.append(mean(one - other for one, other in zip(*values, strict=True)))
    gain, loss = (sum(abs(d) for d in by_image if sign * d > 0) / len(by_image) for sign in (1, -1))
    ends = of_difference(gain, loss, sum(d * d for d in by_image) / len(by_image), len(by_image))
    means = [[float(each.arrays[measure].mean(dtype=float)) for each in row] for row in (ours, theirs)]
    return mean(by_image), *ends, *(ttest_rel(*means).confidence_interval() if len(ours) > 1 else (math.nan,) * 2)


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (3, 1, 2)])
def test_differences_are_those_of_each_image_and_each_seed(seeds):
    ours, theirs = seeded("max", seeds), seeded("tri5", seeds, 50, filter="tri5")
    found, _ = compared([*ours, *theirs])
    (row,) = found.to_dict("records")
    assert [row[name] for name in ("pool", "filter", "aug", "baseline", "n", "images")] == [
        *("max", "delta", False, "blur-tri5"),
        *(len(seeds), 150),
    ]
    for measure in MEASURES:
        values = [row[f"{measure}{end}"] for end in ("", *ENDS)]
        np.testing.assert_allclose(values, literal(ours, theirs, measure), rtol=1e-6, atol=1e-12)


def test_only_seeds_in_common_are_paired():
    ours, theirs = seeded("max", (0, 1, 2, 7)), seeded("tri5", (1, 2, 5), 50, filter="tri5")
    found, _ = compared([*theirs, *ours])
    (row,) = found.to_dict("records")
    assert row["n"] == 2
    values = [row[f"consistency{end}"] for end in ("", *ENDS)]
    np.testing.assert_allclose(values, literal(ours[1:3], theirs[:2], "consistency"), rtol=1e-6)


def test_without_a_seed_in_common_means_over_all_seeds_are_paired_image_by_image():
    ours, theirs = seeded("max", (0, 1, 2)), seeded("tri5", (3, 4), filter="tri5")
    found, _ = compared([*ours, *theirs])
    (row,) = found.to_dict("records")
    mine, base = (np.mean([each.arrays["accuracy"] for each in row], 0, dtype=float) for row in (ours, theirs))
    assert row["n"] == 0
    assert row["accuracy"] == pytest.approx((mine - base).mean())
    gain, loss = (np.maximum(sign * (mine - base), 0).mean() for sign in (1, -1))
    expected = of_difference(gain, loss, ((mine - base) ** 2).mean(), 150)
    np.testing.assert_allclose([row["accuracy_ci95_low"], row["accuracy_ci95_high"]], expected, rtol=1e-6)
    assert math.isnan(row["accuracy_seeds_ci95_low"])


def test_images_that_a_run_has_left_out_are_left_out_of_the_pairs():
    ours, theirs = seeded("max", (0, 1)), seeded("tri5", (0, 1), 50, filter="tri5")
    for each, place in ((ours[1], 3), (theirs[0], 149)):
        for measure in MEASURES:
            each.arrays[measure][place] = np.nan
    found, rows = compared([*ours, *theirs])
    kept = [place for place in range(150) if place not in (3, 149)]
    for each in (*ours, *theirs):
        for name in ("labels", *MEASURES):
            each.arrays[name] = each.arrays[name][kept]
    assert found["images"].tolist() == [148]
    expected, _ = compared([*ours, *theirs])
    np.testing.assert_allclose(found["accuracy_random_ci95_low"], expected["accuracy_random_ci95_low"])
    assert "the same 148 test images" in tables(found, rows)[0].caption


def test_matched_pairs_by_hand():
    """Nine images that only max pooling gets right, one that only tri5 does."""
    ours, theirs = by_image(images=100), by_image(images=100)
    ours["accuracy"], theirs["accuracy"] = np.ones(100), np.ones(100)
    ours["accuracy"][0] = theirs["accuracy"][1:10] = 0
    found, _ = compared([run("max", ours), run("tri5", theirs, filter="tri5")])
    (row,) = found.to_dict("records")
    assert row["accuracy"] == pytest.approx(0.08)
    low, high = of_difference(0.09, 0.01, 0.1, 100)
    assert (row["accuracy_ci95_low"], row["accuracy_ci95_high"]) == (pytest.approx(low), pytest.approx(high))
    assert [row[f"{measure}_mark"] for measure in MEASURES] == ["better", "", ""]


def test_the_other_way_round_all_signs_change():
    runs = [*seeded("max", (0, 1)), *seeded("tri5", (0, 1), 50, accuracy=0.5, filter="tri5")]
    one, other = compared(runs)[0], compared(runs, "max")[0]
    assert other[["pool", "filter", "baseline"]].values.tolist() == [["blur", "tri5", "max"]]
    for measure in MEASURES:
        for end, swapped in (("", ""), ("_ci95_low", "_ci95_high"), ("_seeds_ci95_high", "_seeds_ci95_low")):
            assert one[f"{measure}{end}"][0] == pytest.approx(-other[f"{measure}{swapped}"][0])


def shifted(by, images=400):
    """Values that are higher by as much in half of the images."""
    made = by_image(images=images)
    made["consistency"] = np.full(images, 0.5)
    made["consistency"][::2] += by
    return made


@pytest.mark.parametrize(
    ("by_seed", "mark"),
    [
        ([0.2], "better"),
        ([-0.2], "worse"),
        ([0.0], ""),
        ([0.2, 0.21], "better"),
        ([-0.2, -0.21], "worse"),
        ([0.4, 0.01], ""),  # beyond the interval over images, but not beyond that over seeds
        ([0.2, 0.21, 0.4], ""),
        ([0.2, 0.21, 0.3], "better"),
    ],
)
def test_a_difference_is_marked_if_no_interval_includes_0(by_seed, mark):
    ours = [run(f"max{seed}", shifted(by), seed=seed) for seed, by in enumerate(by_seed)]
    theirs = [run(f"tri5{seed}", shifted(0), seed=seed, filter="tri5") for seed in range(len(by_seed))]
    found, rows = compared([*ours, *theirs])
    assert found["consistency_mark"].tolist() == [mark]
    assert found["accuracy_mark"].tolist() == [""]
    cells = tables(found, rows)[0].frame["consistency"]
    assert cells[1].mark == {"better": "best", "worse": "worst", "": ""}[mark]


def test_a_difference_that_images_alone_could_explain_is_not_marked_however_close_the_seeds_are():
    one = by_image(images=100)
    one["accuracy"], other = np.zeros(100), np.zeros(100)
    one["accuracy"][:2] = 1
    ours = [run(f"max{seed}", one, seed=seed) for seed in range(3)]
    theirs = [run(f"tri5{seed}", one | {"accuracy": other}, seed=seed, filter="tri5") for seed in range(3)]
    found, _ = compared([*ours, *theirs])
    assert found["accuracy_seeds_ci95_low"][0] == pytest.approx(0.02)
    assert found["accuracy_mark"].tolist() == [""]


def test_each_row_is_compared_with_the_baseline_of_its_recipe_and_augmentation():
    short = {"trainer__max_epochs": 20}
    runs = [
        run("max"),
        run("tri5", filter="tri5"),
        run("rect2", filter="rect2"),
        run("max aug", aug=True),
        run("tri5 aug", by_image(5), filter="tri5", aug=True),
        run("short max", **short),
        run("short tri5", filter="tri5", **short),
        run("width 16", model__width=16),
        run("alone", filter="tri5", model__width=16, aug=True),
    ]
    found, rows = compared(runs)
    assert sorted(names[0] for names in found["runs"]) == ["max", "max aug", "rect2", "short max"]
    by_aug = found.set_index("aug")["accuracy"]
    assert by_aug[True] != 0
    assert (by_aug[False] == 0).all()
    assert alone(found, rows) == [
        "No blur-tri5 to compare with: max (cifar10, vgg13 of width 16, 200 epochs, without shift augmentation)."
    ]
    titles = [table.title for table in tables(found, rows)]
    assert titles == [
        "cifar10, vgg13 of width 64, 20 epochs, without shift augmentation",
        "cifar10, vgg13 of width 64, 200 epochs, without shift augmentation",
        "cifar10, vgg13 of width 64, 200 epochs, with shift augmentation",
    ]


def test_names_of_rows():
    runs = [run("max"), run("avg", pool="avg"), run("tri5", filter="tri5"), run("mine"), run("lp")]
    for pool, filter in (("mine", None), ("lp", "tri3")):
        own = next(each for each in runs if each.name == pool)
        own.config["choices"]["pool"] = pool
        own.config["pool"] |= {"filter": filter} if filter else {}
    names = [names_of(row) for row in build(runs).to_dict("records")]
    assert sorted(names) == [["avg", "avg-rect6"], ["blur-tri5"], ["lp-tri3"], ["max", "max-delta"], ["mine"]]
    for baseline in (name for each in names for name in each):
        found, _ = compared(runs, baseline)
        assert set(found["baseline"]) == {baseline}
        assert len(found) == 4


def test_a_row_that_is_not_there_is_said_with_those_that_are():
    runs = [run("max"), run("tri5", filter="tri5"), run("aug", filter="tri5", aug=True)]
    for baseline in ("blur-tri7", "blur", "tri5", ""):
        with pytest.raises(InputError, match=rf"Unknown row '{baseline}'\..* Choices: max, blur-tri5\.$"):
            compared(runs, baseline)
    with pytest.raises(InputError, match="nothing to compare with blur-tri5: train another pool or filter"):
        compared(runs[1:])
    with pytest.raises(InputError, match="There is no finished training to compare with blur-tri5"):
        compared([model("resnet", under(), of=findings().config | {"ckpt": None})])


def test_runs_of_other_test_images_are_not_paired():
    other = by_image()
    other["labels"] = other["labels"][::-1]
    with pytest.raises(InputError, match="other and tri5 were measured on different test images, whose labels differ"):
        compared([run("other", other), run("tri5", filter="tri5")])
    none = by_image() | {"accuracy": np.full(200, np.nan)}
    with pytest.raises(InputError, match="No test image was answered with finite numbers by both none and tri5"):
        compared([run("none", none), run("tri5", filter="tri5")])


def text(tables, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(writer.terminal(tables))
    return console.file.getvalue()


@pytest.fixture
def marked():
    """Differences of two rows from a third, of two seeds: one better and one worse in consistency, both by much."""
    runs = []
    for seed in range(2):
        runs.append(run(f"tri5-{seed}", shifted(0), filter="tri5", seed=seed))
        runs.append(run(f"max{seed}", shifted(-0.4 - 0.001 * seed), seed=seed))
        runs.append(run(f"window7-{seed}", shifted(0.25 + 0.001 * seed), filter="window7", seed=seed))
    return compared(runs)


def test_every_format_tells_the_difference_its_ends_and_its_mark(marked):
    made = tables(*marked)
    (first, second) = marked[0].to_dict("records")
    assert (first["pool"], second["filter"]) == ("max", "window7")
    markdown, latex = writer.markdown(made), writer.latex(made)
    for row, mark, tex in ((first, "*{}*", r"\textit{{{}}}"), (second, "**{}**", r"\textbf{{{}}}")):
        difference, *ends = (f"{100 * row[f'consistency{end}']:+.2f}" for end in ("", *ENDS))
        images, seeds = (" .. ".join(pair) for pair in (ends[:2], ends[2:]))
        assert f"{mark.format(difference)} ({images})" in markdown
        assert f"{tex.format(difference)} ({images})" in latex
        assert f"({seeds})" in markdown
        assert f"({seeds})" in latex
    assert "| blur-tri5" in markdown
    assert "| 2 seeds" in markdown
    assert latex.isascii()
    assert "Bold is better and italic worse: no interval includes 0." in " ".join(latex.split())
    (one, other) = csv.DictReader(io.StringIO(writer.csv(for_csv(marked[0]))))
    for row, values in ((one, first), (other, second)):
        assert row["baseline"] == "blur-tri5"
        for measure in MEASURES:
            assert row[f"{measure}_mark"] == values[f"{measure}_mark"]
            for end in ("", *ENDS):
                assert float(row[f"{measure}{end}"]) == pytest.approx(values[f"{measure}{end}"], rel=1e-4, abs=1e-6)
    assert (one["consistency_mark"], other["consistency_mark"]) == ("worse", "better")


def test_a_terminal_of_80_columns_holds_it(marked):
    shown = text(tables(*marked), 80)
    assert "\x1b[1m+12." in shown
    assert "\x1b[3m-20." in shown
    plain = Console(width=80, file=io.StringIO())
    plain.print(writer.terminal(tables(*marked)))
    lines = plain.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    found = marked[0].iloc[1]
    over = [line for line in lines if line.split()[:2] == ["2", "seeds"]]
    low, high = (f"{100 * found[f'consistency_seeds_ci95_{end}']:+.2f}" for end in ("low", "high"))
    assert over[-1].rstrip().endswith(f"{low} .. {high}")


@pytest.fixture
def folder(tmp_path):
    """Runs as training leaves them: plain max pooling of an older version, which kept no values of each image."""
    rates = [by_image(seed, 300) for seed in range(2)]
    save(tmp_path / "cifar10-blur-tri5-noaug-s0-0a1b2c3d", run("tri5", rates[0], filter="tri5"))
    save(tmp_path / "cifar10-max-noaug-s0-1a1b2c3d", run("max", {"labels": rates[0]["labels"]}))
    return tmp_path


def measured_again(folder, arrays, complete=1):
    """As eval.py leaves a measurement of the older run."""
    place = folder / "cifar10-max-noaug-s0-1a1b2c3d" / "eval"
    save_arrays(place / ARRAYS, arrays)
    (place / "metrics.json").write_text(json.dumps({"test/complete": complete, "test/accuracy": 0.5}))


def test_older_runs_are_to_be_measured_again(folder, capsys):
    sentence = "missing in max-noaug-s0: measure again by python eval.py ckpt=RUN."
    assert sentence in mistake(capsys, folder, "--against", "blur-tri5")
    part = {name: values[:100] for name, values in by_image(1, 300).items()}
    measured_again(folder, part, complete=0)
    assert sentence in mistake(capsys, folder, "--against", "max")
    measured_again(folder, by_image(1, 300))
    (row,) = against(load(folder), "blur-tri5").to_dict("records")
    expected = by_image(1, 300)["accuracy"].mean() - by_image(0, 300)["accuracy"].mean()
    assert row["accuracy"] == pytest.approx(expected, rel=1e-5)


def test_the_command(folder, capsys, tmp_path):
    measured_again(folder, by_image(1, 300))
    for name in ("tri5", ""):
        assert "Choices: max, blur-tri5." in mistake(capsys, folder, "--against", name)
    with pytest.raises(SystemExit) as exit:
        main([str(folder), "--against", "max", "--table", "paths"])
    assert exit.value.code == 2
    capsys.readouterr()
    save(tmp_path / "cifar10-avg-noaug-s0-2a1b2c3d", run("avg", by_image(2, 300), pool="avg", model__width=16))
    for format in ("table", "markdown", "latex", "csv"):
        main([str(folder), "--against", "blur-tri5", "--format", format])
        out, err = capsys.readouterr()
        assert "max" in out
        assert "No blur-tri5 to compare with: avg (cifar10, vgg13 of width 16, 200 epochs, without shift" in err
        assert "published" not in out
    (row,) = csv.DictReader(io.StringIO(out))
    expected = against(load(folder), "blur-tri5").iloc[0]
    assert float(row["consistency_ci95_high"]) == pytest.approx(expected["consistency_ci95_high"], rel=1e-4)
