"""``python -m lit_shift.results`` on folders as training leaves them."""

import csv
import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from lit_shift.results.__main__ import main
from lit_shift.results.gather import gather
from lit_shift.results.page.runs import content
from lit_shift.runs.findings import ARRAYS, Findings, load_arrays, save_arrays
from lit_shift.utils.errors import InputError
from tests.findings import arrays, build, by_image, findings


def save(folder, run, finished=True):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(run.config))
    (folder / "environment.json").write_text("{}")
    (folder / "history.csv").write_text("epoch,train/loss\n1,2.0\n2,1.5\n")
    if finished:
        (folder / "metrics.json").write_text(json.dumps(run.metrics))
        save_arrays(folder / ARRAYS, run.arrays)


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    save(folder / "cifar10-max-noaug-s0-0a1b2c3d", findings(pool="max", arrays=arrays(0)))
    save(folder / "cifar10-blur-tri5-noaug-s0-1a1b2c3d", findings(arrays=arrays(1)))
    save(folder / "cifar10-blur-tri5-noaug-s1-2a1b2c3d", findings(seed=1), finished=False)
    return folder


def test_finished_runs_by_short_names_and_unfinished_ones_by_their_state(runs):
    finished, unfinished = gather([runs])
    assert [run.name for run in finished] == ["blur-tri5-noaug-s0", "max-noaug-s0"]
    assert unfinished == [("blur-tri5-noaug-s1", "unfinished: epoch 2 of 200")]
    assert finished[0].history == [{"epoch": 1, "train/loss": 2.0}, {"epoch": 2, "train/loss": 1.5}]
    assert np.array_equal(finished[0].arrays["diagonal"], arrays(1)["diagonal"])
    single, _ = gather([runs / "cifar10-max-noaug-s0-0a1b2c3d", runs / "cifar10-max-noaug-s0-0a1b2c3d"])
    assert len(single) == 1


def test_a_run_that_is_trained_but_not_measured_is_said_to_be_measured(runs, capsys):
    folder = runs / "cifar10-avg-noaug-s0-5a1b2c3d"
    save(folder, findings(pool="avg", trainer__max_epochs=2), finished=False)
    main([str(runs)])
    assert "avg-noaug-s0 is not in the table: still being measured.\n" in capsys.readouterr().err


def test_hidden_folders_hold_no_runs(runs):
    save(runs / ".trash" / "cifar10-max-noaug-s0-0a1b2c3d", findings(pool="max"))
    save(runs / "cifar10-avg-noaug-s0-5a1b2c3d" / ".ipynb_checkpoints", findings(pool="avg"))
    finished, unfinished = gather([runs])
    assert [run.name for run in finished] == ["blur-tri5-noaug-s0", "max-noaug-s0"]
    assert len(unfinished) == 1
    assert len(gather([runs / ".trash"])[0]) == 1  # which has been asked for


def test_a_config_in_another_encoding(runs, capsys):
    """As an editor leaves one in which a run's note has been changed."""
    file = runs / "cifar10-max-noaug-s0-0a1b2c3d" / "config.yaml"
    text = file.read_text() + "note: größer\n"
    for encoding in ("utf-8-sig", "utf-16"):
        file.write_text(text, encoding=encoding)
        assert len(gather([runs])[0]) == 2
    file.write_text(text, encoding="latin-1")
    line = text.count("\n")
    assert f"config.yaml, line {line} is not UTF-8 text (invalid start byte): save it as UTF-8." in mistake(
        capsys, runs
    )


def test_names_that_would_be_alike_are_longer(runs):
    save(runs / "cifar10-max-noaug-s0-3a1b2c3d", findings(pool="max"))
    finished, _ = gather([runs])
    assert [run.name for run in finished if "max" in run.name] == [
        "cifar10-max-noaug-s0-0a1b2c3d",
        "cifar10-max-noaug-s0-3a1b2c3d",
    ]


def test_readings_of_consistency_are_not_taken_for_the_array_of_that_name(runs):
    """As with callbacks.consistency_readings=null in training."""
    folder = runs / "cifar10-max-noaug-s0-0a1b2c3d"
    save_arrays(folder / ARRAYS, {"consistency": np.ones(6, np.float32)})
    (folder / "eval").mkdir()
    (folder / "eval" / "metrics.json").write_text(json.dumps({"consistency/pairs": 0.75}))
    found = Findings.load(folder, "max")
    assert found.metrics["consistency/pairs"] == 0.75
    assert found.arrays["consistency"].tolist() == [1] * 6


def test_what_eval_has_measured_comes_before_what_the_training_left_unless_it_was_cut_short(runs):
    folder = runs / "cifar10-max-noaug-s0-0a1b2c3d"
    again = arrays(5)
    del again["equivariance/pixels"]  # switched off the second time
    for complete in (1, 0):
        save_arrays(folder / "eval" / ARRAYS, again)
        (folder / "eval" / "metrics.json").write_text(json.dumps({"test/complete": complete}))
        found = Findings.load(folder, "x").arrays
        assert np.array_equal(found["variation"], arrays(5 if complete else 0)["variation"])
        assert np.array_equal(found["equivariance/pixels"], arrays(0)["equivariance/pixels"])


def test_what_only_eval_measures_joins_what_the_training_has_whatever_its_name(runs):
    """Consistency of each image is an array of the training; eval alone takes other readings of it."""
    folder = runs / "cifar10-max-noaug-s0-9a1b2c3d"
    run = findings(pool="max", arrays=by_image(0))
    run.metrics.update({"network/parameters": 5, "network/depth": 11})
    save(folder, run)
    again = {"consistency/pairs": 0.7, "network/multiplications": 50, "network/depth": 12, "test/accuracy": 0.1}
    save_arrays(folder / "eval" / ARRAYS, by_image(1))
    for complete in (0, 1):
        (folder / "eval" / "metrics.json").write_text(json.dumps(again | {"test/complete": complete}))
        found = Findings.load(folder, "x")
        assert found.metrics["consistency/pairs"] == 0.7
        assert found.under("network") == {"parameters": 5, "depth": 11, "multiplications": 50}
        assert found.metrics["test/accuracy"] == run.metrics["test/accuracy"]
        np.testing.assert_array_equal(found.arrays["consistency"], by_image(complete)["consistency"])


def test_of_runs_of_identical_settings_the_most_recent_is_used(runs):
    times = {"0a1b2c3d": "2026-01-02", "3a1b2c3d": "2026-01-01"}
    save(runs / "cifar10-max-noaug-s0-3a1b2c3d", findings(pool="max", accuracy=0.1))
    for identity, time in times.items():
        file = runs / f"cifar10-max-noaug-s0-{identity}" / "environment.json"
        file.write_text(json.dumps({"finished": time}))
    assert build(gather([runs])[0])["runs"][0] == ["cifar10-max-noaug-s0-0a1b2c3d"]


def mistake(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    assert exit.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_mistakes_are_said_in_a_sentence(runs, capsys, tmp_path):
    assert "There is no folder" in mistake(capsys, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no run" in mistake(capsys, tmp_path / "empty")
    unfinished = runs / "cifar10-blur-tri5-noaug-s1-2a1b2c3d"
    assert "no finished run yet: blur-tri5-noaug-s1 is unfinished" in mistake(capsys, unfinished)
    metrics = runs / "cifar10-max-noaug-s0-0a1b2c3d" / "metrics.json"
    for text in ("{", "[]"):
        metrics.write_text(text)
        assert "metrics.json" in mistake(capsys, runs)
    assert "is a file: type the folder of a run" in mistake(capsys, metrics)
    assert "is a folder: name a file" in mistake(capsys, runs, "--out", tmp_path)
    for name in ("x.pdf", "x", "x.html.gz"):
        assert ".txt, .csv, .md, .tex, .html, or say --format" in mistake(capsys, runs, "--out", tmp_path / name)
        assert not (tmp_path / name).exists()
    history = runs / "cifar10-blur-tri5-noaug-s1-2a1b2c3d" / "history.csv"
    history.write_text("epoch\none\n")
    assert "history.csv cannot be read" in mistake(capsys, runs)


def test_a_truncated_file_of_arrays(runs, capsys):
    file = runs / "cifar10-max-noaug-s0-0a1b2c3d" / ARRAYS
    file.write_bytes(file.read_bytes()[:1000])
    assert "is damaged: delete" in mistake(capsys, runs)
    with pytest.raises(InputError, match="is damaged"):
        load_arrays(file)


def test_runs_of_several_data_sets_make_one_page_and_share_no_picture(runs, capsys, tmp_path):
    """After the quickstart and a row of Table 1 there are digits beside CIFAR-10."""
    digits = {"labels": np.zeros(6, int), "pixels": np.zeros((2, 3, 32, 32), np.uint8)}
    for pool, name in (("max", "max"), ("blur", "blur-tri5")):
        run = findings(pool=pool, data="digits", arrays=arrays(2) | digits)
        save(runs / f"digits-{name}-noaug-s0-4a1b2c3d", run)
    main([str(runs), "--format", "html", "--figures", str(tmp_path / "figures")])
    models, _ = gather([runs])
    made = {each["name"]: each for each in content(models, build(models), [])["sets"]}
    for name in ("cifar10", "digits"):
        rows = made[name]["table"]["rows"]
        assert [row["runs"] for row in rows] == [[f"{name}-max-noaug-s0"], [f"{name}-blur-tri5-noaug-s0"]]
        assert bool(made[name]["table"]["foot"]) == (name == "cifar10")
        assert (tmp_path / "figures" / name / "stability.png").exists()
    assert f"written: {tmp_path / 'figures' / 'digits'}" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["table", "csv", "markdown", "latex"])
def test_formats_on_standard_output_and_in_a_file(runs, capsys, tmp_path, format):
    main([str(runs), "--format", format])
    out, err = capsys.readouterr()
    assert "blur-tri5-noaug-s1 is not in the table: unfinished: epoch 2 of 200." in err
    suffix = {"table": ".txt", "csv": ".csv", "markdown": ".md", "latex": ".tex"}[format]
    file = tmp_path / "new" / f"file{suffix}"
    main([str(runs), "--out", str(file)])  # which tells the format
    assert "tri5" in file.read_text()
    if format == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["pool"] for row in rows] == ["max", "blur"]
        assert file.read_text() == out


def test_figures(runs, tmp_path):
    main([str(runs), "--figures", str(tmp_path / "figures")])
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"equivariance.png", "variation.png", "stability.png", "filter_tv.png"} <= names
    for file in (tmp_path / "figures").iterdir():
        with Image.open(file) as image:
            assert min(image.size) > 300


def test_page_file_holds_the_runs(runs, capsys):
    main([str(runs), "--format", "html"])
    text = (runs / "results.html").read_text()
    assert "blur-tri5-noaug-s1" in text
    assert "plotly" in text
    assert f"written: {runs / 'results.html'}" in capsys.readouterr().err.replace("\n", "")
