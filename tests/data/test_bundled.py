"""The photographs of scikit-image and scikit-learn are those that their own functions return."""

import sys

import pytest
import skimage.data
import torch
from sklearn.datasets import load_sample_images

from lit_shift.classifiers.class_names import IMAGENET, match_classes
from lit_shift.data import BundledPhotographs, bundled
from lit_shift.data.sources import UNKNOWN
from lit_shift.utils.errors import InputError


def test_each_is_what_its_package_shows_and_none_is_fetched(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    found = BundledPhotographs(None, 16).collection()
    pixels = {found.title(place): found.pixels(place) for place in range(len(found))}
    assert len(pixels) == 16
    assert all(min(found.size(place)) >= 300 for place in range(16))
    expected = {f"{name}.png": getattr(skimage.data, name)() for name in ("astronaut", "camera", "chelsea", "coffee")}
    expected |= {"motorcycle_left.png": skimage.data.stereo_motorcycle()[0], "rocket.jpg": skimage.data.rocket()}
    expected |= dict(zip(("china.jpg", "flower.jpg"), load_sample_images().images, strict=True))
    for name, image in expected.items():
        image = torch.from_numpy(image.copy())
        image = image[..., None].expand(-1, -1, 3) if image.ndim == 2 else image
        assert torch.equal(pixels[name], image.permute(2, 0, 1)), name


def test_labels_are_classes_of_imagenet():
    found = BundledPhotographs(None, 16).collection()
    labels = {found.title(i): found.classes[label] for i, label in enumerate(found.labels.tolist()) if label != UNKNOWN}
    assert labels == {
        "camera.png": "tripod",
        "chelsea.png": "tiger cat",
        "china.jpg": "palace",
        "coffee.png": "espresso",
    }
    found.relabel(match_classes(found.classes, IMAGENET))
    assert [IMAGENET[label] for label in found.labels.tolist() if label != UNKNOWN] == [
        label for names in bundled.PHOTOGRAPHS.values() for label in names.values() if label
    ]
    assert [found.labelled(place) for place in (2, 3, 4)] == [True, True, False]


def test_all_can_be_made_squares():
    found = BundledPhotographs(40, 16).collection()
    assert {tuple(found.pixels(place).shape) for place in range(len(found))} == {(3, 40, 40)}


def test_without_scikit_image_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(bundled, "PHOTOGRAPHS", {"no_such_package.data": {"a.png": None}})
    with pytest.raises(
        InputError, match=r"come with scikit-image: install it with 'uv sync --extra demo' or \"pip install"
    ):
        BundledPhotographs(None, 16).collection()
    monkeypatch.setattr(bundled, "PHOTOGRAPHS", {"skimage.data": {"unknown.png": None}})
    with pytest.raises(InputError, match=r"comes without unknown\.png: install"):
        BundledPhotographs(None, 16).collection()


@pytest.mark.parametrize("name", ["size", "eval_batch_size"])
def test_numbers_that_are_none(name):
    with pytest.raises(InputError, match=f"{name}=0 must be a whole number, 1 or more"):
        BundledPhotographs(**{"size": None, "eval_batch_size": 16} | {name: 0})
