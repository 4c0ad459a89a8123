"""Build the parts of a measurement from its config: images, their subset and classifiers."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from lit_shift.classifiers.class_names import matched
from lit_shift.classifiers.classifier import Classifier
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.data.sources import UNKNOWN, Collection
from lit_shift.data.subset import Collections
from lit_shift.runs.config import in_section, names_in
from lit_shift.surgery import antialias
from lit_shift.training.build import build_source, load_run, prepared
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, as_typed, at_least, check_places, one_of, places

CORRECT_CLASSES = ("label", "top1")


def by_labels(cfg: DictConfig) -> bool:
    """True if the correct class is the label, False if it is the network's answer on the whole image."""
    return one_of(CORRECT_CLASSES, "class_of", cfg.class_of) == "label"


def build_images(cfg: DictConfig) -> Collection:
    """Return the test images of ``cfg.data``."""
    source = prepared(build_source(cfg))
    with as_typed(names_in(cfg, "data")):
        return source.collection()


def build_subset(
    cfg: DictConfig,
    collections: list[Collection],
    classifier: Classifier,
    images: int | None,
    seed: int,
    batch_sizes: list[int],
) -> Collections:
    """Choose the images to measure, and relabel them with the classifier's classes if labels are the correct class."""
    by_label = by_labels(cfg)
    if by_label:
        for number, collection in enumerate(collections):
            if collection not in collections[:number]:  # protocols share theirs
                relabel(collection, classifier, cfg.classes)
    shown = places(cfg.images)
    check_places(shown, max(map(len, collections)))
    return Collections(collections, images, seed, shown, batch_sizes, cfg.skip_bad, by_label)


def build_classifier(cfg: DictConfig) -> Classifier:
    """Build the classifier, which votes if ``cfg.tta`` says so."""
    return build_single(cfg) if cfg.tta is None else build_voters(cfg)


def build_voters(cfg: DictConfig) -> TestTimeAugmentation:
    """Build the classifier that votes over ``cfg.tta`` shifted copies."""
    at_least(1, "tta", cfg.tta)  # before the classifier, whose weights may have to be downloaded
    with as_typed({"by": "tta_by", "vote": "tta_vote", "seed": "tta_seed"}):
        return TestTimeAugmentation(build_single(cfg), cfg.tta, cfg.tta_by, cfg.tta_vote, cfg.tta_seed)


def build_single(cfg: DictConfig) -> Classifier:
    """Build the classifier without a vote: of a run, with the image size that it was trained on, or from elsewhere.

    It is antialiased if ``cfg.antialias`` says so.
    """
    if cfg.ckpt is None:
        pl.seed_everything(at_least(0, "seed", cfg.seed), verbose=False)  # for random weights
        with in_section(cfg, "model"):
            classifier: Classifier = instantiate(cfg.model)
    else:
        classifier = load_run(cfg.ckpt)
    if cfg.antialias is not None:
        classifier.net = antialiased(cfg, classifier.net, classifier.view[:2])
    return classifier


def antialiased(cfg: DictConfig, net: nn.Module, size: Sequence[int]) -> nn.Module:
    """Antialias a network as ``cfg`` says, with images of this size, and print what was done to it."""
    with as_typed({"filter": "antialias", "order": "antialias_order", "padding": "antialias_padding"}):
        treated = antialias(
            net, cfg.antialias, cfg.antialias_order, cfg.antialias_padding, example=torch.zeros(1, 3, *size)
        )
    say(str(treated.surgery))
    return treated


def relabel(images: Collection, classifier: Classifier, way: str) -> None:
    """Give images the labels of the classifier's classes, and print how many have none.

    Raises:
        InputError: they have no labels, or other classes than the classifier.
    """
    without = len(images) if images.labels is None else int((images.labels == UNKNOWN).sum())
    if without == len(images):
        raise InputError(
            "The images have no labels: put them into folders named by class (protocol.label=CLASS for a video), or "
            "say class_of=top1, which takes what the network answers for the whole image as the correct class."
        )
    if without:
        say(f"{without} of {len(images)} images have no label and are left out; with class_of=top1 all are measured.")
    images.relabel(matched(images.classes, classifier.classes, way))
