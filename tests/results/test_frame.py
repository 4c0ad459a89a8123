"""``lit_shift.results.load``: a row a run."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from lit_shift.results import load, table1
from lit_shift.results.__main__ import main
from lit_shift.runs.run import Run
from lit_shift.utils.errors import InputError
from tests.conftest import ROOT
from tests.findings import findings
from tests.results.page.test_paths import model, under
from tests.results.test_results import save


@pytest.fixture
def runs(tmp_path):
    for seed, accuracy in enumerate((0.9, 0.92)):
        run = findings(seed=seed, accuracy=accuracy, optimizer__lr=0.05)
        run.metrics.update({"test/consistency_ci95_low": 0.79, "test/consistency_ci95_high": 0.81})
        save(tmp_path / f"cifar10-blur-tri5-noaug-s{seed}-{seed}a1b2c3d", run)
    save(tmp_path / "cifar10-max-noaug-s0-5a1b2c3d", findings(pool="max", trainer__limit_test_batches=0.5))
    save(tmp_path / "cifar10-avg-noaug-s0-6a1b2c3d", findings(pool="avg"), finished=False)
    for number, folder in enumerate(sorted(tmp_path.glob("*-s*"))):
        (folder / "environment.json").write_text(json.dumps({"finished": f"2026-11-2{number}"}))
    return tmp_path


def test_a_row_a_run_with_its_measures_and_its_config(runs):
    frame = load(runs)
    assert frame["name"].tolist() == ["blur-tri5-noaug-s0", "blur-tri5-noaug-s1", "max-noaug-s0"]
    assert frame["ended"].tolist() == ["2026-11-21", "2026-11-22", "2026-11-23"]
    assert [folder.rpartition("-")[2] for folder in frame["folder"]] == ["0a1b2c3d", "1a1b2c3d", "5a1b2c3d"]
    assert frame["test/accuracy"].tolist() == [0.9, 0.92, 0.9]
    assert frame["test/consistency_ci95_low"].tolist()[:2] == [0.79, 0.79]
    assert pd.isna(frame["test/consistency_ci95_low"][2])
    assert frame["optimizer.lr"].tolist() == [0.05, 0.05, 0.1]
    assert frame["trainer.limit_test_batches"][2] == 0.5
    assert frame["filter"].tolist() == ["tri5", "tri5", "delta"]
    assert frame["classes"][0] == ["cat", "dog", "ship"]
    assert frame["trained"].all()
    assert frame["cifar10"].all()
    assert frame["recipe"].nunique() == 2
    by_seed = frame.groupby("seed")["test/accuracy"].mean()
    assert by_seed.to_dict() == {0: 0.9, 1: 0.92}


def test_several_folders_and_single_runs(runs):
    one, two = sorted(runs.glob("*-blur-*"))
    assert load(one)["name"].tolist() == ["blur-tri5-noaug-s0"]
    assert len(load(one, two, runs)) == 3


def test_table1_of_what_is_loaded_or_of_a_part_of_it(runs):
    frame = load(runs)
    assert table1(frame)["n"].tolist() == [2, 1]
    only = table1(frame[frame["seed"] == 1])
    assert only["runs"].tolist() == [["blur-tri5-noaug-s1"]]


def test_classifiers_from_elsewhere_are_rows_too_but_none_of_table_1(runs):
    each = model("resnet", under(), of=findings().config | {"ckpt": None})
    save(runs / "evals" / "resnet", each)
    frame = load(runs)
    row = frame[~frame["trained"]].iloc[0]
    assert row["embed/mad"] == each.metrics["embed/mad"]
    assert len(table1(frame)) == 2


def test_folders_of_version_0_1_are_named_and_left_out(runs, capsys):
    old = runs / "cifar10-max-noaug-s0-5a1b2c3d"
    (old / "environment.json").write_text(json.dumps({"versions": {"lit-shift": "0.1.0"}}))
    assert len(load(runs)) == 2
    main([str(runs)])
    sentence = "max-noaug-s0 is not in the table: written by version 0.1, which this one does not read: run it again."
    assert sentence in capsys.readouterr().err
    with pytest.raises(InputError, match=r"version 0\.1"):
        load(old)
    with pytest.raises(InputError, match=r"was written by version 0\.1, which this one does not read: train it again"):
        Run(old).config()


def test_results_start_without_torch():
    code = "import sys, lit_shift.results.__main__; print([m for m in ('torch', 'wandb') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
