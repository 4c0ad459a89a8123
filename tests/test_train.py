"""train.py as its users call it."""

import csv
import json
import os
import re
import shlex
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

from lit_shift.runs.recipe import recipe
from tests.conftest import HANGS, TINY, save_images, train_tiny
from tests.test_measures import undeclared


@pytest.fixture
def tiny(images):
    return [*TINY, f"data.root={images}", "trainer.max_epochs=4"]


def run_folder(folder: Path) -> Path:
    (found,) = (child for child in (folder / "runs").iterdir() if not child.name.startswith("."))
    return found


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_run(a: Path, b: Path) -> None:
    """Same weights, metrics and history, bit for bit."""
    for name in ("metrics.json", "history.csv"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def wait_for(condition, process):
    end = time.monotonic() + HANGS
    while not condition():
        assert process.running, process.err
        assert time.monotonic() < end
        time.sleep(0.002)


def epochs_done(history: Path) -> int:
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


def test_a_run_leaves_what_the_design_says(run, tiny, tmp_path):
    finished = run("train.py", *tiny, "pool=blur", "filter=rect3", "data.val_size=40")
    assert finished.code == 0, finished.err
    folder = run_folder(tmp_path)
    assert folder.name.startswith("imagefolder-blur-rect3-noaug-s0-")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"test/accuracy", "test/accuracy_random", "test/consistency", "test/variation"} <= metrics.keys()
    assert {f"tv/conv{block}_{i}" for block in range(1, 6) for i in (1, 2)} <= metrics.keys()
    assert {f"lie_derivative/pool{block}" for block in range(1, 6)} <= metrics.keys()
    assert {"test/lie_derivative", "test/bandwidth", "test/flip_rate"} <= metrics.keys()
    assert metrics["test/shifts"] == 1024
    assert metrics["test/images"] == 40
    assert all(0 <= metrics[f"test/{rate}"] <= 1 for rate in ("accuracy", "accuracy_random", "consistency"))
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    logged = {key: float(cell) for row in rows for key, cell in row.items() if cell and key != "epoch"}
    assert undeclared(metrics | logged) == []
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.02, 0.02, 0.002, 0.0002])
    assert all(row["train/loss"] and row["train/accuracy"] and row["val/loss"] and row["val/accuracy"] for row in rows)
    assert [bool(row["subset/consistency"]) for row in rows] == [False, True, False, True]
    assert [bool(row["tv/conv1_1"]) for row in rows] == [False, True, False, True]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["pool"]["filter"] == "rect3"
    assert config["classes"] == ["above", "below"]
    assert config["image_size"] == [32, 32]
    assert "image_size" not in recipe(config)  # which goes with the data
    environment = json.loads((folder / "environment.json").read_text())
    assert shlex.split(environment["command"])[:2] == ["python", "train.py"]
    assert {"pool=blur", "filter=rect3", "data.val_size=40"} < set(shlex.split(environment["command"]))
    assert environment["versions"]["torch"] == torch.__version__.split("+")[0]
    assert "epoch 4/4" in finished.err
    assert "images/s" in finished.err
    assert "rect3" in finished.out

    again = run("train.py", *tiny, "pool=blur", "filter=rect3", "data.val_size=40")
    assert again.code == 0
    assert "finished" in again.err
    assert "epoch" not in again.err
    assert again.out == finished.out
    assert run_folder(tmp_path) == folder


def test_same_command_same_metrics_and_fresh_never_touches_an_old_result(run, tiny, tmp_path):
    tiny += ["trainer.max_epochs=2", "aug=true"]
    assert run("train.py", *tiny).code == 0
    first = run_folder(tmp_path)
    before = {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}
    assert run("train.py", *tiny, "fresh=true").code == 0
    second = first.with_name(f"{first.name}-2")
    assert_same_run(first, second)
    assert before == {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}


@pytest.mark.rough
def test_killed_at_any_moment_and_resumed_it_is_as_if_never_killed(run, command, tiny, tmp_path):
    arguments = [*tiny, "pool=blur", "aug=true"]
    assert run("train.py", *arguments, "runs=whole").code == 0
    (whole,) = (tmp_path / "whole").iterdir()
    broken = tmp_path / "broken" / whole.name
    # The history of an epoch is written just before its checkpoint, and the metrics after the last: kill around these.
    for epochs in (1, 3, 4):
        process = command("train.py", *arguments, "runs=broken")
        wait_for(lambda known=epochs: epochs_done(broken / "history.csv") >= known, process)
        os.kill(process.pid, signal.SIGKILL)
        process.finish()
    (broken / "metrics.json").unlink(missing_ok=True)  # where the last kill came too late
    finished = run("train.py", *arguments, "runs=broken")
    assert finished.code == 0
    assert "resuming" in finished.err
    assert_same_run(whole, broken)
    (broken / "metrics.json").unlink()  # as if killed after the training, while measuring
    assert "resuming" in run("train.py", *arguments, "runs=broken").err
    assert_same_run(whole, broken)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.rough), signal.SIGTERM])
def test_asked_to_stop_it_checkpoints_within_the_epoch_and_continues_there(run, images, tmp_path, number):
    arguments = [*TINY, f"data.root={images}", "trainer.max_epochs=2", "data.batch_size=4", "aug=true"]
    stop = ["+callbacks.interrupt._target_=tests.interrupt.Interrupt", "+callbacks.interrupt.moment=7"]
    stop += [f"+callbacks.interrupt.number={number.name}"]
    assert run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=99", "runs=whole").code == 0
    (whole,) = (tmp_path / "whole").iterdir()
    stopped = run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=2", "runs=broken")
    assert stopped.code == 128 + number
    assert "The same command continues" in stopped.err
    (broken,) = (tmp_path / "broken").iterdir()
    checkpoint = torch.load(broken / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 40 + 8
    assert run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=2", "runs=broken").code == 0
    assert_same_run(whole, broken)


def test_whole_steps_stop_within_the_epoch_and_continue_there(run, images, tmp_path):
    """Of 40 steps an epoch, 3 at once, it is stopped in the second epoch after 8 times 3."""
    arguments = [*TINY, f"data.root={images}", "trainer.max_epochs=2", "data.batch_size=4", "aug=true"]
    arguments += ["steps_at_once=3", "+optimizer.fused=true", "+callbacks.interrupt.number=SIGTERM"]
    stop = ["+callbacks.interrupt._target_=tests.interrupt.Interrupt", "+callbacks.interrupt.moment=7"]
    assert run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=99", "runs=whole").code == 0
    (whole,) = (tmp_path / "whole").iterdir()
    assert run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=2", "runs=broken").code == 128 + 15
    (broken,) = (tmp_path / "broken").iterdir()
    checkpoint = torch.load(broken / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 40 + 24
    other = run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=2", "runs=broken", "steps_at_once=1")
    assert "This run was trained with steps_at_once=3 so far" in other.err
    assert run("train.py", *arguments, *stop, "+callbacks.interrupt.epoch=2", "runs=broken").code == 0
    assert_same_run(whole, broken)


SLURM = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
SLURM |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1"}


@pytest.mark.rough
def test_under_slurm_a_run_touches_its_own_checkpoints_only(run, tiny, tmp_path):
    """Lightning would train, test and measure whatever hpc_ckpt_<n>.ckpt lies in the working folder."""
    tiny += ["trainer.max_epochs=1"]
    assert run("train.py", *tiny, "seed=1", "runs=others").code == 0
    (other,) = (tmp_path / "others").iterdir()
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes((other / "checkpoints" / "last.ckpt").read_bytes())
    assert run("train.py", *tiny, "runs=alone").code == 0
    before = set(tmp_path.iterdir())
    assert run("train.py", *tiny, "runs=slurm", **SLURM).code == 0
    (alone,), (slurm,) = ((tmp_path / runs).iterdir() for runs in ("alone", "slurm"))
    assert_same_run(alone, slurm)
    assert (slurm / "metrics.json").read_bytes() != (other / "metrics.json").read_bytes()
    assert run("eval.py", f"ckpt={slurm / 'checkpoints' / 'last.ckpt'}", "out=out", "figures=false", **SLURM).code == 0
    found, known = (json.loads((at / "metrics.json").read_text()) for at in (tmp_path / "out", slurm))
    tested = [key for key in known if key.startswith("test/")]
    assert {key: found[key] for key in tested} == pytest.approx({key: known[key] for key in tested})
    left = {path.name for path in set(tmp_path.iterdir()) - before if not path.name.startswith(".log")}
    assert left == {"slurm", "out"}


@pytest.mark.rough
def test_a_job_that_slurm_warns_is_put_back_into_its_queue_and_continues(run, tiny, tmp_path):
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text('#!/bin/sh\necho "$@" >> requeued\n')
    scontrol.chmod(0o755)
    slurm = SLURM | {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    arguments = [*tiny, "trainer.max_epochs=2", "+callbacks.interrupt.moment=3", "+callbacks.interrupt.number=SIGUSR1"]
    arguments += ["+callbacks.interrupt._target_=tests.interrupt.Interrupt"]
    assert run("train.py", *arguments, "+callbacks.interrupt.epoch=99", "runs=whole").code == 0
    arguments += ["+callbacks.interrupt.epoch=1", "runs=broken"]
    stopped = run("train.py", *arguments, **slurm)
    assert stopped.code == 128 + signal.SIGUSR1, stopped.err
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n"
    (whole,), (broken,) = ((tmp_path / runs).iterdir() for runs in ("whole", "broken"))
    assert [file.name for file in (broken / "checkpoints").iterdir()] == ["last.ckpt"]
    assert run("train.py", *arguments, **slurm).code == 0
    assert_same_run(whole, broken)


WATCHED = ["trainer.max_epochs=3", "pool=blur", "callbacks.shift_measures.every_n_epochs=1"]


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("undisturbed"), images, *WATCHED)


@pytest.mark.parametrize(
    ("epoch", "moment"),
    [
        (3, "end"),
        *(pytest.param(*when, marks=pytest.mark.rough) for when in [(1, "end"), (1, "last batch"), (3, "last batch")]),
    ],
)
def test_asked_to_stop_at_the_end_of_an_epoch_nothing_of_it_is_lost(run, undisturbed, tiny, tmp_path, epoch, moment):
    """In the last epoch it leaves before the test set is measured."""
    arguments = [*tiny, *WATCHED, "+callbacks.interrupt._target_=tests.interrupt.Interrupt"]
    arguments += [f"+callbacks.interrupt.moment={moment}"]
    stopped = run("train.py", *arguments, f"+callbacks.interrupt.epoch={epoch}", "runs=broken")
    assert stopped.code == 128 + signal.SIGINT
    assert "The same command continues" in stopped.err
    (broken,) = (tmp_path / "broken").iterdir()
    assert not (broken / "metrics.json").exists()
    assert run("train.py", *arguments, f"+callbacks.interrupt.epoch={epoch}", "runs=broken").code == 0
    assert_same_run(undisturbed, broken)


@pytest.mark.rough
def test_a_scheduler_that_stops_the_measurement_is_heeded_and_the_next_one_makes_it_anew(run, tiny, tmp_path):
    arguments = [*tiny, "trainer.max_epochs=1", "data.eval_batch_size=8", "+callbacks.interrupt.batch=1"]
    arguments += ["+callbacks.interrupt._target_=tests.interrupt.InterruptTest", "+callbacks.interrupt.number=SIGTERM"]
    stopped = run("train.py", *arguments)
    assert stopped.code == 128 + signal.SIGTERM
    assert "The same command measures it again" in stopped.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / "metrics.json").exists()
    assert run("train.py", *arguments).code == 0
    assert run("train.py", *arguments, "runs=whole").code == 0
    (whole,) = (tmp_path / "whole").iterdir()
    assert_same_run(whole, folder)


@pytest.mark.rough
def test_two_processes_stopped_within_an_epoch_continue_there(run_two, tiny, tmp_path):
    command = ["train.py", *tiny, "trainer.max_epochs=2"]
    command += ["+callbacks.interrupt._target_=tests.interrupt.Interrupt", "+callbacks.interrupt.moment=3"]
    assert [process.code for process in run_two(*command, "+callbacks.interrupt.epoch=99", "runs=whole")] == [0, 0]
    stopped = run_two(*command, "+callbacks.interrupt.epoch=2", "runs=broken")
    assert [process.code for process in stopped] == [128 + signal.SIGINT] * 2
    words = "".join(process.err for process in stopped)
    assert words.count("The same command continues") == 1
    assert "Traceback" not in words
    assert [process.code for process in run_two(*command, "+callbacks.interrupt.epoch=2", "runs=broken")] == [0, 0]
    (whole,), (broken,) = ((tmp_path / runs).iterdir() for runs in ("whole", "broken"))
    assert_same_run(whole, broken)


def test_short_trainings_start_at_the_full_rate(run, undisturbed, tiny, tmp_path):
    assert run("train.py", *tiny, "trainer.max_epochs=1").code == 0
    for folder, rates in ((run_folder(tmp_path), [0.02]), (undisturbed, [0.02, 0.02, 0.002])):
        rows = list(csv.DictReader((folder / "history.csv").open()))
        assert [float(row["lr"]) for row in rows] == rates


def test_a_foreign_pool_is_sampled_not_trusted(run, tiny, tmp_path):
    foreign = ["pool._target_=torch.nn.MaxPool2d", "pool.padding=1", "+pool.kernel_size=3", "+pool.stride=2"]
    done = run("train.py", *tiny, *foreign, "trainer.max_epochs=2")
    assert done.code == 0, done.err
    assert "circular boundaries everywhere, but features.pool1 (MaxPool2d) has padding=1" in done.err
    metrics = json.loads((run_folder(tmp_path) / "metrics.json").read_text())
    assert metrics["test/shifts"] == 64
    assert metrics["test/consistency"] < 1


def test_double_precision(run, tiny):
    finished = run("train.py", *tiny, "trainer.precision=64-true", "trainer.max_epochs=1")
    assert finished.code == 0, finished.err


def test_without_the_shift_measures_the_table_has_gaps(run, tiny):
    finished = run("train.py", *tiny, "trainer.max_epochs=1", "~callbacks.shift_measures", "callbacks.filter_tv=null")
    assert finished.code == 0, finished.err
    assert "-" in finished.out


def test_a_sweep_of_runs_on_several_devices_is_refused(run, tiny):
    two = ["trainer.strategy=ddp", "trainer.devices=2"]
    finished = run("train.py", "-m", *tiny, *two, "seed=0,1")
    assert finished.code == 2
    assert "takes one device" in finished.err


def test_a_sweep_prints_a_table_and_one_bad_run_does_not_stop_it(run, tiny, tmp_path):
    finished = run("train.py", "-m", *tiny, "trainer.max_epochs=1", "pool=max,blur,avg", "filter=tri3")
    assert finished.code == 2
    assert finished.err.count("takes no filter") == 2
    assert "tri3" in finished.out
    assert run_folder(tmp_path).name.startswith("imagefolder-blur-tri3")


def test_a_loss_that_diverges_stops_and_keeps_the_last_checkpoint(run, tiny, tmp_path):
    arguments = [*tiny, "trainer.max_epochs=3", "schedule.milestones=[0.33]", "schedule.gamma=1e30"]
    finished = run("train.py", *arguments)
    assert finished.code == 2
    assert re.search(
        r"The (loss|weights) became \w+ in epoch 2 at lr 2e\+28; the checkpoint of epoch 1 is kept", finished.err
    )
    assert "Traceback" not in finished.err
    assert all(value.isfinite().all() for value in weights(run_folder(tmp_path)).values())
    assert not (run_folder(tmp_path) / "metrics.json").exists()


def test_a_damaged_checkpoint_is_named(run, tiny, tmp_path):
    kill = ["+callbacks.interrupt._target_=tests.interrupt.Interrupt", "+callbacks.interrupt.number=SIGKILL"]
    kill += ["+callbacks.interrupt.epoch=2", "+callbacks.interrupt.moment=0"]
    assert run("train.py", *tiny, *kill).code == -signal.SIGKILL
    checkpoint = run_folder(tmp_path) / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    finished = run("train.py", *tiny, *kill)
    assert finished.code == 2
    assert "last.ckpt is truncated" in finished.err
    assert "Traceback" not in finished.err


def test_two_processes_measure_what_one_does(run, run_two, tiny, tmp_path):
    finished, other = run_two("train.py", *tiny, "data.eval_batch_size=6")
    assert finished.code == other.code == 0, finished.err + other.err
    folder = run_folder(tmp_path)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    one = run("eval.py", f"ckpt={checkpoint}", "trainer.devices=1", "trainer.strategy=auto", "figures=false")
    assert one.code == 0, one.err
    by_two = json.loads((folder / "metrics.json").read_text())
    by_one = json.loads((folder / "eval" / "metrics.json").read_text())
    assert by_two == pytest.approx(by_one, rel=1e-5)
    assert 0.2 < by_one["test/consistency"] < 0.95  # else equal numbers say little
    assert "Traceback" not in finished.err + other.err
    assert (finished.out + other.out).count("Rates in percent") == 1  # one table, not one from each process


def test_other_boundaries_are_measured_by_sampling(run, tiny, tmp_path):
    tiny += ["padding=zeros", "aug=true", "callbacks.shift_measures.shifts=5", "trainer.max_epochs=2"]
    finished = run("train.py", *tiny)
    assert finished.code == 0, finished.err
    metrics = json.loads((run_folder(tmp_path) / "metrics.json").read_text())
    assert metrics["test/shifts"] == 5
    assert metrics["test/consistency_ci95_low"] < metrics["test/consistency"] < metrics["test/consistency_ci95_high"]


def test_bf16_training_is_measured_in_float32(run, tiny, tmp_path):
    arguments = [*tiny, "pool=blur", "trainer.precision=bf16-mixed", "trainer.max_epochs=1"]
    assert run("train.py", *arguments).code == 0
    folder = run_folder(tmp_path)
    checkpoint = f"ckpt={folder / 'checkpoints' / 'last.ckpt'}"
    assert run("eval.py", checkpoint, "trainer.precision=32-true", "figures=false").code == 0
    low, full = (json.loads((folder / name / "metrics.json").read_text()) for name in (".", "eval"))
    for name in ("loss", "accuracy", "accuracy_random", "consistency", "variation"):
        assert low[f"test/{name}"] == full[f"test/{name}"]


@pytest.mark.gpu
def test_the_fastest_training_on_a_gpu_learns_what_one_on_a_cpu_does(run, tiny, tmp_path):
    """bfloat16 and CUDA graphs, uneven last batches included; the same draws."""
    tiny += ["pool=blur", "model.width=16", "data.batch_size=24", "optimizer.lr=0.002"]
    (tmp_path / "cpu").mkdir()
    assert run("train.py", *tiny, folder=tmp_path / "cpu").code == 0
    fast = run("train.py", *tiny, "experiment=gpu", "trainer.accelerator=gpu")
    assert fast.code == 0, fast.err
    histories = [list(csv.DictReader((run_folder(at) / "history.csv").open())) for at in (tmp_path, tmp_path / "cpu")]
    for ours, expected in zip(*histories, strict=True):
        assert float(ours["train/loss"]) == pytest.approx(float(expected["train/loss"]), abs=0.05)
    metrics = json.loads((run_folder(tmp_path) / "metrics.json").read_text())
    assert metrics["test/exact"] == metrics["test/complete"] == 1


def test_image_sides_that_cannot_be_halved_are_said_before_anything_is_made(run, tmp_path):
    save_images(tmp_path / "images", 4, size=28)
    finished = run("train.py", *TINY, f"data.root={tmp_path / 'images'}", "trainer.max_epochs=1")
    assert finished.code == 2
    assert "multiples of 32, not 28x28" in finished.err
    assert not (tmp_path / "runs").exists()


def test_a_run_folder_that_cannot_be_written(run, tiny, tmp_path):
    (tmp_path / "taken").write_text("a file")
    finished = run("train.py", *tiny, "runs=taken")
    assert finished.code == 2
    assert "cannot be written" in finished.err
    assert "say runs=FOLDER" in finished.err
    assert (tmp_path / "taken").read_text() == "a file"


def test_the_default_is_the_papers_protocol(run):
    finished = run("train.py", "--cfg", "job")
    config = yaml.safe_load(finished.out.replace("${hydra:runtime.choices", "$"))
    assert config["model"]["width"] == 64
    assert config["trainer"]["max_epochs"] == 200
    assert config["data"]["_target_"].endswith("CIFAR10")
    assert config["data"]["batch_size"] == 128
    assert config["data"]["val_size"] == 0
    assert config["optimizer"] == {
        "_target_": "torch.optim.SGD",
        "_partial_": True,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
    }
    assert config["schedule"] == {"milestones": [0.5, 0.75], "gamma": 0.1}
    assert config["padding"] == "circular"
    assert config["aug"] is False
    assert run("train.py", "experiment=paper", "--cfg", "job").out == finished.out
