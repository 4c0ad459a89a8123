import csv
import io
import math
from dataclasses import replace
from statistics import mean, stdev

import pytest
from omegaconf import OmegaConf
from rich.console import Console
from scipy.stats import spearmanr

from lit_shift import published
from lit_shift.filters import FILTERS
from lit_shift.measures import TABLE1, standing
from lit_shift.results import agreement_with_paper, comparison, shift_figures, writer
from lit_shift.runs.config import composed
from lit_shift.runs.recipe import PAPERS, recipe
from tests.findings import build, findings


def all_published(**changes):
    """Runs that found exactly what was published, in no order."""
    rows = published.load("zhang_table1")[::-1]
    return [
        findings(
            f"{row['filter']}-{row['aug']}",
            accuracy=float(row["accuracy"]) / 100,
            consistency=float(row["consistency"]) / 100,
            pool="max" if row["filter"] == "delta" else "blur",
            filter=row["filter"],
            aug=row["aug"] == "true",
            **changes,
        )
        for row in rows
    ]


def rows_of(runs):
    return build(runs).to_dict("records")


def test_the_papers_own_numbers_agree_with_themselves_in_the_papers_order():
    rows = build(all_published())
    expected = [(f, aug) for f in FILTERS[:19] for aug in (False, True)]
    assert list(rows[["filter", "aug"]].itertuples(index=False, name=None)) == expected
    assert not any(rows["notes"])
    for measure in ("accuracy", "consistency"):
        assert agreement_with_paper(rows, measure) == (38, pytest.approx(1), pytest.approx(0, abs=1e-9))
        assert rows[f"{measure}_difference"].abs().max() < 1e-9
    # The paper's average is of numbers that were not rounded.
    assert agreement_with_paper(rows, "average").mean_absolute_difference < 0.0006


def test_a_reversed_order_has_rank_correlation_minus_one():
    runs = all_published()
    for run in runs:
        run.metrics["test/consistency"] = 1 - run.metrics["test/consistency"]
    assert agreement_with_paper(build(runs), "consistency").rank_correlation == pytest.approx(-1)


def test_rank_correlation_is_scipys_ties_included():
    ours = [0.9, 0.91, 0.91, 0.93, 0.88]
    filters = ["rect2", "rect3", "tri5", "tri7", "ls3"]
    rows = build([findings(f, accuracy=rate, filter=f) for f, rate in zip(filters, ours, strict=True)])
    theirs = {row["filter"]: float(row["accuracy"]) for row in published.load("zhang_table1") if row["aug"] == "false"}
    expected = spearmanr(ours, [theirs[filter] for filter in filters]).statistic
    found = agreement_with_paper(rows, "accuracy")
    assert found.rank_correlation == pytest.approx(expected)
    assert found.mean_absolute_difference == pytest.approx(
        mean(abs(rate - theirs[filter] / 100) for filter, rate in zip(filters, ours, strict=True))
    )
    alike = build([findings(f, accuracy=0.9, filter=f) for f in filters])
    assert math.isnan(agreement_with_paper(alike, "accuracy").rank_correlation)
    assert math.isnan(agreement_with_paper(rows[:2], "accuracy").rank_correlation)


def test_seeds_are_averaged():
    values = [0.91, 0.93, 0.95]
    (row,) = rows_of([findings(f"s{seed}", accuracy=v, seed=seed) for seed, v in enumerate(values)])
    assert (row["accuracy"], row["accuracy_std"]) == (pytest.approx(mean(values)), pytest.approx(stdev(values)))
    assert row["accuracy_published"] == 0.933
    assert row["accuracy_difference"] == pytest.approx(mean(values) - 0.933)
    assert (row["n"], row["runs"]) == (3, ["s0", "s1", "s2"])
    assert row["average"] == pytest.approx((mean(values) + 0.8) / 2)


def test_the_same_seed_twice_counts_once_and_is_noted():
    (row,) = rows_of([findings("old", accuracy=0.5), findings("new", accuracy=0.9)])
    assert row["runs"] == ["new"]
    assert row["notes"] == ["seed 0 was trained 2 times: the most recent is used"]


def test_no_run_is_an_empty_table():
    assert build([]).empty
    assert comparison.tables(build([])) == []


OTHER_RECIPES = [
    ({"trainer__max_epochs": 20}, "20 epochs"),
    ({"model__width": 16}, "vgg13 of width 16"),
    ({"padding": "zeros"}, "padding zeros"),
    ({"data": "digits"}, "digits, vgg13 of width 64"),
    ({"optimizer__lr": 0.05}, "optimizer.lr=0.05"),
    ({"optimizer___target_": "torch.optim.Adam"}, "optimizer._target_=torch.optim.Adam"),
    ({"data__val_size": 5000}, "data.val_size=5000"),
    ({"data__flip": False}, "data.flip=False"),
    ({"data__augment_strength": 3}, "data.augment_strength=3"),
    ({"data__aug": True}, "data.aug=True"),  # against aug=false above it
    ({"model__padding": "zeros"}, "model.padding=zeros"),
    ({"pool__padding": "zeros"}, "pool.padding=zeros"),
    ({"pool__power": 2}, "pool.power=2"),
    ({"schedule__gamma": 0.2}, "schedule.gamma=0.2"),
    ({"trainer__limit_test_batches": 0.1}, "trainer.limit_test_batches=0.1"),
    ({"trainer__limit_train_batches": 5}, "trainer.limit_train_batches=5"),
    ({"trainer__precision": "bf16-mixed"}, "trainer.precision=bf16-mixed"),
]


@pytest.mark.parametrize("others", [1, 3], ids=["the other is in the minority", "in the majority"])
@pytest.mark.parametrize(("change", "said"), OTHER_RECIPES, ids=[said for _, said in OTHER_RECIPES])
def test_runs_of_another_recipe_are_never_mixed(change, said, others):
    usual = [findings(f"s{seed}", seed=seed) for seed in range(2)]
    rows = rows_of([*usual, *(findings(f"other{seed}", seed=seed, **change) for seed in range(others))])
    assert sorted(len(row["runs"]) for row in rows) == sorted([others, 2])
    for row in rows:
        other = row["runs"][0].startswith("other")
        assert (said in row["recipe"]) == other
        assert (row["recipe"] == PAPERS) == (not other)
        assert any("not the paper's recipe" in note for note in row["notes"]) == other


def test_two_unlike_runs_without_a_majority_name_what_they_differ_in():
    plain, split = rows_of([findings("a"), findings("b", data__val_size=16)])
    assert plain["recipe"] == PAPERS
    assert split["recipe"] == f"{PAPERS}, data.val_size=16"


def test_what_does_not_change_the_result_does_not_tell_recipes_apart():
    same = {
        "trainer__accelerator": "gpu",
        "data__eval_batch_size": 64,
        "runs": "elsewhere",
        "logger": {},
        "data__root": "elsewhere",
        "compile": True,
    }
    same |= {"optimizer__fused": True}
    runs = [findings("a"), findings("b", seed=1, **same), findings("c", seed=2, data__eval_batch_size=256)]
    (row,) = rows_of(runs)
    assert row["recipe"] == PAPERS


def test_what_is_fast_on_a_gpu_is_the_papers_recipe_but_for_its_precision():
    fast = composed("train", ["experiment=gpu"])
    assert fast.steps_at_once > 1
    assert fast.optimizer.fused
    fast.choices = {"data": "cifar10", "model": "vgg13", "pool": "max"}
    assert recipe(OmegaConf.to_container(fast, resolve=True)) == f"{PAPERS}, trainer.precision=bf16-mixed"


def test_a_slim_network_is_its_width():
    (row,) = rows_of([findings("a", model="vgg13_slim"), findings("b", seed=1, model__width=16)])
    assert row["recipe"] == "cifar10, vgg13 of width 16, 200 epochs"


def test_runs_of_choices_that_are_no_more_are_told_apart_by_all_they_hold():
    gone = findings("gone")
    gone.config["choices"]["data"] = "cifar11"
    other = findings("other", optimizer__lr=0.05)
    other.config["choices"]["data"] = "cifar11"
    rows = rows_of([gone, other])
    assert len(rows) == 2
    assert "optimizer.lr=0.05" in rows[1]["recipe"] + rows[0]["recipe"]


def test_what_keeps_a_row_from_comparing_is_noted():
    sampled = findings("sampled", filter="rect2", padding="zeros")
    sampled.metrics.update({"test/exact": 0, "test/shifts": 64})
    fewer = findings("fewer", filter="rect3")
    fewer.metrics.update({"test/images": 10, "test/complete": 0})
    lacking = findings("lacking", filter="rect5")
    del lacking.metrics["test/consistency"]
    usual = [findings("usual", filter="tri5"), findings("usual2", filter="tri7")]
    notes = {row["filter"]: " ".join(row["notes"]) for row in rows_of([sampled, fewer, lacking, *usual])}
    assert "a sample of 64 shifts" in notes["rect2"]
    assert "not the paper's recipe" in notes["rect2"]
    assert notes["rect3"] == "fewer was measured on a sample of 10 test images"
    assert "consistency was not measured" in notes["rect5"]
    assert notes["tri5"] == ""


def test_the_best_and_the_worst_three_of_an_augmentation_are_marked():
    rates = {"rect2": 0.91, "rect3": 0.95, "rect4": 0.92, "rect5": 0.94, "rect6": 0.9}
    runs = [findings(filter, accuracy=rate, filter=filter) for filter, rate in rates.items()]
    rows = rows_of([*runs, findings("aug", accuracy=0.5, aug=True)])
    assert {row["filter"] for row in rows if row["accuracy_mark"] == "best"} == {"rect3", "rect5", "rect4"}
    assert not any(row["accuracy_mark"] == "worst" for row in rows)  # or a row of five would be both
    assert not any(row["accuracy_mark"] == "best" for row in rows_of(runs[:3]))  # of three, all would be
    rows = rows_of([*runs, findings("rect7", accuracy=0.93, filter="rect7"), findings("aug", accuracy=0.5, aug=True)])
    assert {row["filter"] for row in rows if row["accuracy_mark"] == "best"} == {"rect3", "rect5", "rect7"}
    assert {row["filter"] for row in rows if row["accuracy_mark"] == "worst"} == {"rect6", "rect2", "rect4"}


def test_average_pooling_has_nothing_published():
    (row,) = rows_of([findings(pool="avg")])
    assert (row["pool"], row["filter"]) == ("avg", "rect6")
    assert math.isnan(row["accuracy_published"])
    assert agreement_with_paper(build([findings(pool="avg")]), "accuracy") is None


MEASURES = tuple(measure.name for measure in standing(TABLE1))


def test_a_pool_of_ones_own_is_named_as_its_config_does():
    own = findings("own")
    own.config["choices"]["pool"] = "mine_of_power"
    (named,) = rows_of([own])
    del own.config["pool"]["filter"]
    (unnamed,) = rows_of([own])
    assert (named["filter"], unnamed["filter"]) == ("tri5", "-")
    assert math.isnan(named["accuracy_published"])


OWN_POOL = """\
_target_: my_pools.L2Pool
_partial_: true
padding: ${padding}
filter: tri5
power: 2
"""


def own(folder, name, *overrides):
    """A run of a pool whose YAML lies in a folder of the user's own."""
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    (folder / "pool" / "mine_of_power.yaml").write_text(OWN_POOL)
    made = composed("train", [f"hydra.searchpath=[file://{folder}]", "pool=mine_of_power", *overrides])
    made.choices = {"data": "cifar10", "model": "vgg13", "pool": "mine_of_power"}
    run = findings(name)
    return replace(run, config=OmegaConf.to_container(made, resolve=True) | {"classes": run.config["classes"]})


def test_a_pool_of_ones_own_from_any_folder_joins_the_table_of_its_recipe(tmp_path):
    recipe = {"trainer__max_epochs": 20, "aug": True, "seed": 1}
    typed = ["trainer.max_epochs=20", "aug=true", "seed=1"]
    usual = [findings("max", pool="max", **recipe), findings("tri5", **recipe)]
    mine = own(tmp_path, "mine_of_power", *typed), own(tmp_path, "mine_of_power of rect3", *typed, "pool.filter=rect3")
    other = own(tmp_path, "slower", *typed, "optimizer.lr=0.05")
    rows = rows_of([*usual, *mine, other])
    short = "cifar10, vgg13 of width 64, 20 epochs"
    assert {row["runs"][0]: (row["recipe"], row["pool"], row["filter"]) for row in rows} == {
        "max": (short, "max", "delta"),
        "tri5": (short, "blur", "tri5"),
        "mine_of_power": (short, "mine_of_power", "tri5"),
        "mine_of_power of rect3": (short, "mine_of_power", "rect3"),
        "slower": (f"{short}, optimizer.lr=0.05", "mine_of_power", "tri5"),
    }
    assert all(math.isnan(row["accuracy_published"]) for row in rows if row["pool"] == "mine_of_power")


def test_pools_of_ones_own_that_differ_are_never_mixed(tmp_path):
    two, three = own(tmp_path, "two"), own(tmp_path, "three", "pool.power=3")
    other = own(tmp_path, "other", "pool._target_=other_pools.L2Pool")
    rows = rows_of([two, three, other, own(tmp_path, "again", "seed=1")])
    assert {row["recipe"] for row in rows} == {PAPERS}
    assert {row["pool"]: row["runs"] for row in rows} == {
        "mine_of_power (pool._target_=my_pools.L2Pool, pool.power=2)": ["two", "again"],
        "mine_of_power (pool._target_=my_pools.L2Pool, pool.power=3)": ["three"],
        "mine_of_power (pool._target_=other_pools.L2Pool, pool.power=2)": ["other"],
    }


def test_data_of_ones_own_are_told_by_all_that_they_say_and_by_nothing_else():
    runs = [findings(f"s{seed}", seed=seed) for seed in range(2)]
    for run in runs:
        run.config["choices"]["data"] = "mine"
        run.config["data"]["_target_"] = "my_data.Mine"
    (row,) = rows_of(runs)
    assert row["recipe"].startswith(
        "mine, vgg13 of width 64, 200 epochs, data._target_=my_data.Mine, data.batch_size=128"
    )
    assert "trainer" not in row["recipe"]
    assert "seed" not in row["recipe"]


CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.mark.parametrize(
    ("data", "classes", "size", "compares"),
    [
        ("cifar10", CIFAR10, [32, 32], True),
        ("imagefolder", CIFAR10, [32, 32], True),
        ("imagefolder", CIFAR10[::-1], [32, 32], True),
        ("imagefolder", CIFAR10, [64, 64], False),
        ("imagefolder", [*CIFAR10[:9], "lorry"], [32, 32], False),
        ("digits", [*map(str, range(10))], [32, 32], False),
    ],
)
def test_published_values_are_beside_runs_of_cifar10_alone(data, classes, size, compares):
    change = {"data__root": "images"} if data == "imagefolder" else {}
    runs = [findings(filter, data=data, filter=filter, **change) for filter in ("tri3", "tri5")]
    for run in runs:
        run.config.update(classes=classes, image_size=size)
    rows = build(runs)
    assert comparison.any_published(rows) == (agreement_with_paper(rows, "accuracy") is not None) == compares
    tables = comparison.tables(rows)
    shown = io.StringIO()
    Console(width=200, file=shown).print(writer.terminal(tables))
    texts = [writer.csv(comparison.for_csv(rows)), writer.markdown(tables), writer.latex(tables), shown.getvalue()]
    for text in texts:
        assert ("published" in text) == compares
        assert ("93.3" in text or "0.933" in text) == compares
    points = shift_figures.accuracy_consistency(runs).axes[0].collections
    assert len(points) == (19 + 2 if compares else 2)


def test_csv():
    runs = [findings(f"s{seed}", accuracy=0.9 + 0.02 * seed, seed=seed) for seed in range(2)]
    text = writer.csv(comparison.for_csv(build([*runs, findings("avg", pool="avg")])))
    columns = ["pool", "filter", "aug", "n"]
    columns += [f"{measure}{suffix}" for measure in MEASURES for suffix in ("", "_std", "_published")]
    assert text.splitlines()[0] == ",".join([*columns, "recipe", "notes"])
    average, blur = csv.DictReader(io.StringIO(text))
    assert (blur["pool"], blur["filter"], blur["aug"], blur["n"]) == ("blur", "tri5", "false", "2")
    assert float(blur["accuracy"]) == pytest.approx(0.91)
    assert float(blur["accuracy_std"]) == pytest.approx(stdev([0.9, 0.92]), rel=1e-5)
    assert float(blur["accuracy_published"]) == 0.933
    assert average["accuracy_std"] == average["accuracy_published"] == ""


def test_the_best_and_what_is_noted_are_told_in_every_format():
    rates = {"rect2": 0.91, "rect3": 0.95, "rect4": 0.92, "rect5": 0.94}
    runs = [findings(f, accuracy=rate, filter=f, trainer__max_epochs=20) for f, rate in rates.items()]
    text = writer.markdown(comparison.tables(build(runs)))
    assert "| rect3" in text
    assert "**95.0** (93.4, +1.6)" in text
    assert "91.0 (92.8, -1.8)" in text
    assert "all rows: not the paper's recipe" in text
    tex = writer.latex(comparison.tables(build(runs)))
    assert r"\textbf{95.0} (93.4, +1.6)" in tex
    assert r"\caption{cifar10, vgg13 of width 64, 20 epochs. Ours $\pm$" in tex
    assert r"$\dagger$ all rows: not the paper's recipe" in tex
    assert tex.isascii()


def test_measures_that_are_not_finite_are_missing():
    run = findings()
    run.metrics["test/accuracy"] = float("nan")
    (row,) = rows_of([run])
    assert math.isnan(row["accuracy"])
    assert math.isnan(row["average"])
    assert row["notes"] == [f"{measure} was not measured in every run" for measure in ("accuracy", "average")]


def test_a_measure_that_only_some_runs_have_is_noted_but_not_one_newer_than_all():
    first, second = findings(filter="tri3"), findings(filter="tri5")
    del first.metrics["test/accuracy_random"]
    assert [row["notes"] for row in rows_of([first, second])] == [["accuracy_random was not measured in every run"], []]
    del second.metrics["test/accuracy_random"]
    assert [row["notes"] for row in rows_of([first, second])] == [[], []]


def test_terminal_holds_a_table_for_each_recipe_in_80_columns():
    console = Console(width=80, record=True, file=io.StringIO())
    runs = [*all_published(), findings("short", trainer__max_epochs=20)]
    console.print(writer.terminal(comparison.tables(build(runs))))
    text = console.export_text()
    assert "cifar10, vgg13 of width 64, 200 epochs" in text
    assert "cifar10, vgg13 of width 64, 20 epochs" in text
    assert "rank corr." in text
    assert "1.00" in text
    assert "…" not in text


def test_how_many_devices_share_a_batch_counts_unless_they_share_its_statistics():
    """Each case is of a batch of 128 that batch norm sees in so many parts."""
    cases = [({}, 1), ({"trainer__devices": [3]}, 1), ({"trainer__devices": "1"}, 1)]
    cases += [({"trainer__devices": 4, "trainer__sync_batchnorm": True}, 1), ({"trainer__sync_batchnorm": True}, 1)]
    cases += [({"trainer__devices": 2}, 2), ({"trainer__devices": [0, 3]}, 2), ({"trainer__devices": "0,3"}, 2)]
    cases += [({"trainer__num_nodes": 2}, 2), ({"trainer__devices": 2, "trainer__strategy": "ddp"}, 2)]
    cases += [({"trainer__devices": 2, "trainer__num_nodes": 2}, 4), ({"trainer__devices": "auto"}, "auto")]
    words = {}
    for changes, parts in cases:
        words.setdefault(parts, set()).add(recipe(findings(**changes).config))
    assert words[1] == {PAPERS}
    assert all(len(same) == 1 for same in words.values())
    assert len(set.union(*words.values())) == len(words)
    rows = rows_of([findings("one", seed=0), findings("two", seed=1, trainer__devices=2)])
    assert [row["n"] for row in rows] == [1, 1]
