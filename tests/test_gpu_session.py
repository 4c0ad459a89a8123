"""The benchmark for a borrowed GPU: what it does with its time, and what it leaves."""

import csv
import io
import json
import sys
import tarfile

import pytest
import torch

import benchmarks.gpu
import lit_shift
from benchmarks.gpu import FIRST, ROWS, Session, archive, train
from lit_shift.filters import FILTERS

CPU = torch.device("cpu")


@pytest.fixture
def trained(monkeypatch):
    """Trains a row in no time; each takes 100 seconds of a clock of its own. Returns the commands."""
    commands, clock = [], [0.0]
    monkeypatch.setattr(benchmarks.gpu.time, "monotonic", lambda: clock[0])

    def run(self, command, limit):
        commands.append(command)
        clock[0] += 100
        if "filter=rect2" in command:
            return 2, "", "some\nerror: no luck", 100.0
        folder = self.out / "runs" / str(len(commands))
        (folder / "checkpoints").mkdir(parents=True)
        metrics = {f"test/{name}": 0.5 for name in ("accuracy", "accuracy_random", "consistency", "variation")}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "arrays.npz").write_bytes(b"arrays")
        torch.save({"state_dict": {"w": torch.randn(9), "n": torch.tensor(3)}}, folder / "checkpoints" / "last.ckpt")
        return 0, "", "epoch 200/200", 100.0

    monkeypatch.setattr(Session, "run", run)
    return commands


def test_the_most_telling_rows_come_first_and_none_is_missing():
    assert [filter for filter, _ in ROWS[:10:2]] == FIRST
    assert sorted(ROWS) == sorted((filter, aug) for filter in FILTERS for aug in (False, True))


def test_no_row_is_started_that_would_not_finish(trained, tmp_path, capsys):
    found = train(Session(290 / 60, tmp_path, CPU, tiny=False), tmp_path / "data", ROWS)
    assert [(row["filter"], row["aug"]) for row in found] == [("delta", False), ("delta", True)]
    assert "2 of 38 rows: there is no time for another one" in capsys.readouterr().out
    assert [word for word in trained[1] if word.startswith(("pool", "filter", "aug"))] == ["pool=max", "aug=true"]
    assert "experiment=gpu" in trained[0]
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert rows[1]["accuracy"] == "0.5"
    assert rows[1]["consistency_published"] == "0.966"


def test_before_the_first_row_it_takes_a_guess(trained, tmp_path):
    assert train(Session(benchmarks.gpu.ROW_SECONDS / 60, tmp_path, CPU, tiny=False), tmp_path, ROWS) == []
    assert not trained


def test_a_row_that_fails_is_told_and_the_others_go_on(trained, tmp_path, capsys):
    rows = [("rect2", False), ("tri5", False), ("tri5", True)]
    found = train(Session(60, tmp_path, CPU, tiny=False), tmp_path, rows)
    assert [row["filter"] for row in found] == ["tri5", "tri5"]
    assert "rect2, noaug: FAILED with exit code 2 after 100 s: error: no luck" in capsys.readouterr().out
    assert "no luck" in (tmp_path / "report.md").read_text()


def test_what_it_leaves_fits_and_can_be_read(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks.gpu, "PART", 2000)
    found = train(Session(60, tmp_path, CPU, tiny=False), tmp_path, ROWS[:3])
    with tarfile.open(tmp_path / "results.tar.xz") as tar:
        assert {name for name in tar.getnames() if "1/" in name} == {"1/metrics.json", "1/arrays.npz"}
    parts = sorted(tmp_path.glob("weights.*"))
    assert len(parts) > 1
    whole = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    with tarfile.open(fileobj=whole) as tar:
        assert tar.getnames() == ["1.pt", "2.pt"]
        half = torch.load(io.BytesIO(tar.extractfile("1.pt").read()), weights_only=True)
    assert half["w"].dtype == torch.float16
    assert half["n"].item() == 3
    monkeypatch.setattr(benchmarks.gpu, "ARCHIVE", 100)
    archive(tmp_path, [tmp_path / "runs" / row["run"] for row in found])
    with tarfile.open(tmp_path / "results.tar.xz") as tar:
        assert not any(name.endswith("arrays.npz") for name in tar.getnames())


def test_a_command_is_cut_off_at_its_limit(tmp_path):
    session = Session(1, tmp_path, CPU, tiny=True)
    code, text, errors, seconds = session.run(["-c", "print('begun', flush=True); import time; time.sleep(60)"], 5)
    assert (code, text, errors) == (None, "begun", "")
    assert seconds < 50
    assert session.run(["-c", "import sys; print('out'); sys.exit('wrong')"], 60)[:3] == (1, "out", "wrong")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--out", "x", "--data", "nowhere"], "There is no folder nowhere."), ([], "--out")],
)
def test_mistakes(arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
    with pytest.raises(SystemExit) as stopped:
        benchmarks.gpu.main()
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_source_tree_is_enough_and_a_missing_package_has_no_version(tmp_path):
    """Where neither lit_shift nor W&B is installed, and a run still writes its environment.json."""
    session = Session(1, tmp_path, CPU, tiny=True)
    code = """
import importlib.metadata
installed = importlib.metadata.version
def version(package):
    if package in ("lit-shift", "scipy"):
        raise importlib.metadata.PackageNotFoundError(package)
    return installed(package)
importlib.metadata.version = version
import lit_shift
from lit_shift.runs.records import versions
print(lit_shift.__version__, sorted(versions(["lit-shift", "numpy", "scipy"])))
"""
    assert session.run(["-c", code], 60)[:2] == (0, f"{lit_shift.__version__} ['numpy']")
