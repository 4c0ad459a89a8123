import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lit_shift.consistency_variants import DEFINITIONS
from lit_shift.data import ImageFolder
from lit_shift.functional import variation
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import LayersAtAllShifts, orbit_logits
from lit_shift.pools.pool import MaxPoolBlurDS
from lit_shift.results.__main__ import main
from lit_shift.results.gather import gather
from lit_shift.runs.findings import load_arrays, save_arrays
from tests.conftest import ROOT, TINY, save_images, train_tiny
from tests.findings import OF_ZHANG, build

OPTIONS = {"batch_size": 8, "eval_batch_size": 8, "aug": False, "flip": False, "padding": "circular"}
OPTIONS |= {"val_size": 0, "seed": 0}


@pytest.fixture(scope="module")
def once_trained(images, tmp_path_factory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("trained"), images, "trainer.max_epochs=2", "pool=blur")


@pytest.fixture
def trained(once_trained, tmp_path) -> Path:
    """The folder of a run of two epochs."""
    return Path(shutil.copytree(once_trained, tmp_path / "runs" / once_trained.name))


def checkpoint(folder):
    return f"ckpt={folder / 'checkpoints' / 'last.ckpt'}"


def measured(run, *arguments, **options):
    """Run eval.py to its good end, without figures, which take longer than all else."""
    finished = run("eval.py", *arguments, "figures=false", **options)
    assert finished.code == 0, finished.err
    return finished


def test_the_runs_own_numbers_exactly(run, trained):
    finished = measured(run, checkpoint(trained))
    assert (trained / "eval" / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()
    for words in ("test/consistency", "pool5_dense", "once_per_batch", "Zhang, section"):
        assert words in finished.out
    before, after = (load_arrays(folder / "arrays.npz") for folder in (trained, trained / "eval"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_every_measure_and_figure_of_the_shift_paper(run, trained):
    """From files alone: what eval.py leaves is what a reader of Zhang looks for."""
    assert run("eval.py", checkpoint(trained)).code == 0
    for name in OF_ZHANG:
        with Image.open(trained / "eval" / "figures" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5  # not an empty sheet
    assert {file.stem for file in (trained / "eval" / "figures").iterdir()} == OF_ZHANG
    metrics = json.loads((trained / "eval" / "metrics.json").read_text())
    layers = LayersAtAllShifts(VGG13(MaxPoolBlurDS, width=1), torch.zeros(1, 3, 32, 32)).names
    assert {key for key in metrics if key.startswith("equivariance/")} == {f"equivariance/{name}" for name in layers}
    arrays = load_arrays(trained / "eval" / "arrays.npz")
    for name in layers:
        assert arrays[f"equivariance/{name}"].shape == (32, 32)
        assert metrics[f"equivariance/{name}"] == pytest.approx(arrays[f"equivariance/{name}"].mean(), rel=1e-6)
    assert metrics["test/variation"] == pytest.approx(arrays["variation"].mean(), rel=1e-5)
    assert {key for key in metrics if key.startswith("consistency/") and "_ci95" not in key} == {
        f"consistency/{name}" for name in DEFINITIONS
    }


def test_chosen_images(run, trained):
    measured(run, checkpoint(trained), "images=[3,7]")
    arrays = load_arrays(trained / "eval" / "arrays.npz")
    assert arrays["chosen"].tolist() == [3, 7]
    assert "must be a list" in mistake(run, checkpoint(trained), "images=3")
    assert "numbered from 0 to 39" in mistake(run, checkpoint(trained), "images=[40]")
    assert "images=-1 must be a whole number" in mistake(run, checkpoint(trained), "images=[-1]")


def test_a_run_from_before_a_measure_was_added_is_measured_by_it_with_its_own_settings(run, trained):
    file = trained / "config.yaml"
    config = yaml.safe_load(file.read_text())
    for name in ("equivariance", "lie_derivative", "consistency_readings", "shown_images"):
        del config["callbacks"][name]
    config["callbacks"]["shift_measures"]["seed"] = 5
    config["callbacks"]["filter_tv"] = None
    file.write_text(yaml.safe_dump(config))
    measured(run, checkpoint(trained))
    metrics = json.loads((trained / "eval" / "metrics.json").read_text())
    assert "equivariance/softmax" in metrics
    assert "lie_derivative/pool5" in metrics
    assert "tv/conv1_1" not in metrics
    used = yaml.safe_load((trained / "eval" / "config.yaml").read_text())["callbacks"]
    assert used["shift_measures"]["seed"] == 5
    assert used["equivariance"]["images"] == 256


def test_ctrl_c_keeps_what_has_been_measured(run, trained):
    interrupt = ["+callbacks.interrupt._target_=tests.interrupt.InterruptTest", "+callbacks.interrupt.batch=1"]
    finished = run("eval.py", checkpoint(trained), *interrupt, "data.eval_batch_size=8", PYTHONPATH=str(ROOT))
    assert finished.code == 130
    assert "Stopped early. 16 of 40 test images were measured" in finished.err
    metrics = json.loads((trained / "eval" / "metrics.json").read_text())
    assert metrics["test/images"] == 16
    assert metrics["test/complete"] == 0
    assert not [name for name in metrics if name.startswith(("equivariance/", "consistency/"))]
    assert 0 <= metrics["test/consistency"] <= 1
    assert (trained / "eval" / "figures" / "variation.png").exists()
    assert f"figures/ in {trained / 'eval'}" in finished.err.replace("\n", "")
    assert not (trained / "eval" / "figures" / "equivariance.png").exists()
    (findings,), _ = gather([trained])  # which draw what is whole
    assert len(findings.arrays["labels"]) == 40
    assert "equivariance/softmax" in findings.arrays


def test_a_part_does_not_take_the_place_of_the_whole(run, trained, tmp_path):
    measured(run, checkpoint(trained))
    before = (trained / "eval" / "metrics.json").read_bytes()
    interrupt = ["+callbacks.interrupt._target_=tests.interrupt.InterruptTest", "+callbacks.interrupt.batch=0"]
    interrupt += ["+callbacks.interrupt.number=SIGTERM", "+callbacks.interrupt.times=2"]  # one, and its echo
    finished = run("eval.py", checkpoint(trained), *interrupt, "data.eval_batch_size=8", PYTHONPATH=str(ROOT))
    assert finished.code == 128 + signal.SIGTERM
    assert (trained / "eval" / "metrics.json").read_bytes() == before
    assert json.loads((trained / "eval-partial" / "metrics.json").read_text())["test/images"] == 8
    assert not (trained / "eval-partial" / "figures").exists()  # a scheduler does not wait for them


def test_other_images_are_never_taken_for_the_runs_own(run, trained, tmp_path):
    save_images(tmp_path / "other", 20, seed=1)
    measured(run, checkpoint(trained), f"data.root={tmp_path / 'other'}")
    assert len(list(trained.glob("eval-imagefolder-????????/metrics.json"))) == 1
    assert not (trained / "eval").exists()
    measured(run, checkpoint(trained), "data.eval_batch_size=3")
    assert (trained / "eval" / "metrics.json").exists()


def test_a_few_batches_of_one_image_each(run, images, tmp_path):
    """A test that is cut short, and images beyond it."""
    cut = ["+trainer.limit_test_batches=3", "data.eval_batch_size=1", "trainer.max_epochs=1"]
    assert run("train.py", *TINY, f"data.root={images}", *cut).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    measured(run, checkpoint(folder), "images=[2,12]")
    arrays = load_arrays(folder / "eval" / "arrays.npz")
    assert arrays["chosen"].tolist() == [2]
    assert len(arrays["variation"]) == 3
    main([str(tmp_path / "runs"), "--format", "html"])
    (row,) = build(gather([folder])[0]).to_dict("records")
    assert "was measured on a sample of 3 test images" in " ".join(row["notes"])


@pytest.mark.parametrize("without", ["shift_measures", "shown_images", "equivariance"])
def test_measures_that_are_switched_off(run, trained, tmp_path, without):
    measured(run, checkpoint(trained), f"callbacks.{without}=null", "images=[3]")
    for file in (trained / "arrays.npz", trained / "eval" / "arrays.npz"):  # two layers are drawn sooner than all
        arrays = load_arrays(file)
        few = [name for name in arrays if "/" not in name or name.endswith(("/pixels", "/pool1_ds"))]
        save_arrays(file, {name: arrays[name] for name in few})
    main([str(trained), "--format", "html", "--figures", str(tmp_path / "figures")])
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == OF_ZHANG


@pytest.mark.parametrize("content", ["", "a word", "choices: {data: digits}", "[1, 2]", "a: [", "a: ${b}"])
def test_a_config_that_is_none(run, trained, content, capsys):
    (trained / "config.yaml").write_text(content)
    assert "config.yaml" in mistake(run, checkpoint(trained))
    with pytest.raises(SystemExit):
        main([str(trained)])
    assert capsys.readouterr().err.count("\n") == 1


def test_on_other_images_with_the_runs_own_normalisation(run, trained, tmp_path):
    """Other images, 60 levels brighter: normalised by their own statistics they would look like the old ones."""
    save_images(tmp_path / "other", 20, seed=1, brighter=60)
    measured(run, checkpoint(trained), "data=imagefolder", f"data.root={tmp_path / 'other'}")
    (file,) = trained.glob("eval-imagefolder-????????/metrics.json")
    metrics = json.loads(file.read_text())
    assert metrics["test/images"] == 10
    state = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    net = VGG13(MaxPoolBlurDS, num_classes=2, width=4).eval()
    net.load_state_dict({key.removeprefix("net."): value for key, value in state.items() if key.startswith("net.")})
    data = ImageFolder(str(tmp_path / "other"), None, **OPTIONS)
    data.setup()
    logits = orbit_logits(net, (data.test.pixels / 255 - state["mean"]) / state["std"])
    loss = torch.nn.functional.cross_entropy(logits[:, 0, 0], data.test.labels).item()
    assert metrics["test/loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["test/variation"] == pytest.approx(variation(logits, data.test.labels).item(), rel=1e-3)
    assert abs(data.mean[0] - state["mean"][0]).item() > 0.1
    assert not (trained / "eval").exists()


def test_from_within_the_folder_of_the_checkpoint(run, trained):
    measured(run, "ckpt=last.ckpt", folder=trained / "checkpoints")
    assert (trained / "eval" / "metrics.json").exists()


def test_out_and_any_switch_of_the_runs_config(run, trained, tmp_path):
    measured(run, checkpoint(trained), "out=elsewhere", "data.eval_batch_size=3")
    theirs = json.loads((tmp_path / "elsewhere" / "metrics.json").read_text())
    assert theirs == pytest.approx(json.loads((trained / "metrics.json").read_text()), rel=1e-4, abs=1e-9)


def mistake(run, *arguments):
    finished = run("eval.py", *arguments)
    assert finished.code == 2
    assert "Traceback" not in finished.err
    return finished.err


def test_mistakes(run, trained, tmp_path):
    assert "ckpt or model must be given" in mistake(run)
    assert "There is no checkpoint" in mistake(run, checkpoint(trained).replace("last", "lost"))
    assert "There is no checkpoint 'no/such/run.ckpt'" in mistake(run, "ckpt=no/such/run.ckpt")
    for settled in ("filter=rect3", "padding=zeros", "pool=max", "model.width=8", "+experiment=quickstart"):
        mistake(run, checkpoint(trained), settled)
    assert "filter is settled by the training" in mistake(run, checkpoint(trained), "filter=rect3")
    assert "pool is settled by the training" in mistake(run, checkpoint(trained), "pool=max")
    assert not (trained / "eval").exists()
    (tmp_path / "taken").write_text("a file")
    assert "say out=FOLDER" in mistake(run, checkpoint(trained), "out=taken/below")
    assert "ckpt or model must be given" in mistake(run, "data=digits")
    assert "Did you mean 'out'" in mistake(run, checkpoint(trained), "outt=x")
    assert "Unknown data 'digit'" in mistake(run, checkpoint(trained), "data=digit")
    assert "knows 2 classes, but data=digits has 10" in mistake(run, checkpoint(trained), "data=digits")


def test_classes_of_other_names_are_said(run, trained, tmp_path):
    save_images(tmp_path / "other", 4)
    for split in ("train", "test"):
        (tmp_path / "other" / split / "below").rename(tmp_path / "other" / split / "zebra")
    options = [checkpoint(trained), "data=imagefolder", f"data.root={tmp_path / 'other'}"]
    assert "classes (above, zebra) than the network (above, below). If they are the same in" in mistake(run, *options)
    finished = measured(run, *options, "classes=by_order", "out=out")
    assert "they are matched: above = above, below = zebra" in finished.err
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["classes"] == ["above", "below"]


def test_checkpoints_that_are_none(run, trained):
    file = trained / "checkpoints" / "last.ckpt"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "last.ckpt is truncated or not a file saved by torch" in mistake(run, checkpoint(trained))
    file.write_text("some text")
    assert "last.ckpt is truncated or not a file saved by torch" in mistake(run, checkpoint(trained))
    torch.save({"weights": torch.zeros(3)}, file)
    assert "is not a checkpoint of a training" in mistake(run, checkpoint(trained))
    file.write_bytes(whole)
    config = trained / "config.yaml"
    config.write_text(config.read_text().replace("width: 4", "width: 8"))
    assert "has another architecture" in mistake(run, checkpoint(trained))
    config.unlink()
    assert "a checkpoint needs the config.yaml of its run" in mistake(run, checkpoint(trained))


def test_a_checkpoint_runs_no_code(run, trained):
    class Malice:
        def __reduce__(self):
            return (Path.touch, (trained / "harm",))

    torch.save({"state_dict": {}, "harm": Malice()}, trained / "checkpoints" / "last.ckpt")
    assert "not a file saved by torch" in mistake(run, checkpoint(trained))
    assert not (trained / "harm").exists()


def test_help_needs_no_checkpoint(run):
    finished = run("eval.py", "--help")
    assert finished.code == 0
    assert "ckpt=RUN" in finished.out
