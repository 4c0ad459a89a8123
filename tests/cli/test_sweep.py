"""``train.py -m``: many runs, of which none is lost and none is trained twice."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import StringIO
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from rich.console import Console
from submitit.core.utils import FailedJobError

from lit_shift.cli.explain import explain
from lit_shift.cli.jobs import BEFORE, DONE, ELSEWHERE, FAILED, RUNNING, STOPPED, Job, read_jobs
from lit_shift.cli.live import LiveView, picture
from lit_shift.cli.outcomes import Outcomes
from lit_shift.cli.sweep import Sweep
from lit_shift.cli.tables import others
from lit_shift.filters import FILTERS
from lit_shift.results.comparison import PUBLISHED
from lit_shift.runs.config import composed
from lit_shift.runs.records import NEEDED
from lit_shift.runs.run import Run
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import make_folder
from tests.conftest import HANGS, ROOT, TINY
from tests.test_train import assert_same_run, run_folder, wait_for


@pytest.fixture
def tiny(images):
    names = ("equivariance", "lie_derivative", "consistency_readings", "shown_images")
    unmeasured = [f"callbacks.{name}=null" for name in names]
    return [*TINY, f"data.root={images}", "trainer.max_epochs=2", *unmeasured]


def finished_runs(folder: Path) -> dict[str, Path]:
    return {file.parent.name: file.parent for file in folder.glob("runs/*/metrics.json")}


def printed(renderable) -> str:
    console = Console(width=160, file=StringIO())
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.rough
def test_two_sweeps_started_at_once_on_one_folder_share_the_work(run, command, tiny, tmp_path):
    arguments = ["-m", *tiny, "pool=max,blur,avg"]
    (tmp_path / "serial").mkdir()
    assert run("train.py", *arguments, folder=tmp_path / "serial").code == 0
    both = [command("train.py", *arguments) for _ in range(2)]
    for process in both:
        process.finish()
        assert process.code == 0, process.err
    assert sum(process.err.count("new run: ") for process in both) == 3
    # The last to end knows what became of all.
    assert any(all(f"│ {pool} " in process.out for pool in ("max", "blur", "avg")) for process in both)
    found, expected = finished_runs(tmp_path), finished_runs(tmp_path / "serial")
    assert found.keys() == expected.keys()
    assert len(found) == 3
    for name, folder in found.items():
        assert_same_run(folder, expected[name])
        command = json.loads((folder / "environment.json").read_text())["command"].split()
        assert f"pool={name.split('-')[1]}" in command  # what would train it alone
        assert "-m" not in command


def test_many_at_once_may_make_sure_of_one_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_folder(tmp_path / "run", "runs"), range(400)))
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_that_another_process_trains_is_left_to_it(run, command, tiny):
    first = command("train.py", *tiny, "trainer.max_epochs=60")
    folder = Path(first.log).parent
    wait_for(lambda: list(folder.glob("runs/*/history.csv")), first)
    second = run("train.py", *tiny, "trainer.max_epochs=60")
    assert second.code == 2
    assert "another process trains it" in second.err
    os.kill(first.pid, signal.SIGKILL)
    first.finish()
    with FileLock(run_folder(folder) / ".lock", blocking=False):  # the dead hold nothing
        pass


def test_a_finished_sweep_is_recognised_without_torch(run, tiny, tmp_path, monkeypatch):
    arguments = ["-m", *tiny, "seed=0,1"]
    assert run("train.py", *arguments).code == 0
    script = tmp_path / "again.py"
    script.write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
        "finally:\n"
        "    print('with torch' if 'torch' in sys.modules else 'without torch')\n"
    )
    again = subprocess.run([sys.executable, script, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("finished: ") == 2
    assert again.stdout.endswith("without torch\n")


def test_what_is_not_finished_is_told_with_its_reason(run, tiny, tmp_path):
    finished = run("train.py", "-m", *tiny, "pool=max,blur", "filter=tri3", "trainer.max_epochs=1")
    assert finished.code == 2
    assert "2 runs: 1 failed, 1 done" in finished.out
    assert "failed: pool=max takes no filter" in " ".join(finished.out.split())
    again = run("train.py", "-m", *tiny, "pool=max,blur", "filter=tri3", "trainer.max_epochs=1")
    assert again.code == 2
    assert "1 finished before" in again.out


def test_a_sweep_has_as_many_runs_as_hydra_makes_of_it(run, tiny):
    """A name that is given takes the place of a sweep's; a glob is as many as there are."""
    narrowed = run("train.py", "-m", "+sweep=quick", *tiny, "filter=tri3", "data.val_size=99999")
    assert narrowed.code == 2
    assert "1 run: 1 failed" in narrowed.out
    every = run("train.py", "-m", *tiny, "pool=glob(blur*)", "data.val_size=99999")
    assert every.code == 2
    assert "3 runs: 3 failed" in every.out


def test_jobs_are_called_by_what_they_do_not_have_in_common(tmp_path):
    def called(*commands):
        for number, words in enumerate(commands):
            Job.of("train", words, str(tmp_path / f"{number}.json")).note()
        return [job.name for job in read_jobs(tmp_path)]

    assert called(["data=digits", "seed=0"]) == ["data=digits,seed=0"]
    assert called(["a=[1,2]", "pool=max", "seed=0"], ["a=[1,2]", "pool=blur", "seed=0"]) == ["pool=max", "pool=blur"]
    assert called(["a=1"], ["a=1"]) == ["a=1", "a=1"]
    assert called(['a="x,y=1"', "b=1"], ['a="x,y=2"', "b=1"]) == ['a="x,y=1"', 'a="x,y=2"']


def test_another_sweeper_chooses_runs_as_it_goes(monkeypatch):
    monkeypatch.setattr(Sweep, "view", None)
    Sweep(live=False).on_multirun_start(OmegaConf.create({"hydra": {"sweeper": {"_target_": "optuna.Sweeper"}}}))
    assert Sweep.view is None


def test_a_sweep_of_ones_own_separates_values_by_commas(run, tiny, tmp_path):
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    (tmp_path / "mine" / "sweep" / "seeds.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: [0, 1]\n"
    )
    swept = run("train.py", "-m", "--config-dir", "mine", "+sweep=seeds", *tiny)
    assert swept.code == 2
    assert "The sweep's values of seed are to be separated by commas, as 'seed: 0,1,2'." in swept.err


def test_a_finished_run_that_is_damaged_is_told_beside_the_others(run, tiny, tmp_path):
    arguments = ["-m", *tiny, "trainer.max_epochs=1", "callbacks.shift_measures=null", "seed=0,1,2"]
    assert run("train.py", *arguments).code == 0
    first, second, _ = sorted(finished_runs(tmp_path).values())
    (first / "config.yaml").write_text("")
    (second / "metrics.json").write_text('{"test/accuracy": ')
    again = run("train.py", *arguments)
    assert again.code == 2
    assert "Traceback" not in again.err
    told = " ".join(again.out.replace("│", " ").split())
    assert "3 runs: 2 failed, 1 finished before" in told
    assert again.err.count("If the run's folder is deleted, the same command trains it again.") == 2


def test_what_does_not_matter_makes_no_other_run(run, tiny):
    assert run("train.py", *tiny, "pool=blur", "trainer.max_epochs=1").code == 0
    alike = ["filter=tri5", "data.eval_batch_size=7", "model.fourier=false", "trainer.accelerator=auto"]
    assert "finished: " in run("train.py", *tiny, "pool=blur", "trainer.max_epochs=1", *alike).err


def test_runs_that_differ_otherwise_are_told_apart_by_their_folders(run, tiny, tmp_path):
    swept = run("train.py", "-m", *tiny, "trainer.max_epochs=1", "optimizer.lr=0.02,0.01")
    assert "┃ run " in swept.out
    told = "".join(swept.out.split())
    assert all(name[-8:-2] in told for name in finished_runs(tmp_path))
    assert "┃ run " not in run("train.py", *tiny, "trainer.max_epochs=1").out


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A process of a cluster's, which has been started in another folder than the command."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    config = OmegaConf.create(
        {
            "runtime": {"cwd": str(tmp_path / "here")},
            "mode": RunMode.MULTIRUN,
            "sweep": {"dir": "records"},
            "job": {"num": 0, "name": "train"},
            "overrides": {"task": ["seed=0"]},
        }
    )
    monkeypatch.setattr(HydraConfig, "get", lambda: config)
    return tmp_path / "here"


def test_a_run_writes_where_the_command_was_given(elsewhere):
    with (
        pytest.raises(InputError, match=r"is not there on .*: the machines of a cluster must share it"),
        Outcomes().one_run(),
    ):
        pass
    elsewhere.mkdir()
    with Outcomes().one_run():
        pass
    assert [job.state for job in read_jobs(elsewhere / "records")] == [DONE]


def test_a_sweep_whose_runs_leave_no_word_has_failed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(Sweep, "view", LiveView(tmp_path, total=2, live=False))
    with pytest.raises(SystemExit, match="2"), Outcomes().told():
        pass
    assert "2 runs: 2 to come" in capsys.readouterr().out


def test_a_run_of_another_process_that_is_damaged_is_told(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("\n".join(f"{key}: null" for key in NEEDED))
    (folder / "metrics.json").write_text("{")
    Job("job", str(tmp_path / "0.json"), 0).note(state=ELSEWHERE, folder=str(folder))
    monkeypatch.setattr(Sweep, "view", LiveView(tmp_path, total=1, live=False))
    with pytest.raises(SystemExit, match="2"), Outcomes().told(lambda _: pytest.fail("nothing to show")):
        pass
    told = "".join(capsys.readouterr().out.replace("│", "").split())
    assert "1run:1failed" in told
    assert "metrics.jsoncannotberead" in told


@pytest.mark.rough
def test_a_sweep_over_ray_killed_half_way_and_started_again_is_as_if_never_killed(run, command, tiny, tmp_path):
    arguments = ["-m", *tiny, "trainer.max_epochs=6", "seed=0,1,2,3"]
    (tmp_path / "serial").mkdir()
    assert run("train.py", *arguments, folder=tmp_path / "serial").code == 0
    arguments += ["hydra/launcher=ray_cpu", "hydra.launcher.ray.init.num_cpus=2"]
    first = command("train.py", *arguments)
    wait_for(lambda: finished_runs(tmp_path) and len(list(tmp_path.glob("runs/*/history.csv"))) > 2, first)
    before = {name: (folder / "metrics.json").stat().st_mtime_ns for name, folder in finished_runs(tmp_path).items()}
    assert len(before) < 4
    killed = psutil.Process(first.pid)
    for process in [*killed.children(recursive=True), killed]:  # the workers and what Ray has started for them
        with suppress(psutil.NoSuchProcess):
            process.kill()
    first.process.join()
    assert len(finished_runs(tmp_path)) < 4
    again = run("train.py", *arguments)
    assert again.code == 0, again.err + again.out
    found, expected = finished_runs(tmp_path), finished_runs(tmp_path / "serial")
    assert found.keys() == expected.keys()
    assert len(found) == 4
    for name, folder in found.items():
        assert_same_run(folder, expected[name])
        assert before.get(name, 0) in (0, (folder / "metrics.json").stat().st_mtime_ns)


def test_processes_that_die_without_getting_further_are_counted(tmp_path):
    record, run = str(tmp_path / "0.json"), Run(tmp_path / "run")

    def begin(state, deaths=0):
        """The deaths that a process knows of, after one which that state is left of."""
        before = Job("job", record, time.time(), folder=str(run.folder), deaths=deaths)
        before.note(state=state)
        return Job.of("train", ["job"], record).deaths

    assert Job.of("train", ["job"], record).deaths == 0
    assert begin(RUNNING) == begin(STOPPED) == 1
    assert begin(RUNNING, deaths=2) == 3
    assert begin(FAILED, deaths=3) == begin(DONE) == 0  # of another command, into the same folder
    run.checkpoint.parent.mkdir(parents=True)
    run.checkpoint.touch()
    assert begin(RUNNING) == 1  # it began with that
    os.utime(run.checkpoint, (time.time() + 60,) * 2)
    assert begin(RUNNING, deaths=2) == 0
    Job("job", "", 0, deaths=2).check_deaths()
    with pytest.raises(InputError, match="has died 3 times in a row"):
        Job("job", "", 0, deaths=3).check_deaths()


@pytest.mark.rough
def test_runs_whose_processes_die_again_and_again_do_not_end_a_sweep_over_ray(run, tiny, tmp_path):
    """Ray would start them again for a while, and then raise. What is to come after them is trained."""
    ends = ("{_target_:os._exit,status:9}", "{_target_:signal.raise_signal,signalnum:15}")
    swept = run(
        "train.py",
        "-m",
        *tiny,
        "trainer.max_epochs=1",
        f"+callbacks.dies={','.join(ends)},{{_target_:pytorch_lightning.Callback}}",
        "hydra/launcher=ray_cpu",
        "hydra.sweeper.max_batch_size=1",
    )
    assert swept.code == 2
    assert "3 runs: 2 failed, 1 done" in swept.out
    assert "failed: Its process has died 3 times in a row" in " ".join(swept.out.split())
    assert "Traceback" not in swept.err
    assert len(finished_runs(tmp_path)) == 1


def test_the_view_shows_what_runs_and_what_is_left(tmp_path):
    (tmp_path / "a").mkdir()
    progress = {"epoch": 3, "epochs": 200, "accuracy": 0.5, "images_per_second": 1234.5, "seconds_left": 100}
    (tmp_path / "a" / "progress.json").write_text(json.dumps(progress))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "progress.json").write_text(json.dumps({"measuring": True}))
    jobs = [
        Job("finished", "", began=0, ended=50, state=DONE),
        Job("x", "", began=0, ended=1, state=FAILED, reason="why"),
        Job("pool=max", "", began=0, folder=str(tmp_path / "a")),
        Job("pool=blur", "", began=0, folder=str(tmp_path / "b")),
        Job("pool=avg", "", began=0),
    ]
    shown = printed(picture(jobs, 8, now=100))
    lines = [line.split() for line in shown.splitlines()]
    assert ["a", "3/200", "50.0%", "1,234", "0:01:40"] in lines
    assert ["b", "measuring"] in lines
    assert ["pool=avg", "starting"] in lines
    # One place is free in 100 seconds. The other two runs are due, and to take 50 as the finished one has.
    assert "8 runs: 1 done, 1 failed, 3 running, 3 to come; about 0:01:40 left" in shown
    # Seven to come: two at 0, 50 and 100 seconds, a third one at 100.
    assert "7 to come; about 0:02:30 left" in printed(picture(jobs, 12, now=100))
    # None is finished: a run takes as long as those that are trained will have, 200 seconds.
    assert "2 running, 3 to come; about 0:08:20 left" in printed(picture([jobs[2]] * 2, 5, now=100))
    # What a run says of itself counts for more than how long another one took.
    slow = Job("another width", "", began=0, ended=9000, state=DONE)
    assert "1 done, 1 running; about 0:01:40 left" in printed(picture([slow, jobs[2]], 2, now=100))
    # On a GPU the first epoch's accuracy is not looked at before its end.
    (tmp_path / "a" / "progress.json").write_text(json.dumps(progress | {"accuracy": None}))
    lines = [line.split() for line in printed(picture(jobs, 8, now=100)).splitlines()]
    assert ["a", "3/200", "1,234", "0:01:40"] in lines


def test_the_end_tells_what_became_of_each(tmp_path):
    jobs = [
        Job("a", "", 0, state=DONE),
        Job("b", "", 0, state=BEFORE),
        Job("c", "", 0, state=FAILED, reason="no space"),
        Job("d", "", 0, folder="runs/e"),
        Job("f", "", 0, state=STOPPED),
        Job("g", "", 0, state=FAILED, reason="no space"),
    ]
    shown = printed(others(jobs, 8))
    assert "8 runs: 1 done, 1 finished before, 2 failed, 1 running, 1 stopped, 2 to come" in shown
    assert shown.count("failed: no space") == 1  # what several have in common is said once
    assert "running when this command ended; on a cluster it may" in shown
    assert "stopped; the same command continues it" in shown
    assert jobs[3].title == "e"
    assert "1 run: 1 done" in printed(others(jobs[:1], 1))


def test_ctrl_c_stops_a_sweep_and_says_what_has_stopped(command, tiny, tmp_path):
    arguments = ["train.py", "-m", *tiny, "pool=max,blur", "trainer.max_epochs=200"]
    sweep = command(*arguments)
    wait_for(lambda: list(tmp_path.glob("runs/*/history.csv")), sweep)
    os.kill(sweep.pid, signal.SIGINT)
    assert sweep.finish().code == 128 + signal.SIGINT
    assert "2 runs: 1 stopped, 1 to come" in sweep.out
    assert "stopped; the same command continues it" in " ".join(sweep.out.split())
    (record,) = tmp_path.glob("runs/.sweep/*/0.json")
    assert json.loads(record.read_text())["state"] == STOPPED


def test_a_sweep_of_ones_own_must_be_global(run, tiny, tmp_path):
    """Else it would sweep nothing, and say nothing."""
    finished = run("train.py", "-m", *tiny, "+sweep.hydra.sweeper.params.pool=blur")
    assert finished.code == 2
    assert "must begin with the line '# @package _global_'" in finished.err


def test_what_fails_alike_is_said_once(run, tiny):
    tiny = [argument for argument in tiny if not argument.startswith("data.root=")]
    finished = run("train.py", "-m", *tiny, "data.root=nowhere", "pool=max,blur,avg")
    assert finished.code == 2
    assert finished.err.count("data.root=nowhere has no folder") == 1
    assert "3 runs: 3 failed" in finished.out


def test_what_a_cluster_refuses_is_said_in_a_sentence():
    refusal = FailedJobError("sbatch: error: invalid partition: nope\nsbatch: error: Batch job submission failed\n")
    assert explain(refusal, "train") == "SLURM: sbatch: error: Batch job submission failed"


def test_a_record_is_for_others_to_read(tmp_path):
    for number in (0, 10, 2):
        Job(f"job {number}", str(tmp_path / f"{number}.json"), 1.5).note(state=DONE, ended=3.0)
    (tmp_path / "._1.json").write_bytes(b"\0\5\x16\7")  # macOS's companion of a file on a foreign disk
    assert [job.name for job in read_jobs(tmp_path)] == ["job 0", "job 2", "job 10"]
    assert {job.state for job in read_jobs(tmp_path)} == {DONE}


def test_the_sweeps_are_of_all_rows_of_the_table():
    params = yaml.safe_load((ROOT / "conf" / "sweep" / "table1.yaml").read_text())["hydra"]["sweeper"]["params"]
    wandb = yaml.safe_load((ROOT / "conf" / "wandb" / "table1.yaml").read_text())
    assert params["filter"].split(",") == wandb["parameters"]["filter"]["values"] == list(FILTERS[:19])
    assert {(filter, aug) for filter in FILTERS[:19] for aug in (False, True)} == PUBLISHED.keys()
    assert params["aug"] == "false,true"
    assert wandb["parameters"]["aug"]["values"] == [False, True]
    # What the agent types, of which only the parts with a $ are its own to fill in.
    typed = [part for part in wandb["command"] if "=" in part]
    assert composed("train", [*typed, "filter=ls7", "aug=True"]).aug is True


@pytest.fixture
def small_disk(tmp_path):
    """A disk on which there is room for one checkpoint of a tiny run, but not for two."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=560k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.rough
def test_a_full_disk_leaves_the_checkpoint_before(run, tiny, tmp_path, small_disk):
    arguments = [*tiny, "trainer.max_epochs=3"]
    assert run("train.py", *arguments).code == 0
    full = run("train.py", *arguments, f"runs={small_disk}")
    assert full.code == 2
    assert "error: No space left on device" in full.err
    assert "Traceback" not in full.err
    (folder,) = (child for child in small_disk.iterdir() if child.name.startswith("imagefolder"))
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] < 2
    assert not (folder / "metrics.json").exists()
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert run("train.py", *arguments, f"runs={small_disk}").code == 0
    assert_same_run(folder, run_folder(tmp_path))


@pytest.mark.rough
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_run_of_all(command, tiny, rank):
    process = command("train.py", *tiny, "trainer.max_epochs=500", "trainer.strategy=ddp", "trainer.devices=2")
    folder = Path(process.log).parent
    wait_for(lambda: list(folder.glob("runs/*/history.csv")), process)
    main = psutil.Process(process.pid)
    (other,) = (child for child in main.children() if "train.py" in " ".join(child.cmdline()))
    (main if rank == 0 else other).kill()
    process.process.join(HANGS)
    assert not process.running
    assert process.process.exitcode != 0
    psutil.wait_procs([other], timeout=HANGS)
    assert not other.is_running()


@pytest.mark.parametrize("live", [True, False])
def test_the_view_is_there_while_trainings_run_and_leaves_measurements_their_bars(tmp_path, monkeypatch, live):
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(LiveView, "SECONDS", 0.01)
    Job("job", str(tmp_path / "0.json"), 0.0).note()
    view = LiveView(tmp_path, 2, live)
    assert view.thread.is_alive() == live
    view.stop()
    assert not view.thread.is_alive()
