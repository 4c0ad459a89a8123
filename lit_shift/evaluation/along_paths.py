"""Measurement of any classifier along the paths of Azulay & Weiss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_shift.classifiers.onnx import OnnxNetwork
from lit_shift.data.sources import Collection, Photographs
from lit_shift.evaluation.build import build_classifier, build_images, build_subset, by_labels
from lit_shift.evaluation.feasible import USUAL_TOP, named, possible_top, try_network, unusable
from lit_shift.evaluation.image_by_image import test
from lit_shift.evaluation.path_measures import Settings
from lit_shift.evaluation.path_module import Measurement
from lit_shift.protocols.base import Protocol
from lit_shift.protocols.video import Frames
from lit_shift.runs.config import CONF, chosen_protocols, in_section, names_in
from lit_shift.runs.findings import Findings
from lit_shift.utils.console import say
from lit_shift.utils.errors import as_typed, at_least, at_least_or_all, true_or_false


def measure(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Measure a classifier under the protocols of ``cfg.protocol``.

    Raises:
        InputError: missing labels, classes other than the classifier's, missing images, or an error from a part of the
            config.
    """
    options, typed = cfg.protocol, names_in(cfg, "protocol")
    with as_typed(typed):
        top = asked_top(cfg)
        settings = Settings(
            top or USUAL_TOP, options.tolerance, options.threshold, options.batch, by_labels(cfg), cfg.skip_bad
        )
        look_into_layers = true_or_false("layers", options.layers)
        images, seed = at_least_or_all(1, "images", options.images), at_least(0, "seed", options.seed)
    protocols = build_protocols(cfg)
    collections = build_collections(cfg, protocols)
    classifier = build_classifier(cfg)
    if cfg.tta is not None:  # a vote over several passes has no single map
        look_into_layers = False
    elif look_into_layers and isinstance(classifier.net, OnnxNetwork):
        say("The layers in an ONNX file cannot be seen: non-shiftability is not measured.")
        look_into_layers = False
    steps = []
    with as_typed(typed):
        settings = replace(settings, top=possible_top(top, len(classifier.classes)))
        for name, protocol in protocols.items():
            with named(name):
                steps.append(len(protocol.positions(classifier.view)))
                try_network(classifier, protocol)
                protocol.meet([collections[name].name(place) for place in range(len(collections[name]))])
    batch_sizes = [-(-settings.batch // number) for number in steps]  # images whose frames fill the network's batch
    data = build_subset(cfg, list(collections.values()), classifier, images, seed, batch_sizes)
    with as_typed(typed):
        data.unfit = [
            unusable(name, protocol, data, collections[name], classifier.view) for name, protocol in protocols.items()
        ]
    module = Measurement(classifier, protocols, settings, look_into_layers)
    return test(cfg, out, module, data, described(cfg))


def asked_top(cfg: DictConfig) -> tuple[int, ...] | None:
    """Return every k of ``protocol.top``, or None if the data decide. For a majority vote only 1 is possible."""
    asked = cfg.protocol.top
    top = tuple(asked) if isinstance(asked, ListConfig) else asked if asked is None else (asked,)
    if cfg.tta is not None and cfg.tta_vote == "majority" and top != (1,):
        say("In a majority vote most classes have no vote and thus no order: only the top 1 is measured.")
        return (1,)
    return top


def build_protocols(cfg: DictConfig) -> dict[str, Protocol]:
    """Instantiate the protocols of ``cfg.protocol``, by name."""
    with in_section(cfg, "protocol"):
        return {name: instantiate(cfg.protocol[name]) for name in chosen_protocols(cfg)}


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


def described(cfg: DictConfig) -> dict[str, str]:
    """Describe the chosen protocols by the options that affect their results."""
    usual: Any = OmegaConf.load(CONF / "protocol" / "shared" / "common.yaml")
    return {name: _described(cfg, name, usual) for name in chosen_protocols(cfg)}


def _described(cfg: DictConfig, name: str, usual: DictConfig) -> str:
    no_matter = ("_target_", "skip_bad")
    options = {key: value for key, value in cfg.protocol[name].items() if key not in no_matter and value is not None}
    if options.get("path") != "random":
        options.pop("draws", None)
    options |= {key: cfg.protocol[key] for key in ("tolerance", "threshold") if cfg.protocol[key] != usual[key]}
    if name != "frames" and cfg.protocol.images != "all" and cfg.protocol.seed != usual.seed:
        options["seed"] = cfg.protocol.seed  # it selects other images
    if cfg.class_of != "label":
        options["class_of"] = cfg.class_of
    elif name == "frames":
        options["label"] = cfg.protocol.label
    return ", ".join(f"{key}={value}" for key, value in options.items())
