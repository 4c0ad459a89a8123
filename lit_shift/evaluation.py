"""What eval.py measures: a run as its training did, or any classifier along the paths of Azulay & Weiss."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_shift.augmentation import TestTimeAugmentation
from lit_shift.build import build_classifier, build_data, build_testing, build_trainer, said_of
from lit_shift.callbacks import KeepMeasured
from lit_shift.callbacks.stop import interrupted
from lit_shift.checkpoint import load_weights
from lit_shift.choices import CORRECT_CLASSES
from lit_shift.classes import match_classes
from lit_shift.config import CONF_EVAL, group, label, vote
from lit_shift.console import say
from lit_shift.data.collections import Collections
from lit_shift.data.files import some
from lit_shift.data.loader import Images
from lit_shift.data.module import ImageDataModule
from lit_shift.data.photographs import Collection, InMemory, Photographs
from lit_shift.errors import InputError, at_least, at_least_or_all, check_places, places, true_or_false, unknown
from lit_shift.feasible import USUAL_TOP, named, possible_top, try_network, unusable
from lit_shift.files import given, make_folder
from lit_shift.findings import Findings, read_history
from lit_shift.measurement import Measurement
from lit_shift.network import in_numbers
from lit_shift.path_measures import Settings
from lit_shift.protocols import Frames, Protocol
from lit_shift.report import check_folder, found, log_figures, with_network
from lit_shift.run import Run
from lit_shift.subject import Subject
from lit_shift.tracking import logged
from lit_shift.view import View, whole
from lit_shift.voting import Voting


def out_folder(cfg: DictConfig) -> Path:
    """Where a measurement goes: ``out=``, the run's folder, or ``evals/<data>-<name>-<hash of model and data>``."""
    if cfg.out:
        return given(cfg.out)
    folder = Run.of(cfg.ckpt).evaluation(cfg) if cfg.ckpt else Path("evals") / f"{cfg.choices.data}-{group(cfg)}"
    return folder.with_name(f"{folder.name}{vote(cfg)}")


def with_digest(cfg: DictConfig) -> DictConfig:
    """The config with a digest of the weights' file, which may be another one tomorrow; None where there is no file."""
    file = given(cfg.ckpt or cfg.model.weights)
    cfg.weights_sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    return cfg


def protocols_in_words(cfg: DictConfig) -> dict[str, str]:
    """The chosen protocols with what tells a measurement under each from another under the same."""
    usual: Any = OmegaConf.load(CONF_EVAL / "protocol" / "shared" / "common.yaml")
    return {name: _described(cfg, name, usual) for name in chosen_protocols(cfg)}


def of_run(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Test a run's checkpoint as its training did."""
    data = build_data(cfg)
    see_as_trained(cfg, data)
    classifier = build_classifier(cfg, data)
    load_weights(classifier, given(cfg.ckpt))
    classifier.skip_bad = cfg.skip_bad
    ready_folder(cfg, out)
    trainer = build_testing(cfg)
    trainer.test(classifier, data, verbose=False)
    return trainer, found(trainer, cfg, Run.of(cfg.ckpt))


def along_paths(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Measure a classifier under the protocols of ``cfg.protocol``.

    Raises:
        InputError: no labels where they are needed, classes that are not the classifier's, images that are not there,
            or what a part of the config raises.
    """
    options, top = cfg.protocol, asked_top(cfg)
    usual = top or USUAL_TOP
    settings = Settings(usual, options.tolerance, options.threshold, options.batch, by_labels(cfg), cfg.skip_bad)
    true_or_false("protocol.layers", options.layers)
    images = at_least_or_all(1, "protocol.images", options.images)
    at_least(0, "protocol.seed", options.seed)
    protocols = build_protocols(cfg)
    collections = build_collections(cfg, protocols)
    subject = build_subject(cfg) if cfg.tta is None else build_voters(cfg)
    settings = replace(settings, top=possible_top(top, len(subject.classes)))
    steps = []
    for name, protocol in protocols.items():
        with named(name):
            steps.append(len(protocol.positions(subject.view)))
            try_network(subject, protocol)
            protocol.meet([collections[name].name(place) for place in range(len(collections[name]))])
    batch_sizes = [-(-settings.batch // number) for number in steps]  # so that their frames fill the network's batch
    data = build_subset(cfg, list(collections.values()), subject, images, options.seed, batch_sizes)
    data.unfit = [
        unusable(name, protocol, data, collections[name], subject.view) for name, protocol in protocols.items()
    ]
    look_into_layers = options.layers and cfg.tta is None  # of a vote over several passes there is no single map
    module = Measurement(subject, protocols, settings, look_into_layers)
    described = {f"{name}/options": np.array(options) for name, options in protocols_in_words(cfg).items()}
    return test(cfg, out, module, data, described)


def asked_top(cfg: DictConfig) -> tuple[int, ...] | None:
    """Every k that ``protocol.top`` names, None where it leaves that to the data; of a majority there is but one."""
    asked = cfg.protocol.top
    top = tuple(asked) if isinstance(asked, ListConfig) else asked if asked is None else (asked,)
    if cfg.tta is not None and cfg.tta_vote == "majority" and top != (1,):
        say("Of most classes a majority vote says that none is for them, so that no order is among them: top=1 only.")
        return (1,)
    return top


def by_voting(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Measure what a vote over ``cfg.tta`` shifted copies gains and costs; raises what :func:`along_paths` does."""
    images = at_least_or_all(1, "tta_images", cfg.tta_images)
    batch_size = at_least(1, "data.eval_batch_size", cfg.data.eval_batch_size)
    collection = build_images(cfg)
    voters = build_voters(cfg)
    data = build_subset(cfg, [collection], voters, images, cfg.tta_seed, [batch_size])
    return test(cfg, out, Voting(voters, by_labels(cfg), cfg.skip_bad), data, {})


def test(
    cfg: DictConfig, out: Path, module: Measurement | Voting, data: Collections, arrays: dict[str, np.ndarray]
) -> tuple[pl.Trainer, Findings]:
    """Run a measurement; what it finds, with the arrays that are given."""
    made_of = in_numbers(module.subject.net, module.subject.view[:2])
    ready_folder(cfg, out)
    # Whatever the precision of the training.
    in_full = cfg.copy()
    in_full.trainer.precision = "32-true"
    trainer = build_trainer(in_full, [KeepMeasured()])
    with logged(trainer, cfg, out):
        trainer.test(module, data, verbose=False)
        config: Any = OmegaConf.to_container(cfg)
        config["classes"] = module.subject.classes
        history = read_history(Run.of(cfg.ckpt).history) if cfg.ckpt else []
        metrics = with_network(trainer, made_of)
        findings = Findings(label(cfg), config, metrics, history, module.arrays | arrays)
        if cfg.figures and not interrupted(trainer):
            log_figures(trainer, findings)
    return trainer, findings


def ready_folder(cfg: DictConfig, out: Path) -> None:
    """Make the folder, and say what in it the measurement takes the place of.

    Once all is made that it needs, for nothing to be announced that then cannot be; and before it begins, for what is
    wrong with the folder to be known before, and not after, hours of measuring.
    """
    check_folder(cfg, out, protocols_in_words(cfg))
    make_folder(out, "out")


def by_labels(cfg: DictConfig) -> bool:
    """Whether the correct class is the label.

    Raises:
        InputError: an unknown way to tell the correct class.
    """
    if cfg.class_of not in CORRECT_CLASSES:
        raise unknown("class_of", cfg.class_of, CORRECT_CLASSES)
    return cfg.class_of == "label"


def build_subset(
    cfg: DictConfig,
    collections: list[Collection],
    subject: Subject,
    images: int | None,
    seed: int,
    batch_sizes: list[int],
) -> Collections:
    """The images to be measured, with the subject's labels where labels tell the correct class."""
    if by_labels(cfg):
        for number, collection in enumerate(collections):
            if collection not in collections[:number]:  # protocols share theirs
                relabel(collection, subject, cfg.classes)
    shown = places(cfg.images)
    check_places(shown, max(map(len, collections)))
    return Collections(collections, images, seed, shown, batch_sizes, cfg.skip_bad)


def _described(cfg: DictConfig, name: str, usual: DictConfig) -> str:
    no_matter = ("_target_", "skip_bad")
    options = {key: value for key, value in cfg.protocol[name].items() if key not in no_matter and value is not None}
    if options.get("path") != "random":
        options.pop("draws", None)
    options |= {key: cfg.protocol[key] for key in ("tolerance", "threshold") if cfg.protocol[key] != usual[key]}
    if name != "frames" and cfg.protocol.images != "all" and cfg.protocol.seed != usual.seed:
        options["seed"] = cfg.protocol.seed  # which is of other images
    if cfg.class_of != "label":
        options["class_of"] = cfg.class_of
    elif name == "frames":
        options["label"] = cfg.protocol.label
    return ", ".join(f"{key}={value}" for key, value in options.items())


def build_protocols(cfg: DictConfig) -> dict[str, Protocol]:
    """The protocols of ``cfg.protocol``, by name."""
    protocols = {}
    for name in chosen_protocols(cfg):
        with said_of(f"protocol.{name}"):
            protocols[name] = instantiate(cfg.protocol[name])
    return protocols


def chosen_protocols(cfg: DictConfig) -> list[str]:
    """The names of the protocols of ``cfg.protocol``, which holds options too; none where there is none."""
    options = cfg.protocol if "protocol" in cfg else {}
    return [str(key) for key, part in options.items() if isinstance(part, DictConfig) and "_target_" in part]


def build_collections(cfg: DictConfig, protocols: dict[str, Protocol]) -> dict[str, Collection]:
    """What each protocol takes its images from: the test images of ``cfg.data``, or a video."""
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
    """The test images of ``cfg.data``; those of a folder are read when they are wanted, and need no training images."""
    if cfg.data._target_ == "lit_shift.data.ImageFolder":
        return Photographs.found_in(cfg.data.root, cfg.data.size)
    data = build_data(cfg)
    return InMemory(data.test, data.classes)


def build_voters(cfg: DictConfig) -> TestTimeAugmentation:
    """The vote of the classifier over ``cfg.tta`` shifted copies."""
    return TestTimeAugmentation(build_subject(cfg), cfg.tta, cfg.tta_by, cfg.tta_vote, cfg.tta_seed)


def build_subject(cfg: DictConfig) -> Subject:
    """The classifier of a run, which sees images as large as those that it was trained on, or one from elsewhere."""
    if cfg.ckpt is None:
        pl.seed_everything(cfg.seed, verbose=False)  # of random weights
        with said_of("model"):
            return instantiate(cfg.model)
    with said_of("model"):
        net = instantiate(cfg.model, pool=instantiate(cfg.pool), num_classes=len(cfg.class_names))
    # The checkpoint has the normalisation too.
    subject = Subject(net, [0] * 3, [1] * 3, cfg.class_names, view_of_run(cfg))
    load_weights(subject, given(cfg.ckpt))
    return subject


def view_of_run(cfg: DictConfig) -> View:
    """How a run sees images: the shorter side as large as those that it was trained on, then the middle."""
    height, width = cfg.image_size
    return View(height, width, resize=min(height, width))


def see_as_trained(cfg: DictConfig, data: ImageDataModule) -> None:
    """Bring the test images of a data set to a run's classes and, in 8 bits, to its view; what that changes is said.

    Raises:
        InputError: another number of classes, other classes, or images that cannot be brought to that size.
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


def relabel(images: Collection, subject: Subject, way: str) -> None:
    """Give images the labels of the subject's classes.

    Raises:
        InputError: they have none, or of classes that are not the subject's.
    """
    if images.labels is None:
        raise InputError(
            "The images have no labels: put them into folders named by class (protocol.label=CLASS for a video), or "
            "say class_of=top1, which takes what the network answers for the whole image as the correct class."
        )
    images.relabel(matched(images.classes, subject.classes, way))


def matched(names: Sequence[str], classes: Sequence[str], way: str) -> list[int]:
    """As :func:`lit_shift.classes.match_classes`; where the names are others, it is said what is taken for what."""
    outputs = match_classes(names, classes, way)
    pairs = [(classes[output], name) for name, output in zip(names, outputs, strict=True)]
    if any(ours.casefold() != theirs.casefold() for ours, theirs in pairs):
        listed = some(f"{ours} = {theirs}" for ours, theirs in pairs)
        say(f"The classes have other names than the network's; they are matched: {listed}.")
    return outputs
