import json
from pathlib import Path

import pytest
import torch

from lit_shift.data import ImageFolder
from lit_shift.functional import variation
from lit_shift.orbit import orbit_logits
from lit_shift.pool import MaxPoolBlurDS
from lit_shift.vgg import VGG13
from tests.conftest import TINY, save_images

OPTIONS = {"batch_size": 8, "eval_batch_size": 8, "aug": False, "flip": False, "padding": "circular"}
OPTIONS |= {"val_size": 0, "seed": 0}


@pytest.fixture
def trained(run, images, tmp_path) -> Path:
    """The folder of a run of two epochs."""
    assert run("train.py", *TINY, f"data.root={images}", "trainer.max_epochs=2", "pool=blur").code == 0
    (folder,) = (child for child in (tmp_path / "runs").iterdir())
    return folder


def checkpoint(folder):
    return f"ckpt={folder / 'checkpoints' / 'last.ckpt'}"


def test_the_runs_own_numbers_exactly(run, trained):
    finished = run("eval.py", checkpoint(trained))
    assert finished.code == 0, finished.err
    assert (trained / "eval" / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()
    assert "test/consistency" in finished.out


def test_on_other_images_with_the_runs_own_normalisation(run, trained, tmp_path):
    """Other images, 60 levels brighter: normalised by their own statistics they would look like the old ones."""
    save_images(tmp_path / "other", 20, seed=1, brighter=60)
    finished = run("eval.py", checkpoint(trained), "data=imagefolder", f"data.root={tmp_path / 'other'}")
    assert finished.code == 0, finished.err
    metrics = json.loads((trained / "eval-imagefolder" / "metrics.json").read_text())
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
    finished = run("eval.py", "ckpt=last.ckpt", folder=trained / "checkpoints")
    assert finished.code == 0, finished.err
    assert (trained / "eval" / "metrics.json").exists()


def test_out_and_any_switch_of_the_runs_config(run, trained, tmp_path):
    finished = run("eval.py", checkpoint(trained), "out=elsewhere", "data.eval_batch_size=3")
    assert finished.code == 0, finished.err
    theirs = json.loads((tmp_path / "elsewhere" / "metrics.json").read_text())
    assert theirs == pytest.approx(json.loads((trained / "metrics.json").read_text()), rel=1e-4, abs=1e-9)


def mistake(run, *arguments):
    finished = run("eval.py", *arguments)
    assert finished.code == 2
    assert "Traceback" not in finished.err
    return finished.err


def test_mistakes(run, trained, tmp_path):
    assert "ckpt must be given" in mistake(run)
    assert "There is no checkpoint" in mistake(run, checkpoint(trained).replace("last", "lost"))
    assert "There is no checkpoint 'no/such/run.ckpt'" in mistake(run, "ckpt=no/such/run.ckpt")
    assert "type ckpt=RUN/checkpoints/last.ckpt" in mistake(run, f"ckpt={trained}")
    for settled in ("filter=rect3", "padding=zeros", "pool=max", "model.width=8", "+experiment=quickstart"):
        mistake(run, checkpoint(trained), settled)
    assert "filter is settled by the training" in mistake(run, checkpoint(trained), "filter=rect3")
    assert "pool is settled by the training" in mistake(run, checkpoint(trained), "pool=max")
    assert not (trained / "eval").exists()
    (tmp_path / "taken").write_text("a file")
    assert "say out=FOLDER" in mistake(run, checkpoint(trained), "out=taken/below")
    assert "ckpt must be given" in mistake(run, "data=digits")
    assert "Did you mean 'out'" in mistake(run, checkpoint(trained), "outt=x")
    assert "Unknown data 'digit'" in mistake(run, checkpoint(trained), "data=digit")
    assert "knows 2 classes, but data=digits has 10" in mistake(run, checkpoint(trained), "data=digits")


def test_classes_of_other_names_are_said(run, trained, tmp_path):
    save_images(tmp_path / "other", 4)
    for split in ("train", "test"):
        (tmp_path / "other" / split / "below").rename(tmp_path / "other" / split / "zebra")
    finished = run("eval.py", checkpoint(trained), "data=imagefolder", f"data.root={tmp_path / 'other'}")
    assert finished.code == 0
    assert "matched in order: above = above, below = zebra" in finished.err


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
    assert "is of another architecture" in mistake(run, checkpoint(trained))
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
    assert "ckpt=RUN/checkpoints/last.ckpt" in finished.out
