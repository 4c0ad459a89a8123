"""``eval.py protocol=...``, of runs and of classifiers from elsewhere, as a user calls it."""

import csv
import json
import re
import shutil
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn
from torchvision.models import resnet18

from lit_shift.classifiers.classifier import Classifier
from lit_shift.data import image_files
from lit_shift.functional import correct_probability, departures, jaggedness, mad, nonshiftability
from lit_shift.models.vgg import VGG13
from lit_shift.results.__main__ import main
from lit_shift.results.gather import gather
from lit_shift.runs.findings import Findings, load_arrays
from lit_shift.shifts import roll, seeded
from tests.conftest import ROOT, TINY, save_images, train_tiny
from tests.test_measures import undeclared
from tests.test_train import run_folder

CPU = ("trainer.accelerator=cpu", "logger=csv")
# Answers by the parity of the brightest row, with the certainty of 20.
PARITY = """
import os
import signal
import torch
import yaml

class Parity(torch.nn.Module):
    def forward(self, x):
        even = x.mean((1, 3)).argmax(1) % 2 == 0
        return 20.0 * torch.stack([even, ~even], dim=1)

class Interrupted(Parity):
    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 6:  # two for what the network is like, then for each image its whole and its frames
            os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)
"""
BY_PARITY = ("model=python", "model.target=parity:Parity", "model.mean=[0,0,0]", "model.std=[1,1,1]", "model.size=24")
BY_PARITY += ("model.classes=[even,odd]", "protocol.top=[1]", "protocol.layers=false", *CPU)


@pytest.fixture
def stripes(tmp_path):
    """Black images of 32x32 with a bright row at 13 (odd) and at 18 (even), and the module of the parity classifier.

    It sees their middle, 24x24, where the rows are 9 and 14.
    """
    (tmp_path / "parity.py").write_text(PARITY)
    for name, row in (("odd", 13), ("even", 18)):
        folder = tmp_path / "stripes" / name
        folder.mkdir(parents=True)
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[row] = 255
        Image.fromarray(pixels).save(folder / "stripe.png")
    return tmp_path / "stripes"


def measured(run, *arguments, out="out", figures="false"):
    """Run eval.py to its good end; without figures, which take longer than all else, but where a test looks at them."""
    finished = run("eval.py", *arguments, f"out={out}", f"figures={figures}")
    assert finished.code == 0, finished.err
    return finished


def metrics(folder, out="out"):
    return json.loads((folder / out / "metrics.json").read_text())


def test_a_classifier_whose_jaggedness_is_known_through_each_protocol(run, stripes, tmp_path):
    for number, row in enumerate((4, 5, 7, 8, 10)):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[row] = 255
        (tmp_path / "video").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "video" / f"{number}.png")
    names = ["circular", "crop", "embed", "frames", "placement", "scale", "subpixel", "whole"]
    protocols = ["protocol.folder=video", "protocol.label=even", "protocol.window=24", "protocol.fraction=1"]
    protocols += ["protocol.windows=9", "protocol.resize=crop"]
    measured(run, *BY_PARITY, f"data.root={stripes}", f"protocol=[{','.join(names)}]", *protocols)
    found = metrics(tmp_path)
    # Wherever the row moves by one, its parity changes at every step.
    for name, steps in (("circular", 24), ("crop", 9), ("embed", 13), ("subpixel", 17)):
        assert found[f"{name}/steps"] == steps
        assert found[f"{name}/jaggedness_top1"] == steps - 1
        assert found[f"{name}/jagged_fraction_top1"] == found[f"{name}/jaggedness_rate_top1"] == 1
        assert found[f"{name}/mad"] == pytest.approx(1)
        assert found[f"{name}/accuracy"] == pytest.approx(0.5, abs=0.51 / steps)
        assert found[f"{name}/n"] == 2
    assert found["whole/accuracy"] == found["network/accuracy"] == 1
    assert found["frames/n"] == 1
    assert found["frames/jaggedness_top1"] == 2  # even, odd, odd, even, even
    assert found["frames/accuracy"] == 3 / 5
    # The middle row of what is scaled, by the size of the scaled image: its place is that of the brightest row.
    changes = []
    for name in ("even", "odd"):
        image = image_files.decode(stripes / name / "stripe.png")[4:28, 4:28]
        rows = []
        for size in range(6, 25):
            top = (24 - size) // 2
            grey = torch.from_numpy(image / 255.0).mean((1, 2))[None, None, :, None].expand(-1, -1, -1, 24)
            small = nn.functional.interpolate(grey, (size, size), mode="bilinear", antialias=True)
            rows.append(top + int(small.mean(3).argmax()))
        changes.append(sum((a - b) % 2 for a, b in pairwise(rows)))
    assert found["scale/jaggedness_top1"] == np.mean(changes)
    assert not any(key.startswith("placement/jaggedness") for key in found)  # no path


def test_horizontally_the_parity_classifier_never_changes_its_mind(run, stripes, tmp_path):
    measured(run, *BY_PARITY, f"data.root={stripes}", "protocol=[embed,circular]", "protocol.path=horizontal")
    for name in ("embed", "circular"):
        assert metrics(tmp_path)[f"{name}/jaggedness_top1"] == 0
        assert metrics(tmp_path)[f"{name}/mad"] == 0


@pytest.fixture(scope="module")
def once_trained(images, tmp_path_factory):
    longest = ("equivariance", "lie_derivative", "consistency_readings")
    unmeasured = [f"callbacks.{name}=null" for name in longest]
    return train_tiny(tmp_path_factory.mktemp("trained"), images, "trainer.max_epochs=1", *unmeasured)


@pytest.fixture
def tiny_run(images):
    return [*TINY, f"data.root={images}"]


@pytest.fixture
def trained(once_trained, tmp_path):
    """The folder of a run of one epoch with max pooling."""
    return Path(shutil.copytree(once_trained, tmp_path / "runs" / once_trained.name))


def checkpoint(folder):
    return f"ckpt={folder / 'checkpoints' / 'last.ckpt'}"


def classifier_of(folder):
    """The network of a run, loaded by hand."""
    from lit_shift.data.view import View
    from lit_shift.pools.pool import MaxPool

    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    classifier = Classifier(VGG13(MaxPool, 2, 4), [0] * 3, [1] * 3, ["above", "below"], View(32, 32))
    classifier.load_state_dict({name: state[name] for name in classifier.state_dict()})
    return classifier


def test_a_run_under_circular_shifts_against_a_literal_loop(run, trained, images):
    finished = measured(run, checkpoint(trained), "protocol=circular", "protocol.images=7", out="", figures="true")
    assert "Only the top 1 is measured: of 2 classes the correct one is always among the 5 most" in finished.err
    assert "circular" in finished.out
    found = metrics(trained, "eval")
    arrays = load_arrays(trained / "eval" / "arrays.npz")
    places = arrays["circular/places"]
    assert sorted(places) == list(places)
    paths = [path for name in ("above", "below") for path in sorted((images / "test" / name).iterdir())]
    classifier = classifier_of(trained)
    logits, sums, maxima = [], [], []
    for place in places:
        image = torch.from_numpy(image_files.decode(paths[place]).copy()).permute(2, 0, 1)[None] / 255
        shifted = [roll(image, torch.tensor([[offset, 0]])) for offset in range(-15, 17)]
        with torch.no_grad():
            logits.append(torch.cat([classifier(x) for x in shifted]))
            maps = [classifier.net.features[:6]((x - classifier.mean) / classifier.std) for x in shifted]  # up to pool2
        sums.append(torch.stack([m.sum((2, 3))[0] for m in maps]))
        maxima.append(torch.stack([m.amax((2, 3))[0] for m in maps]).amax(0))
    logits, target = torch.stack(logits), torch.tensor([int(place >= len(paths) // 2) for place in places])
    assert np.allclose(arrays["circular/probability"], correct_probability(logits, target), atol=1e-5)
    assert found["circular/jaggedness_top1"] == pytest.approx(jaggedness(logits, target).item())
    assert found["circular/jaggedness_rate_top1"] == pytest.approx(jaggedness(logits, target).item() / 31)
    assert found["circular/mad"] == pytest.approx(mad(logits, target).item(), rel=1e-4)
    answers = logits[:, 15].argmax(1)  # of the images that are not shifted
    assert arrays["circular/answers"].tolist() == answers.tolist()
    assert undeclared(found) == []
    assert found["network/accuracy"] == pytest.approx((answers == target).double().mean().item())
    parameters = [parameter.numel() for parameter in classifier.net.parameters()]
    assert (found["network/parameters"], found["network/depth"]) == (sum(parameters), 11)
    of_layer = torch.stack(sums), torch.stack(maxima)
    number = arrays["circular/layers"].tolist().index("pool2")
    by_image = arrays["circular/nonshiftability_by_image"][:, number]
    assert np.allclose(by_image, nonshiftability(*of_layer, reduction="none"), rtol=1e-3)
    for kind, measure in (("nonshiftability", nonshiftability), ("departures", departures)):
        assert found[f"circular/{kind}/pool2"] == pytest.approx(measure(*of_layer).item())
        assert found[f"{kind}/pool2"] == found[f"circular/{kind}/pool2"]
    assert found["circular/nonshiftability/conv1_1"] == found["circular/nonshiftability/conv1_2"] == 0
    assert arrays["circular/positions"].tolist() == list(range(-15, 17))
    names = {path.stem for path in (trained / "eval" / "figures").iterdir()}
    shown = arrays["circular/shown"][0]
    kinds = ("probability", "nonshiftability", "maps", f"film_{shown}")
    assert names == {"jaggedness", "sums", *(f"circular_{kind}" for kind in kinds)}


def test_the_training_reports_the_jaggedness_that_the_protocol_measures(run, trained):
    options = ["protocol.images=all", "protocol.top=[1]", "protocol.layers=false"]
    measured(run, checkpoint(trained), "protocol=circular", *options, out="")
    found, known = metrics(trained, "eval"), metrics(trained, "")
    for end in ("", "_ci95_low", "_ci95_high"):
        assert known[f"test/jaggedness{end}"] == pytest.approx(found[f"circular/jaggedness_top1{end}"])
        assert known[f"test/mad{end}"] == pytest.approx(found[f"circular/mad{end}"], rel=1e-4)


def test_measurements_of_one_network_on_the_same_images_add_up(run, trained):
    protocol = ["protocol.images=4", "protocol.top=[1]", "protocol.layers=false"]
    measured(run, checkpoint(trained), "protocol=embed", *protocol, out="")
    measured(run, checkpoint(trained), "protocol=whole", *protocol, out="")
    measured(run, checkpoint(trained), "protocol=embed", *protocol, "protocol.images=6", out="")
    found = metrics(trained, "eval")
    assert found["embed/n"] == 6
    assert found["whole/n"] == 4
    assert "no longer" not in measured(run, checkpoint(trained), "tta=2", "tta_images=4", out="").err
    model = Findings.load(trained, "run")
    assert model.protocols == ["whole", "embed"]
    assert model.metrics["embed/n"] == 6
    assert model.metrics["test/images"] == 40  # the training's own


def test_two_processes_give_the_same(run, run_two, trained, tmp_path):
    arguments = [checkpoint(trained), "protocol=[embed,circular]", "protocol.images=7", "protocol.top=[1]"]
    measured(run, *arguments)
    both = run_two("eval.py", *arguments, "out=two", "figures=false")
    assert [process.code for process in both] == [0, 0], both[0].err
    assert metrics(tmp_path, "two") == pytest.approx(metrics(tmp_path), rel=1e-5)
    one, two = (load_arrays(tmp_path / out / "arrays.npz") for out in ("out", "two"))
    assert one.keys() == two.keys()
    for name, values in one.items():
        if values.dtype.kind == "f":
            assert np.allclose(values, two[name], atol=1e-5), name


def test_the_label_free_variant_on_an_unlabelled_folder(run, trained, images, tmp_path):
    (tmp_path / "flat").mkdir()
    for number, file in enumerate(sorted((images / "test" / "above").iterdir())[:5]):
        (tmp_path / "flat" / f"{number}.png").write_bytes(file.read_bytes())
    data = ["data=imagefolder", f"data.root={tmp_path / 'flat'}", "protocol=whole", "protocol.top=[1]"]
    assert "The images have no labels" in mistake(run, checkpoint(trained), *data)
    finished = measured(run, checkpoint(trained), *data, "class_of=top1", figures="true")
    found = metrics(tmp_path)
    assert found["whole/agreement"] == 1  # with itself
    assert found["whole/n"] == 5
    assert not any("accuracy" in key for key in found)
    assert not any("accuracy" in file.name for file in (tmp_path / "out" / "figures").iterdir())
    assert "accuracy" not in finished.out


def test_unreadable_images_are_named_or_skipped_and_counted(run, trained, images, tmp_path):
    save_images(tmp_path / "other", 8)
    (tmp_path / "other" / "test" / "above" / "bad.png").write_text("no image")
    data = ["data=imagefolder", f"data.root={tmp_path / 'other'}", "protocol=whole", "protocol.top=[1]"]
    assert "bad.png cannot be read as an image; skip_bad=true leaves" in mistake(run, checkpoint(trained), *data)
    measured(run, checkpoint(trained), *data, "skip_bad=true")
    found = metrics(tmp_path)
    assert (found["whole/n"], found["whole/skipped"], found["whole/complete"]) == (4, 1, 1)


@pytest.mark.rough
def test_an_unreadable_image_of_another_process_is_named_too(run, trained, tmp_path):
    save_images(tmp_path / "other", 8)
    bad = sorted((tmp_path / "other" / "test" / "above").iterdir())
    data = ["data=imagefolder", f"data.root={tmp_path / 'other'}", "protocol=whole", "protocol.top=[1]"]
    data += ["trainer.strategy=ddp", "trainer.devices=2"]
    order = torch.randperm(4, generator=seeded(0)).tolist()  # of which the second process has every other
    paths = bad + sorted((tmp_path / "other" / "test" / "below").iterdir())
    bytes_of = paths[order[1]].read_bytes()
    paths[order[1]].write_bytes(bytes_of[: len(bytes_of) // 2])  # its size can be read, as all processes do at first
    finished = run("eval.py", checkpoint(trained), *data, "out=out", "figures=false")
    assert finished.code != 0
    assert f"error in process 1: {paths[order[1]]} cannot be read as an image" in finished.err
    assert "Traceback" not in finished.err
    measured(run, checkpoint(trained), *data, "skip_bad=true")
    found = metrics(tmp_path)
    assert (found["whole/n"], found["whole/skipped"], found["whole/complete"]) == (3, 1, 1)


def test_an_unreadable_frame_is_named_or_skipped_and_counted(run, trained, tmp_path):
    (tmp_path / "video").mkdir()
    for number in range(4):
        Image.new("RGB", (48, 40), (60 * number, 0, 0)).save(tmp_path / "video" / f"{number}.png")
    (tmp_path / "video" / "0.png").write_text("no image")
    options = ["protocol=frames", "protocol.folder=video", "protocol.label=below", "protocol.top=[1]"]
    assert "0.png cannot be read as an image; skip_bad=true leaves" in mistake(run, checkpoint(trained), *options)
    measured(run, checkpoint(trained), *options, "skip_bad=true")
    found = metrics(tmp_path)
    assert (found["frames/n"], found["frames/steps"], found["frames/skipped"]) == (1, 3, 1)


def test_a_run_sees_images_of_any_size_as_large_as_those_it_was_trained_on(run, trained, tmp_path):
    """Against the shorter side brought to 32 pixels and the middle cut out by hand."""
    rng = np.random.default_rng(0)
    shapes = {"above": [(40, 64), (20, 20)], "below": [(32, 32), (70, 33)]}
    for name, sizes in shapes.items():
        (tmp_path / "mixed" / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            pixels = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "mixed" / name / f"{number}.png")
    data = ["data=imagefolder", f"data.root={tmp_path / 'mixed'}", "protocol=whole", "protocol.top=[1]"]
    measured(run, checkpoint(trained), *data)
    classifier, expected = classifier_of(trained), []
    for label, name in enumerate(shapes):
        for number in range(2):
            file = tmp_path / "mixed" / name / f"{number}.png"
            image = torch.from_numpy(image_files.decode(file).copy()).permute(2, 0, 1)[None] / 255
            h, w = (side * 32 // min(image.shape[2:]) for side in image.shape[2:])
            small = nn.functional.interpolate(image, (h, w), mode="bilinear", antialias=True)
            top, left = round((h - 32) / 2), round((w - 32) / 2)
            with torch.no_grad():
                expected.append(classifier(small[:, :, top : top + 32, left : left + 32]).softmax(1)[0, label])
    found = load_arrays(tmp_path / "out" / "arrays.npz")["whole/probability"][:, 0]
    assert np.allclose(found, expected, atol=1e-5)


def test_what_is_wrong_with_the_folder_of_results_is_said_before_anything_is_measured(run, trained, tmp_path):
    options = [checkpoint(trained), "protocol=whole", "protocol.images=2", "protocol.top=[1]"]
    assert "is the folder of a run: say out=" in mistake(run, *options, f"out={trained}")
    assert metrics(trained, "")["test/images"] == 40
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "metrics.json").write_text("{}")
    assert "metrics.json that eval.py has not written" in mistake(run, *options, "out=others")
    (tmp_path / "others" / "config.yaml").write_text("a: 1")
    assert "is not a config of a run" in mistake(run, *options, "out=others")
    measured(run, *options)
    config = (tmp_path / "out" / "config.yaml").read_text()
    (tmp_path / "out" / "config.yaml").write_text(re.sub("weights_sha256: .*\n", "", config))
    assert "was written by an older version" in mistake(run, *options, "out=out")
    (tmp_path / "out" / "config.yaml").write_text(config)
    for name in ("metrics.json", "arrays.npz"):
        whole = (tmp_path / "out" / name).read_bytes()
        (tmp_path / "out" / name).write_bytes(whole[: len(whole) // 2])
        finished = run("eval.py", *options, "out=out", "figures=false")
        assert finished.code == 2
        assert re.search(f"error: .*{name} (cannot be read|is damaged)", finished.err)
        assert "accuracy" not in finished.out
        (tmp_path / "out" / name).write_bytes(whole)


def test_what_takes_the_place_of_another_measurement_is_said(run, trained, tmp_path):
    options = [checkpoint(trained), "protocol=circular", "protocol.top=[1]", "protocol.layers=false"]
    measured(run, *options, "protocol.images=5")
    assert "This replaces" not in measured(run, *options, "protocol.images=5").err
    failed = run("eval.py", *options, "protocol.path=zigzag", "out=out", "figures=false")
    assert failed.code == 2
    assert "This replaces" not in failed.err
    said = measured(run, *options, "protocol.images=3", "protocol.path=diagonal").err
    assert (
        "This replaces circular (path=vertical, seed=0) of 5 images in out by circular (path=diagonal, seed=0) of 3"
        in said
    )
    said = measured(run, *options, "protocol.images=3", "tta=2").err
    assert "This replaces the measurements of another network or of other data in out." in said
    assert metrics(tmp_path)["circular/n"] == 3


def test_what_is_replaced_leaves_nothing_behind(run, trained, tmp_path):
    options = [checkpoint(trained), "protocol.images=4", "protocol.top=[1]"]
    measured(run, *options, "protocol=embed", figures="true")
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"embed_maps.png", "embed_probability.png"} <= figures
    (tmp_path / "out" / "figures" / "mine.png").touch()
    found = metrics(tmp_path)
    assert found["nonshiftability/pool5"] == found["embed/nonshiftability/pool5"]
    # Other measures of the same network: what is not measured again is said, and nothing stays of it.
    measured(run, *options, "protocol=circular")
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["mine.png"]  # figures=false
    said = measured(run, *options, "protocol=embed", "protocol.layers=false").err
    assert "Dropped from out, because they were not measured again: embed/departures/conv1_1" in said
    found = metrics(tmp_path)
    assert found["nonshiftability/pool5"] == found["circular/nonshiftability/pool5"]
    # Another network.
    measured(run, *options, "protocol=scale", "tta=2", "tta_seed=3")
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert "mine.png" in names
    assert not any(name.startswith(("embed", "circular")) for name in names)
    assert {key.partition("/")[0] for key in metrics(tmp_path)} == {"scale", "network"}


@pytest.mark.rough
def test_a_checkpoint_that_has_changed_is_another_network(run, tiny_run, tmp_path):
    """Of a run that is not finished, measurements have a folder of their own."""
    options = ["protocol=circular", "protocol.images=4", "protocol.top=[1]", "protocol.layers=false"]
    stop = ["+callbacks.interrupt._target_=tests.interrupt.Interrupt", "+callbacks.interrupt.moment=0"]
    tiny_run += ["trainer.max_epochs=3", *stop, "+callbacks.interrupt.epoch=2"]
    assert run("train.py", *tiny_run).code == 128 + signal.SIGINT
    folder = run_folder(tmp_path)
    assert not (folder / "metrics.json").exists()
    measured(run, checkpoint(folder), *options, out="")
    (early,) = folder.glob("eval-epoch?")
    measured(run, checkpoint(folder), *options)
    before = metrics(tmp_path)
    assert run("train.py", *tiny_run).code == 0
    measured(run, checkpoint(folder), *options, out="")
    assert metrics(folder, "eval") != metrics(early, "")
    said = measured(run, checkpoint(folder), *options).err
    assert "This replaces the measurements of another network" in said
    assert metrics(tmp_path) == metrics(folder, "eval") != before
    names = {model.name for model in gather([tmp_path / "runs"])[0]}
    assert names == {"max-noaug-s0", f"max-noaug-s0-{early.name.removeprefix('eval-')}"}


def test_two_folders_of_images_have_each_their_results(run, trained, tmp_path):
    options = ["protocol=whole", "protocol.top=[1]", "data=imagefolder"]
    for name in ("one", "two"):
        save_images(tmp_path / name, 8, seed=len(name))
        measured(run, checkpoint(trained), *options, f"data.root={tmp_path / name}", out="")
    assert len(list(trained.glob("eval-imagefolder-????????/metrics.json"))) == 2


def test_images_none_of_which_can_be_read_are_no_result(run, trained, tmp_path):
    for name in ("above", "below"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "bad.png").write_text("no image")
    model = ["model=torchvision", "model.name=squeezenet1_1", "model.weights=random", "class_of=top1", *CPU]
    said = mistake(run, *model, "protocol=whole", f"data.root={tmp_path / 'bad'}", "skip_bad=true", "out=none")
    assert "None of the 2 images can be read." in said
    assert not (tmp_path / "none" / "metrics.json").exists()


def test_random_weights_are_seeded_and_bundled_data_will_do(run, tmp_path):
    model = ["model=torchvision", "model.name=squeezenet1_1", "model.weights=random", "class_of=top1", *CPU]
    options = ["data=digits", "protocol=crop", "protocol.window=240", "protocol.images=2", "protocol.layers=false"]
    measured(run, *model, *options)
    measured(run, *model, *options, out="again")
    assert metrics(tmp_path, "again") == metrics(tmp_path)


def test_a_video_needs_no_data_and_figures_of_others_stay(run, tmp_path):
    (tmp_path / "video").mkdir()
    for number in range(3):
        Image.new("RGB", (260, 240), (80 * number, 0, 0)).save(tmp_path / "video" / f"{number}.png")
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "figures" / "mine.png").touch()
    model = ["model=torchvision", "model.name=squeezenet1_1", "model.weights=random", "class_of=top1", *CPU]
    for _ in range(2):
        measured(run, *model, "protocol=frames", "protocol.folder=video", "protocol.layers=false")
    assert metrics(tmp_path)["frames/steps"] == 3
    assert (tmp_path / "out" / "figures" / "mine.png").exists()


def test_a_classifier_of_torchvision_from_a_file(run, images, tmp_path):
    torch.manual_seed(0)
    net = resnet18(num_classes=2)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    model = ["model=torchvision", "model.name=resnet18", f"model.weights={tmp_path / 'weights.pth'}"]
    model += ["model.classes=[above,below]", f"data.root={images}", *CPU]
    options = ["protocol.size=220", "protocol.images=2", "protocol.top=[1]", "protocol.batch=5"]
    assert run("eval.py", *model, *options, "figures=false").code == 0  # protocol=embed where none is named
    (folder,) = (tmp_path / "evals").glob("imagefolder-resnet18-weights-????????")
    found = metrics(folder, "")
    assert found["embed/steps"] == 5
    assert {"embed/nonshiftability/conv1", "embed/nonshiftability/layer4.1.conv2"} <= found.keys()
    (model,), unfinished = gather([tmp_path / "evals"])
    assert not model.trained
    assert unfinished == []
    main([str(tmp_path / "evals"), "--format", "csv", "--out", str(tmp_path / "paths.csv")])
    (row,) = csv.DictReader((tmp_path / "paths.csv").open())
    assert row["protocol"].startswith("embed (size=220")
    assert float(row["mad"]) == pytest.approx(found["embed/mad"], rel=1e-4)


def test_runs_and_classifiers_from_elsewhere_side_by_side(run, trained, stripes, images, tmp_path, capsys):
    measured(run, checkpoint(trained), "protocol=embed", "protocol.images=4", "protocol.top=[1]", out="")
    assert run("eval.py", *BY_PARITY, f"data.root={stripes}", "figures=false").code == 0
    folders = [str(trained), str(tmp_path / "evals")]
    main([*folders, "--figures", str(tmp_path / "figures")])
    out = capsys.readouterr().out
    assert "max" in out  # Table 1
    assert "parity.Parity" in out
    assert len(list((tmp_path / "figures").glob("*/jaggedness.png"))) == 2  # a folder for each data set
    for format in ("markdown", "latex"):
        main([*folders, "--table", "paths", "--format", format])
        assert "parity.Parity" in capsys.readouterr().out


def test_a_sweep_over_classifiers_keeps_each(run, images, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        torch.manual_seed(seed)
        torch.save(resnet18(num_classes=2).state_dict(), tmp_path / f"{name}.pth")
    weights = f"model.weights={tmp_path / 'a.pth'},{tmp_path / 'b.pth'}"
    options = [
        "protocol=whole",
        "protocol.images=2",
        "protocol.top=[1]",
        "protocol.layers=false",
        f"data.root={images}",
        "classes=by_order",
    ]
    finished = run("eval.py", "-m", "model=torchvision", "model.name=resnet18", weights, *options, *CPU)
    assert finished.code == 0, finished.err
    found, _ = gather([tmp_path / "evals"])
    assert {model.name for model in found} == {"resnet18-a", "resnet18-b"}
    assert not (tmp_path / "multirun.yaml").exists()


def test_a_sweep_over_options_keeps_each_or_says_how(run, trained, tmp_path):
    few = ["protocol.images=2", "protocol.top=[1]", "protocol.layers=false", "figures=false"]
    finished = run("eval.py", "-m", checkpoint(trained), "protocol=embed", "protocol.size=8,16", *few)
    assert finished.code == 2
    assert "This would replace what this sweep has measured in" in finished.err
    assert metrics(trained, "eval")["embed/steps"] == 25  # of the first
    out = "out=sizes/${protocol.size}"
    finished = run("eval.py", "-m", checkpoint(trained), "protocol=embed", "protocol.size=8,16", *few, out)
    assert finished.code == 0, finished.err
    assert [metrics(tmp_path / "sizes", name)["embed/steps"] for name in ("8", "16")] == [25, 17]
    assert {model.name for model in gather([tmp_path / "sizes"])[0]} == {"8", "16"}


@pytest.mark.parametrize("protocols", ["[circular,whole],[scale]", "circular,scale"])
def test_a_sweep_over_protocols_adds_up(run, trained, protocols):
    few = ["protocol.images=2", "protocol.top=[1]", "protocol.layers=false", "figures=false"]
    finished = run("eval.py", "-m", checkpoint(trained), f"protocol={protocols}", *few)
    assert finished.code == 0, finished.err
    found = {name.partition("/")[0] for name in metrics(trained, "eval")}
    assert found == {*re.findall(r"\w+", protocols), "network"}
    finished = run("eval.py", "-m", checkpoint(trained), f"protocol={protocols}", *few, "protocol.largest=20")
    assert finished.code == 2
    assert "error:" in finished.err
    assert "without the +" not in finished.err


def test_votes_do_not_depend_on_batches_processes_or_other_protocols(run, run_two, trained, tmp_path):
    vote = [checkpoint(trained), "tta=3", "tta_by=crop"]
    paths = [*vote, "protocol.images=5", "protocol.top=[1]"]
    measured(run, *paths, "protocol=whole")
    measured(run, *paths, "protocol=[circular,whole]", "protocol.batch=3", out="other")
    both = run_two("eval.py", *paths, "protocol=whole", "out=two", "figures=false")
    assert [process.code for process in both] == [0, 0], both[0].err
    measured(run, *paths, "protocol=whole", "tta_seed=1", out="seed")
    one, other, two, seed = (
        load_arrays(tmp_path / out / "arrays.npz")["whole/probability"] for out in ("out", "other", "two", "seed")
    )
    assert np.allclose(one, other, atol=1e-6)
    assert np.allclose(one, two, atol=1e-6)
    assert not np.allclose(one, seed, atol=1e-3)
    for out, options in {"a": [], "b": ["data.eval_batch_size=2"]}.items():
        measured(run, *vote, "tta_images=7", *options, out=out)
    a, b = ({k: v for k, v in metrics(tmp_path, out).items() if "milliseconds" not in k} for out in "ab")
    assert a == pytest.approx(b)


def test_what_votes_and_what_is_in_a_folder_of_its_own_is_compared_with_its_run(run, trained, tmp_path, capsys):
    few = [checkpoint(trained), "protocol=whole", "protocol.images=6", "protocol.top=[1]", "protocol.layers=false"]
    measured(run, *few, out="")
    measured(run, *few, "tta=2", out="")
    measured(run, *few, "tta=2", "tta_vote=majority", out="")
    measured(run, *few, "protocol.seed=1", out="mine")
    Path(shutil.copytree(tmp_path / "mine", tmp_path / "mine-partial"))
    models, _ = gather([tmp_path])
    votes = {f"max-noaug-s0-tta2-shift-{vote}-s0" for vote in ("mean", "majority")}
    assert {model.name for model in models} == {"max-noaug-s0", "mine", *votes}
    for model in models:
        assert "whole/accuracy" in model.metrics
        assert model.trained == ("test/accuracy" in model.metrics) == (model.name == "max-noaug-s0")
    main([str(tmp_path), "--table", "paths", "--format", "csv"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["protocol"] for row in rows} == {"whole", "whole (seed=1)"}
    assert {row["model"] for row in rows} == {"max-noaug-s0", "mine", *votes}
    assert {row["complete"] for row in rows} == {"1"}
    main([str(tmp_path), "--format", "html"])


def test_a_majority_has_no_second_place(run, trained, tmp_path):
    vote = [checkpoint(trained), "tta=2", "tta_vote=majority", "protocol=circular", "protocol.images=3"]
    said = measured(run, *vote, "protocol.path=diagonal").err  # top=[1,5] of two classes would be a mistake
    assert "only the top 1 is measured" in said
    assert not any("top5" in key for key in metrics(tmp_path))


def test_a_network_of_which_no_layer_can_be_seen(run, stripes, tmp_path):
    arguments = [argument for argument in BY_PARITY if "layers" not in argument]
    measured(run, *arguments, f"data.root={stripes}", "protocol=circular", figures="true")
    assert not any("nonshiftability" in key for key in metrics(tmp_path))
    assert (tmp_path / "out" / "figures" / "jaggedness.png").exists()


def test_a_vote_over_shifted_copies(run, trained, tmp_path):
    finished = measured(run, checkpoint(trained), "tta=3", "tta_images=6", figures="true")
    assert "Test-time augmentation" in finished.out
    found = metrics(tmp_path)
    assert load_arrays(tmp_path / "out" / "arrays.npz")["tta/passes"].tolist() == [1, 2, 3]
    assert (found["tta/n"], found["tta/skipped"], found["tta/complete"]) == (6, 0, 1)
    assert found["tta/milliseconds_3"] == pytest.approx(3 * found["tta/milliseconds_1"], rel=1e-5)
    assert (tmp_path / "out" / "figures" / "cost.png").exists()
    whole = ["protocol=whole", "protocol.images=6", "protocol.top=[1]"]
    measured(run, checkpoint(trained), "tta=2", "tta_by=crop", "tta_vote=majority", *whole, out="wrapped")
    assert metrics(tmp_path, "wrapped")["whole/n"] == 6


def test_an_interrupted_measurement_keeps_what_it_has(run, stripes, tmp_path):
    for name in ("odd", "even"):
        (stripes / name / "again.png").write_bytes((stripes / name / "stripe.png").read_bytes())
    target = ["model.target=parity:Interrupted", "protocol.batch=13", "protocol=[embed,whole]"]
    arguments = [argument for argument in BY_PARITY if "target" not in argument] + target
    finished = run("eval.py", *arguments, f"data.root={stripes}", "out=out", "figures=false")
    assert finished.code == 128 + signal.SIGINT
    assert "Stopped early. Unfinished measurements are left out." in finished.err
    found = metrics(tmp_path)
    assert 0 < found["embed/n"] < 4
    assert found["embed/complete"] == 0
    assert "whole/n" not in found


@pytest.fixture
def photographs(tmp_path):
    """Images of several sizes, one smaller than the parity classifier's input of 24x24, which does not resize."""
    (tmp_path / "parity.py").write_text(PARITY)
    for name, size in (
        ("odd/a.png", (24, 30)),
        ("odd/b.png", (200, 90)),
        ("even/c.png", (20, 50)),
        ("even/d.png", (31, 24)),
    ):
        (tmp_path / "photographs" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (9, 9, 9)).save(tmp_path / "photographs" / name)
    return tmp_path / "photographs"


def test_an_image_that_cannot_be_used_is_counted_and_crops_default_takes_photographs(run, photographs, tmp_path):
    said = measured(run, *BY_PARITY, f"data.root={photographs}", "protocol=[crop,whole]").err.replace("\n", " ")
    assert "whole leaves out 1 of 4 images; " in said
    assert "even/c.png: An image of 50x20 pixels is smaller than the network's input of 24x24: enlarge" in said
    found = metrics(tmp_path)
    for name in ("crop", "whole"):
        assert [found[f"{name}/{key}"] for key in ("n", "skipped", "complete")] == [3, 1, 1]
    assert found["crop/steps"] == 4  # windows of 21 in 24


def test_what_none_of_the_images_allows_is_said_before_anything_is_measured(run, photographs, tmp_path):
    (photographs / "even" / "c.png").unlink()
    options = [f"data.root={photographs}", "protocol=[whole,crop]", "out=out"]
    said = mistake(run, *BY_PARITY, *options, "protocol.windows=500")
    assert re.search(
        r"crop can use none of the 3 images; \S*png: In an image of .* 500 are asked for: .*=\d+ would do", said
    )
    said = mistake(run, *BY_PARITY, *options, "protocol.windows=1", "protocol.window=300")
    assert "crop can use none of the 3 images" in said
    (photographs / "odd" / "e.png").write_text("no image")
    assert "odd/e.png cannot be read as an image; skip_bad=true leaves such" in mistake(run, *BY_PARITY, *options)
    assert not (tmp_path / "out").exists()


def test_what_fails_keeps_nothing_from_being_measured_and_is_said(run, stripes, tmp_path):
    """A file whose header is whole, which is found to be cut short only when it is its turn."""
    for protocols, code in (("[circular,frames,whole]", 2), ("[circular,whole]", 0)):
        (tmp_path / "video").mkdir(exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        for number in range(3):
            Image.fromarray(pixels).save(tmp_path / "video" / f"{number}.png")
        file = tmp_path / "video" / "1.png"
        file.write_bytes(file.read_bytes()[:2000])
        options = [f"protocol={protocols}", *(["protocol.folder=video", "protocol.label=even"] if code else [])]
        finished = run("eval.py", *BY_PARITY, f"data.root={stripes}", *options, f"out={code}", "figures=false")
        assert finished.code == code, finished.err
        if code:
            assert re.search(
                "error: frames could not be measured: .*1.png cannot be read", finished.err.replace("\n", " ")
            )
    assert metrics(tmp_path, "2") == metrics(tmp_path, "0")


def test_boxes_of_the_images_own_through_the_command(run, stripes, tmp_path):
    """A window that must hold a row near the border has few places; the other image's box is in the middle."""
    rows = "image,category,width,height,xmin,ymin,xmax,ymax\nodd/stripe.png,a,64,64,20,26,40,28\n"
    (tmp_path / "boxes.csv").write_text(rows + "even/stripe.png,b,32,32,0,0,32,3\n")
    options = [f"data.root={stripes}", "protocol=crop", "protocol.boxes=boxes.csv", "protocol.window=24"]
    said = measured(run, *BY_PARITY, *options, "protocol.windows=5").err.replace("\n", " ")
    assert "crop leaves out 1 of 2 images; " in said
    assert "even/stripe.png: In an image of 32x32 pixels, " in said
    found = metrics(tmp_path)
    assert (found["crop/n"], found["crop/skipped"], found["crop/jaggedness_top1"]) == (1, 1, 4)


def test_images_of_another_size_are_seen_as_under_protocols(run, trained, tmp_path):
    save_images(tmp_path / "large", 24, size=64)
    options = [checkpoint(trained), "data=imagefolder", f"data.root={tmp_path / 'large'}"]
    said = measured(run, *options).err
    assert "The test images, of 64x64 pixels, are resized to 32x32, as in training." in said
    measured(run, *options, "protocol=whole", out="whole")
    assert metrics(tmp_path)["test/accuracy"] == pytest.approx(metrics(tmp_path, "whole")["whole/accuracy"])
    assert metrics(tmp_path)["test/images"] == 12


def test_another_subset_of_the_images_is_another_measurement(run, trained, tmp_path):
    options = [checkpoint(trained), "protocol=whole", "protocol.images=5", "protocol.layers=false"]
    measured(run, *options)
    assert "This replaces" not in measured(run, *options).err
    said = measured(run, *options, "protocol.seed=1").err
    assert "This replaces whole () in out by whole (seed=1)" in said
    assert str(load_arrays(tmp_path / "out" / "arrays.npz")["whole/options"]) == "seed=1"


def mistake(run, *arguments):
    finished = run("eval.py", *arguments)
    assert finished.code == 2, finished.out
    assert "Traceback" not in finished.err
    (line,) = [line for line in finished.err.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            "protocol=embed protocol.size=33 protocol.top=1",
            "An image of 33x33 pixels does not fit on a canvas of 32x32",
        ),
        (
            "protocol=scale protocol.largest=40 protocol.top=1",
            "An image of 33x33 pixels does not fit on a canvas of 32x32",
        ),
        ("protocol=embed protocol.top=[1,5]", "of 2 classes the correct one is always among the 5 most probable"),
        ("protocol=embed protocol.top=[1,2]", "of 2 classes the correct one is always among the 2 most probable"),
        ("protocol=embed protocol.top=[0]", "protocol.top=0 must be a whole number, 1 or more."),
        ("protocol=embed protocol.top=one", "protocol.top=one must be a whole number, 1 or more."),
        ("protocol=embd", "Unknown protocol 'embd'. Did you mean 'embed'? Choices: circular, crop, embed, frames,"),
        ("protocol=embed protocol.sise=3", "Unknown config key 'protocol.sise'. Did you mean 'protocol.size'?"),
        ("protocol.size=3", "protocol.size is an option of a protocol: say which, as protocol=embed."),
        (
            "protocol=embed protocol.path=up",
            "Unknown protocol.path 'up'. Choices: vertical, horizontal, diagonal, grid, random.",
        ),
        ("protocol=embed protocol.fill=blak", "Unknown protocol.fill 'blak'. Did you mean 'black'?"),
        ("protocol=embed protocol.canvas=40 protocol.top=1", "VGG13 halves the image five times"),
        ("protocol=crop protocol.window=40 protocol.top=1", "windows of 40x40"),
        ("protocol=crop protocol.boxes=nowhere.csv", "crop: There is no file or folder 'nowhere.csv'."),
        ("protocol=whole classes=by_chance", "Unknown classes 'by_chance'."),
        ("protocol=crop protocol.box=[1,0,0,1]", "must be left, top, right, bottom"),
        ("protocol=whole protocol.images=0", "protocol.images=0 must be a whole number"),
        ("protocol=whole protocol.batch=0", "protocol.batch=0 must be a whole number, 1 or more."),
        ("protocol=whole protocol.tolerance=abc", "protocol.tolerance=abc must be a number, 0 or more."),
        ("protocol=whole protocol.seed=-1", "protocol.seed=-1 must be a whole number, 0 or more."),
        ("protocol=whole protocol.tolerance=-1", "protocol.tolerance=-1 must be a number, 0 or more."),
        ("protocol=whole protocol.threshold=1", "protocol.threshold=1 must be below 1."),
        ("protocol=whole class_of=mine", "Unknown class_of 'mine'. Choices: label, top1."),
        ("protocol=frames", "protocol.folder must be given"),
        ("protocol=frames protocol.folder=nowhere", "protocol.folder=nowhere is no folder"),
        ("protocol=whole images=[99] protocol.top=[1]", "the 40 test images are numbered from 0 to 39"),
        ("protocol=whole data=imagefolder data.root=nowhere", "data.root=nowhere is no folder"),
        ("protocol=whole protocol.layers=maybe", "protocol.layers=maybe must be true or false."),
        ("protocol=whole skip_bad=perhaps", "skip_bad=perhaps must be true or false."),
        ("protocol=whole figures=perhaps", "figures=perhaps must be true or false."),
        ("skip_bad=perhaps", "skip_bad=perhaps must be true or false."),
        ("protocol=whole protocol.canvas=3", "Unknown config key 'protocol.canvas'"),
        ("protocol=embed protocol.canvas=320000 protocol.top=1", "There is not enough memory: fewer frames"),
        ("tta=two", "tta=two must be a whole number, 1 or more."),
        ("tta=2 tta_seed=-1", "tta_seed=-1 must be a whole number, 0 or more."),
        ("tta=2 data.eval_batch_size=0", "data.eval_batch_size=0 must be a whole number, 1 or more."),
        ("tta=2 protocol.size=3", "protocol.size is an option of a protocol: say which, as protocol=embed."),
        ("tta=0", "tta=0 must be a whole number, 1 or more."),
        ("tta=2 tta_by=turns", "Unknown tta_by 'turns'. Choices: shift, crop."),
        ("tta=2 tta_vote=all", "Unknown tta_vote 'all'."),
        ("protocol=[]", "protocol=[] names no protocol: say one, as protocol=embed."),
        ("protocol=shared/common", "names no protocol"),
        ("protocol=[embed,nonsense]", "Unknown protocol 'nonsense'. Choices: circular, crop, embed, frames,"),
        ("data=null protocol=whole", "A group takes a name, or a list of names, but not null."),
        ("protocol=[embed, scale]", "Arguments are of the form name=value, without spaces, and lists quoted"),
        ("protocols=embed", "Unknown config key 'protocols'. Did you mean 'protocol'?"),
        ("model=resnet50", "Give ckpt=... for a run, or model=... for a classifier from elsewhere, not both."),
    ],
)
def test_mistakes(run, trained, arguments, sentence):
    assert sentence in mistake(run, checkpoint(trained), *arguments.split())
    assert not (trained / "eval" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("model=torchvison", "Unknown model 'torchvison'. Did you mean 'torchvision'?"),
        ("model=torchvision data.root=x", "model.name must be given: type model.name=VALUE."),
        ("model=python data.root=x", "model.target must be given: type model.target=VALUE."),
        ("model=resnet50 protocol=embed,scale", "Type 'protocol=[embed,scale]', quoted, for several protocols."),
        (
            "model=torchvision model.name=resnet18 data=digits tta=2 protocol.size=3",
            "protocol.size is an option of a protocol: say which, as protocol=embed.",
        ),
        ("model=vgg13", "model=vgg13 is to be trained first: give ckpt=RUN."),
        ("model=torchvision model.name=resnet18 model.weights=random", "data.root must be given"),
    ],
)
def test_mistakes_about_classifiers_from_elsewhere(run, tmp_path, arguments, sentence):
    assert sentence in mistake(run, *arguments.split(), *CPU)
    assert not list(Path(tmp_path).glob("evals/*/metrics.json"))


def test_help_lists_every_protocol_with_its_options(run):
    out = run("eval.py", "--help").out
    for file in (ROOT / "conf" / "protocol").rglob("*.yaml"):
        options = yaml.safe_load(file.read_text())
        lines = [out] if file.parent.name == "shared" else re.search(rf"  {file.stem}  .*(\n +\(.*)?", out)
        assert lines, f"conf/hydra/help/eval.yaml has no line for {file.stem}"
        for option in options.keys() - {"defaults", file.stem, "draws"}:
            assert option in lines[0], (file.stem, option)
    for file in (ROOT / "conf" / "model").glob("*.yaml"):
        assert file.stem in out or file.stem in ("vgg13", "vgg13_slim", "resnet18")  # to be trained
