import csv
import json
import os
import re
import socket
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from wandb import wandb_agent
from wandb.proto import wandb_internal_pb2

from lit_shift.cli.eval_config import add_measured
from lit_shift.runs.config import composed
from lit_shift.runs.run import Run
from lit_shift.training.wandb_logging import log_histogram, logged, wandb_logger
from tests.conftest import ROOT, TINY
from tests.findings import OF_ZHANG


def records(file):
    """The records of a .wandb file: after 7 bytes, a LevelDB log of protocol buffers."""
    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # no room for a header at the end of a block
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # full, or last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def stored(folder):
    """What an offline run's file holds: keys with their last values, the config, and the run's name and group."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    last, config, names = {}, {}, set()
    for record in records(file):
        for item in record.history.item:
            last[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        if record.HasField("run"):
            names.add((record.run.display_name, record.run.run_group))
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    return last, config, names


UNDRAWN = ["callbacks.equivariance=null", "callbacks.shown_images=null", "callbacks.consistency_readings=null"]
UNDRAWN += ["callbacks.filter_tv=null", "callbacks.lie_derivative=null"]


@pytest.fixture
def arguments(images):
    tiny = [argument for argument in TINY if argument != "logger=csv"]
    return [*tiny, f"data.root={images}", "trainer.max_epochs=2", "pool=blur", "filter=rect2", "aug=true", "seed=3"]


def test_an_offline_run_needs_nobody_and_holds_everything(run, arguments, tmp_path):
    finished = run("train.py", *arguments)
    assert finished.code == 0, finished.err
    (folder,) = (tmp_path / "runs").iterdir()
    last, config, identities = stored(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() <= last.keys()
    assert {"train/loss", "train/accuracy", "lr", "subset/consistency", "tv/conv1_1"} <= last.keys()
    assert last["test/consistency"] == pytest.approx(metrics["test/consistency"])
    assert last["test/variation_log10._type"] == "histogram"
    assert sum(last["test/variation_log10.values"]) == metrics["test/images"]
    drawn = {key.split(".")[0] for key, value in last.items() if value == "image-file"}
    assert drawn == {f"figures/{name}" for name in OF_ZHANG}
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/table1_*.json")
    table = json.loads(table.read_text())
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    assert (row["pool"], row["filter"], row["aug"], row["seed"]) == ("blur", "rect2", True, 3)
    assert row["consistency"] == metrics["test/consistency"]
    assert "consistency_published" not in row  # these images are not CIFAR-10
    assert config["pool"]["filter"] == "rect2"
    ((name, group),) = identities
    assert name == "blur-rect2-aug-s3"
    assert re.fullmatch(r"blur-rect2-aug-[0-9a-f]{8}", group)
    (offline,) = folder.glob("wandb/offline-run-*")
    assert f"wandb sync {offline.relative_to(tmp_path)}\n" in finished.err
    assert "wandb:" not in finished.err + finished.out


@pytest.fixture
def wandb_config():
    """The config of a training, with what Hydra knows of a command alone."""
    config = composed("train", ["data=digits"])
    config.choices = {"data": "digits", "model": "vgg13", "pool": "max"}
    return config


def test_the_environment_comes_before_defaults_and_what_is_typed_before_both(monkeypatch):
    variables = {"mode": "WANDB_MODE", "project": "WANDB_PROJECT", "group": "WANDB_RUN_GROUP"}
    for variable in variables.values():
        monkeypatch.delenv(variable, raising=False)
    assert (
        dict(composed("train", []).logger).items() >= {"mode": "offline", "project": "lit_shift", "group": None}.items()
    )
    for option, variable in variables.items():
        monkeypatch.setenv(variable, "disabled")
        assert composed("train", []).logger[option] == "disabled"
        assert composed("train", [f"logger.{option}=online"]).logger[option] == "online"


def test_what_a_run_was_trained_with_is_a_default_too(monkeypatch, tmp_path, wandb_config):
    run = Run(tmp_path / "run")
    run.checkpoint.parent.mkdir(parents=True)
    run.checkpoint.touch()
    wandb_config.logger.mode = "online"
    recorded = OmegaConf.to_container(wandb_config) | {"classes": ["a"], "image_size": [32, 32]}
    OmegaConf.save(OmegaConf.create(recorded), run.folder / "config.yaml")
    for mode, typed, expected in (
        (None, [], "online"),
        ("disabled", [], "disabled"),
        ("disabled", ["offline"], "offline"),
    ):
        monkeypatch.setenv("WANDB_MODE", mode) if mode else monkeypatch.delenv("WANDB_MODE", raising=False)
        add_measured([f"ckpt={run.checkpoint}"])
        made = composed("eval", [f"ckpt={run.checkpoint}", *(f"logger.mode={word}" for word in typed)])
        assert made.logger.mode == expected


def test_disabled_writes_nothing_and_advises_nothing(monkeypatch, tmp_path, capsys, wandb_config):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    trainer = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    with logged(trainer, wandb_config, tmp_path):
        assert trainer.loggers == []
        log_histogram(trainer, "key", np.zeros(3), np.arange(4))
    assert not list(tmp_path.iterdir())
    assert "upload" not in capsys.readouterr().err


def test_names_of_the_environment_come_before_ours(monkeypatch, tmp_path, wandb_config):
    made = {}
    monkeypatch.setattr("lit_shift.training.wandb_logging.WandbLogger", lambda **options: made.update(options))
    monkeypatch.setattr("wandb.setup", lambda settings: made.update(silent=settings.silent))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    wandb_logger("offline", "p", None, "ours", tmp_path, wandb_config)
    expected = {"name": "ours", "save_dir": str(tmp_path), "resume": "allow", "silent": True, "mode": "offline"}
    assert made.items() >= expected.items()
    monkeypatch.setenv("HOME", str(tmp_path))
    theirs = {
        "NAME": "mine",
        "RUN_ID": "7",
        "JOB_TYPE": "trial",
        "DIR": "~/there",
        "RESUME": "never",
        "SILENT": "false",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    made.clear()
    wandb_logger("dryrun", "p", None, "ours", tmp_path / "other", wandb_config)
    expected = {"name": "mine", "id": "7", "job_type": "trial", "save_dir": str(tmp_path / "there"), "resume": "never"}
    assert made.items() >= (expected | {"mode": "offline"}).items()
    assert "silent" not in made


def test_online_without_a_login_goes_on_offline_and_says_so(run, arguments, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        finished = run("train.py", *arguments, *UNDRAWN, "logger.mode=online", WANDB_BASE_URL=url)
    assert finished.code == 0, finished.err
    assert "W&B cannot go online (no login" in finished.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert "test/consistency" in stored(folder)[0]


@pytest.mark.rough
def test_online_without_a_network_goes_on_offline_and_says_so(run, arguments, tmp_path):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        login = {"WANDB_BASE_URL": url, "WANDB_API_KEY": "a" * 40}
        finished = run("train.py", *arguments, *UNDRAWN, "logger.mode=online", **login)
    assert finished.code == 0, finished.err
    assert "W&B cannot go online (no network" in finished.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert "test/consistency" in stored(folder)[0]


@pytest.mark.rough
def test_a_resumed_run_continues_under_its_id_and_its_file_holds_every_epoch(run, arguments, tmp_path):
    arguments += [*UNDRAWN, "trainer.max_epochs=3", "+callbacks.interrupt._target_=tests.interrupt.Interrupt"]
    arguments += ["+callbacks.interrupt.epoch=2", "+callbacks.interrupt.moment=1"]
    stopped = run("train.py", *arguments)
    assert stopped.code == 130, stopped.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert run("train.py", *arguments).code == 0
    (folder / "metrics.json").unlink()  # as if killed while the test set was measured
    assert run("train.py", *arguments).code == 0
    files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_ctime)
    assert len(files) == 3
    assert len({file.name for file in files}) == 1
    rows = list(csv.DictReader((folder / "history.csv").open()))
    for file in files[1:]:
        losses = [
            json.loads(item.value_json)
            for record in records(file)
            for item in record.history.item
            if (item.key or ".".join(item.nested_key)) == "train/loss"
        ]
        assert losses == pytest.approx([float(row["train/loss"]) for row in rows])


@pytest.mark.rough
def test_two_runs_of_one_config_have_different_ids(run, arguments, tmp_path):
    for runs in ("here", "there"):
        assert run("train.py", *arguments, *UNDRAWN, "trainer.max_epochs=1", f"runs={runs}").code == 0
    here, there = ((tmp_path / runs).glob("*/wandb/id") for runs in ("here", "there"))
    assert next(here).read_text() != next(there).read_text()


@pytest.mark.rough
def test_each_run_of_a_sweep_is_a_run_of_its_own(run, arguments, tmp_path):
    arguments += [*UNDRAWN, "trainer.max_epochs=1"]
    assert run("train.py", "-m", *arguments, "seed=1,2").code == 0
    (one,), (two,) = (stored(folder)[2] for folder in sorted((tmp_path / "runs").glob("imagefolder-*")))
    assert (one[0], two[0]) == ("blur-rect2-aug-s1", "blur-rect2-aug-s2")
    assert one[1] == two[1]  # the group of runs that differ by seed alone
    assert run("train.py", *arguments, "model.width=3").code == 0
    (other,) = set().union(*(stored(folder)[2] for folder in (tmp_path / "runs").glob("*-s3-*")))
    assert other[1] != one[1]


def test_what_protocols_measure_is_a_run_of_its_own_beside_that_of_the_training(run, arguments, tmp_path):
    assert run("train.py", *arguments, *UNDRAWN, "trainer.max_epochs=1", "logger=csv").code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    options = ["protocol=[circular,whole]", "protocol.images=4", "protocol.top=[1]", "images=[3]", "logger=wandb"]
    assert run("eval.py", f"ckpt={folder / 'checkpoints' / 'last.ckpt'}", *options).code == 0
    last, config, identities = stored(folder / "eval")
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())
    assert metrics.keys() <= last.keys()
    assert last["circular/mad"] == pytest.approx(metrics["circular/mad"])
    drawn = {key.split(".")[0] for key, value in last.items() if value == "image-file"}
    assert drawn == {f"figures/{file.stem}" for file in (folder / "eval" / "figures").iterdir()}
    assert "figures/circular_film_3" in drawn
    assert config["protocol"]["images"] == 4
    ((name, group),) = identities
    assert name == "blur-rect2-aug-s3"
    assert re.fullmatch(r"blur-rect2-aug-[0-9a-f]{8}", group)


def test_an_agent_of_wandb_trains_a_row_of_the_table(run, images, tmp_path, monkeypatch):
    """W&B's own agent fills in the command; no server is needed for that."""
    started = []
    monkeypatch.setattr(wandb_agent, "AgentProcess", lambda **process: started.append(process) or SimpleNamespace())
    for name in ("WANDB_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # which the agent sets
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    sweep = yaml.safe_load((ROOT / "conf" / "wandb" / "table1.yaml").read_text())
    agent = wandb_agent.Agent(None, None, sweep_id="sweep")
    agent._sweep_command = sweep["command"]
    asked = {"filter": {"value": "rect3"}, "aug": {"value": True}}
    assert asked.keys() == sweep["parameters"].keys()
    agent._command_run({"run_id": "row7", "program": sweep["program"], "args": asked})

    (process,) = started
    assert process["command"][:4] == ["/usr/bin/env", "uv", "run", "train.py"]
    tiny = [argument for argument in TINY if argument != "logger=csv"]
    arguments = [*process["command"][4:], *tiny, *UNDRAWN, f"data.root={images}", "trainer.max_epochs=1"]
    environment = {name: value for name, value in process["env"].items() if name.startswith("WANDB_")}
    finished = run("train.py", *arguments, "logger.mode=offline", **environment)
    assert finished.code == 0, finished.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert "-blur-rect3-aug-s0-" in folder.name
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert file.name == "run-row7.wandb"
    assert [record.run.sweep_id for record in records(file) if record.HasField("run")] == ["sweep"]
    assert stored(folder)[2] == {("blur-rect3-aug-s0", "table1")}


def test_an_unknown_mode_is_said_before_anything_is_made(run, tmp_path):
    finished = run("train.py", "data=digits", "logger.mode=onlin")
    assert finished.code == 2
    assert "Unknown logger.mode 'onlin'. Did you mean 'online'?" in finished.err
    assert not (tmp_path / "runs").exists()
