"""Build the parts of a measurement from its config: images, protocols and classifiers."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig

from lit_shift.choices import CORRECT_CLASSES
from lit_shift.classifiers.class_names import match_classes
from lit_shift.classifiers.classifier import Classifier
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.data.image_files import some
from lit_shift.data.loader import Images
from lit_shift.data.module import ImageDataModule
from lit_shift.data.sources import Collection, InMemory, Photographs
from lit_shift.data.subset import Collections
from lit_shift.data.view import View, whole
from lit_shift.protocols.base import Protocol
from lit_shift.protocols.video import Frames
from lit_shift.training.build import build_data, said_of
from lit_shift.training.checkpoint import load_weights
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, check_places, places, unknown
from lit_shift.utils.files import given


def asked_top(cfg: DictConfig) -> tuple[int, ...] | None:
    """Return every k of ``protocol.top``, or None if the data decide. For a majority vote only 1 is possible."""
    asked = cfg.protocol.top
    top = tuple(asked) if isinstance(asked, ListConfig) else asked if asked is None else (asked,)
    if cfg.tta is not None and cfg.tta_vote == "majority" and top != (1,):
        say("Of most classes a majority vote says that none is for them, so that no order is among them: top=1 only.")
        return (1,)
    return top


def by_labels(cfg: DictConfig) -> bool:
    """True if the correct class is the label.

    Raises:
        InputError: unknown ``class_of``.
    """
    if cfg.class_of not in CORRECT_CLASSES:
        raise unknown("class_of", cfg.class_of, CORRECT_CLASSES)
    return cfg.class_of == "label"


def build_subset(
    cfg: DictConfig,
    collections: list[Collection],
    classifier: Classifier,
    images: int | None,
    seed: int,
    batch_sizes: list[int],
) -> Collections:
    """Choose the images to measure, and relabel them with the classifier's classes if labels are the correct class."""
    if by_labels(cfg):
        for number, collection in enumerate(collections):
            if collection not in collections[:number]:  # protocols share theirs
                relabel(collection, classifier, cfg.classes)
    shown = places(cfg.images)
    check_places(shown, max(map(len, collections)))
    return Collections(collections, images, seed, shown, batch_sizes, cfg.skip_bad)


def build_protocols(cfg: DictConfig) -> dict[str, Protocol]:
    """Instantiate the protocols of ``cfg.protocol``, by name."""
    protocols = {}
    for name in chosen_protocols(cfg):
        with said_of(f"protocol.{name}"):
            protocols[name] = instantiate(cfg.protocol[name])
    return protocols


def chosen_protocols(cfg: DictConfig) -> list[str]:
    """Return the names of the chosen protocols. ``cfg.protocol`` also holds options, and may be missing."""
    options = cfg.protocol if "protocol" in cfg else {}
    return [str(key) for key, part in options.items() if isinstance(part, DictConfig) and "_target_" in part]


def build_collections(cfg: DictConfig, protocols: dict[str, Protocol]) -> dict[str, Collection]:
    """Return the images for each protocol: the test images of ``cfg.data``, or a video."""
    collections: dict[str, Collection] = {}
    images: Collection | None = None
    for name, protocol in protocols.items():
        if isinstance(protocol, Frames):
            known = cfg.protocol.label is not None
            collections[name] = Photographs(protocol.files[:1], [0] if known else None, [str(cfg.protocol.label)])
        else:
            collections[name] = images = images or build_images(cfg)
    return collections


def build_images(cfg: DictConfig) -> Collection:
    """Return the test images of ``cfg.data``. Those of a folder are read on demand and need no training images."""
    if cfg.data._target_ == "lit_shift.data.ImageFolder":
        return Photographs.found_in(cfg.data.root, cfg.data.size)
    data = build_data(cfg)
    return InMemory(data.test, data.classes)


def build_voters(cfg: DictConfig) -> TestTimeAugmentation:
    """Build the classifier that votes over ``cfg.tta`` shifted copies."""
    return TestTimeAugmentation(build_classifier(cfg), cfg.tta, cfg.tta_by, cfg.tta_vote, cfg.tta_seed)


def build_classifier(cfg: DictConfig) -> Classifier:
    """Build the classifier: of a run, with the image size that it was trained on, or one from elsewhere."""
    if cfg.ckpt is None:
        pl.seed_everything(cfg.seed, verbose=False)  # for random weights
        with said_of("model"):
            return instantiate(cfg.model)
    with said_of("model"):
        net = instantiate(cfg.model, pool=instantiate(cfg.pool), num_classes=len(cfg.class_names))
    # The checkpoint also has the normalisation.
    classifier = Classifier(net, [0] * 3, [1] * 3, cfg.class_names, view_of_run(cfg))
    load_weights(classifier, given(cfg.ckpt))
    return classifier


def view_of_run(cfg: DictConfig) -> View:
    """View of a run: resize the shorter side to that of the training images, then crop the middle."""
    height, width = cfg.image_size
    return View(height, width, resize=min(height, width))


def see_as_trained(cfg: DictConfig, data: ImageDataModule) -> None:
    """Convert a data set's test images to a run's classes and view, in 8 bits. Prints what this changes.

    Raises:
        InputError: the number of classes or the classes differ, or the images cannot be brought to that size.
    """
    known = list(cfg.class_names)
    if len(known) != len(data.classes):
        raise InputError(f"The run knows {len(known)} classes, but data={cfg.choices.data} has {len(data.classes)}.")
    labels = torch.tensor(matched(data.classes, known, cfg.classes))[data.test.labels]
    pixels, view = data.test.pixels, view_of_run(cfg)
    height, width = pixels.shape[2:]
    if (height, width) != (view.height, view.width):
        say(f"The test images, of {height}x{width} pixels, are resized to {view.height}x{view.width}, as in training.")
        parts = [whole(part / 255, view).mul(255).round().to(torch.uint8) for part in pixels.split(256)]
        pixels = torch.cat(parts)
    data.test, data.classes = Images(pixels, labels), known


def relabel(images: Collection, classifier: Classifier, way: str) -> None:
    """Give images the labels of the classifier's classes.

    Raises:
        InputError: they have no labels, or other classes than the classifier.
    """
    if images.labels is None:
        raise InputError(
            "The images have no labels: put them into folders named by class (protocol.label=CLASS for a video), or "
            "say class_of=top1, which takes what the network answers for the whole image as the correct class."
        )
    images.relabel(matched(images.classes, classifier.classes, way))


def matched(names: Sequence[str], classes: Sequence[str], way: str) -> list[int]:
    """Like :func:`~lit_shift.classifiers.class_names.match_classes`, but print the matches if names differ."""
    outputs = match_classes(names, classes, way)
    pairs = [(classes[output], name) for name, output in zip(names, outputs, strict=True)]
    if any(ours.casefold() != theirs.casefold() for ours, theirs in pairs):
        listed = some(f"{ours} = {theirs}" for ours, theirs in pairs)
        say(f"The classes have other names than the network's; they are matched: {listed}.")
    return outputs
