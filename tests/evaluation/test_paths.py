"""A path means the same wherever a user gives it: ``~`` is the home folder, as a shell has it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lit_shift import boxes
from lit_shift.bias import __main__ as bias
from lit_shift.classifiers.class_names import read_names
from lit_shift.classifiers.weights import weights_file
from lit_shift.data import CIFAR10, ImageFolder
from lit_shift.data.sources import Photographs
from lit_shift.evaluation.folder import out_folder, with_weights
from lit_shift.protocols.video import Frames
from lit_shift.results import __main__ as results
from lit_shift.runs.run import Run
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import given, given_folder
from tests.conftest import ROOT, save_images

DATA = {"batch_size": 1, "eval_batch_size": 1, "aug": False, "flip": False, "padding": "circular"}
DATA |= {"val_size": 0, "seed": 0}


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home folder; what ``~`` is not to be taken for is a folder of that name."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.mark.parametrize("name", ["~", "~/a", "a/~", "/~/a", "~root", "~root/a", "a~"])
def test_a_path_is_what_a_shell_makes_of_it(name, home):
    shell = subprocess.run(["sh", "-c", f"printf %s {name}"], capture_output=True, text=True, check=True)
    assert str(given(name)) == str(given(Path(name))) == shell.stdout


def test_the_home_of_nobody(home):
    with pytest.raises(InputError, match=r"~nobody_at_all/a: ~ names a user who does not exist"):
        given("~nobody_at_all/a")


def test_every_path_is_given_alike(home):
    save_images(home / "images", 2)
    run = Run(home / "lr=0.1" / "run")
    run.checkpoint.parent.mkdir(parents=True)
    run.checkpoint.write_bytes(b"weights")
    (home / "names.txt").write_text("a\nb\n")
    (home / "boxes.csv").write_text("image,category,width,height,xmin,ymin,xmax,ymax\na,b,4,4,0,0,2,2\n")

    assert ImageFolder("~/images", **DATA).root == home / "images"
    assert CIFAR10("~/cifar", **DATA).root == home / "cifar"
    assert Photographs.found_in("~/images").files[0].is_relative_to(home)
    assert Frames("~/images/train/above", skip_bad=False).files[0].is_relative_to(home)
    assert given_folder("~/images", "data.root", "images") == home / "images"
    assert read_names("~/names.txt") == ["a", "b"]
    assert weights_file("~/weights.pth", "net", []) == home / "weights.pth"
    assert Run.of("~/lr=0.1/run/checkpoints/last.ckpt").folder == run.folder
    assert out_folder(OmegaConf.create({"out": "~/out"})) == home / "out"
    digest = with_weights(OmegaConf.create({"ckpt": "~/lr=0.1/run/checkpoints/last.ckpt", "weights_sha256": None}))
    assert digest.weights_sha256
    assert [box.category for box in boxes.read(Path("~/boxes.csv"))] == ["b"]
    options = bias.parse(['boxes="~/boxes.csv"', 'out="~/bias"'])
    assert (options.boxes, options.out) == (home / "boxes.csv", home / "bias")
    with pytest.raises(InputError, match=f"There is no folder '{home}/runs'"):
        results.gather(["~/runs"])
    assert not list(Path.cwd().glob("~*"))


@pytest.mark.rough
def test_a_run_and_a_sweep_go_to_the_home_folder(home):
    """What Hydra itself makes too. The run is refused in time, so that nothing is trained."""
    arguments = ["train.py", "-m", 'runs="~/runs"', "data=digits", "logger=csv", "seed=0,1", "data.val_size=99999"]
    subprocess.run([sys.executable, str(ROOT / arguments[0]), *arguments[1:]], capture_output=True, check=False)
    records = sorted(home.glob("runs/.sweep/*/*.json"))
    assert [json.loads(record.read_text())["state"] for record in records] == ["failed", "failed"]
    assert os.listdir() == ["home"]


def test_there_is_one_place_that_knows_about_home():
    """So that no path can be forgotten again."""
    for file in [*(ROOT / "lit_shift").rglob("*.py"), ROOT / "train.py", ROOT / "eval.py"]:
        if file != ROOT / "lit_shift" / "utils" / "files.py":
            assert "expanduser" not in file.read_text(), file
    # argparse hands on what was typed
    assert not re.search(r"type=Path", (ROOT / "lit_shift" / "results" / "__main__.py").read_text())
