"""The measurements of eval.py: a run as in its training, or any classifier along the paths of Azulay & Weiss."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from lit_shift.data.subset import Collections
from lit_shift.evaluation.build import (
    asked_top,
    build_classifier,
    build_collections,
    build_images,
    build_protocols,
    build_subset,
    build_voters,
    by_labels,
    chosen_protocols,
    see_as_trained,
)
from lit_shift.evaluation.feasible import USUAL_TOP, named, possible_top, try_network, unusable
from lit_shift.evaluation.folder import check_folder
from lit_shift.evaluation.path_measures import Settings
from lit_shift.evaluation.path_module import Measurement
from lit_shift.evaluation.report import found, log_figures, with_network
from lit_shift.evaluation.vote_module import Voting
from lit_shift.models.anatomy import in_numbers
from lit_shift.runs.config import CONF, group, label, vote
from lit_shift.runs.findings import Findings, read_history
from lit_shift.runs.run import Run, checkpoint_at
from lit_shift.training.build import build_data, build_module, build_testing, build_trainer
from lit_shift.training.checkpoint import load_weights
from lit_shift.training.signals import KeepMeasured, interrupted
from lit_shift.training.wandb_logging import logged
from lit_shift.utils.errors import at_least, at_least_or_all, true_or_false
from lit_shift.utils.files import given, make_folder


def out_folder(cfg: DictConfig) -> Path:
    """Folder for a measurement: ``out=``, else in the run's, else ``evals/<data>-<name>-<hash of model and data>``."""
    if cfg.out:
        return given(cfg.out)
    folder = Run.of(cfg.ckpt).evaluation(cfg) if cfg.ckpt else Path("evals") / f"{cfg.choices.data}-{group(cfg)}"
    return folder.with_name(f"{folder.name}{vote(cfg)}")


def with_weights(cfg: DictConfig) -> DictConfig:
    """Add a digest of the weights' file, whose content may change later (None if there is no file).

    Where ``ckpt`` names the folder of a run, it becomes the path of the run's checkpoint.
    """
    if cfg.ckpt:
        cfg.ckpt = str(checkpoint_at(cfg.ckpt))
    file = given(cfg.ckpt or cfg.model.weights)
    cfg.weights_sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    return cfg


def protocols_in_words(cfg: DictConfig) -> dict[str, str]:
    """Describe the chosen protocols by the options that affect their results."""
    usual: Any = OmegaConf.load(CONF / "protocol" / "shared" / "common.yaml")
    return {name: _described(cfg, name, usual) for name in chosen_protocols(cfg)}


def of_run(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Test a run's checkpoint as its training does."""
    data = build_data(cfg)
    see_as_trained(cfg, data)
    module = build_module(cfg, data)
    load_weights(module, given(cfg.ckpt))
    module.skip_bad = cfg.skip_bad
    ready_folder(cfg, out)
    trainer = build_testing(cfg)
    trainer.test(module, data, verbose=False)
    return trainer, found(trainer, cfg, Run.of(cfg.ckpt))


def along_paths(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Measure a classifier under the protocols of ``cfg.protocol``.

    Raises:
        InputError: missing labels, classes other than the classifier's, missing images, or an error from a part of the
            config.
    """
    options, top = cfg.protocol, asked_top(cfg)
    usual = top or USUAL_TOP
    settings = Settings(usual, options.tolerance, options.threshold, options.batch, by_labels(cfg), cfg.skip_bad)
    true_or_false("protocol.layers", options.layers)
    images = at_least_or_all(1, "protocol.images", options.images)
    at_least(0, "protocol.seed", options.seed)
    protocols = build_protocols(cfg)
    collections = build_collections(cfg, protocols)
    classifier = build_classifier(cfg) if cfg.tta is None else build_voters(cfg)
    settings = replace(settings, top=possible_top(top, len(classifier.classes)))
    steps = []
    for name, protocol in protocols.items():
        with named(name):
            steps.append(len(protocol.positions(classifier.view)))
            try_network(classifier, protocol)
            protocol.meet([collections[name].name(place) for place in range(len(collections[name]))])
    batch_sizes = [-(-settings.batch // number) for number in steps]  # images whose frames fill the network's batch
    data = build_subset(cfg, list(collections.values()), classifier, images, options.seed, batch_sizes)
    data.unfit = [
        unusable(name, protocol, data, collections[name], classifier.view) for name, protocol in protocols.items()
    ]
    look_into_layers = options.layers and cfg.tta is None  # a vote over several passes has no single map
    module = Measurement(classifier, protocols, settings, look_into_layers)
    described = {f"{name}/options": np.array(options) for name, options in protocols_in_words(cfg).items()}
    return test(cfg, out, module, data, described)


def by_voting(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Measure the gain and cost of a vote over ``cfg.tta`` shifted copies. Raises as :func:`along_paths` does."""
    images = at_least_or_all(1, "tta_images", cfg.tta_images)
    batch_size = at_least(1, "data.eval_batch_size", cfg.data.eval_batch_size)
    collection = build_images(cfg)
    voters = build_voters(cfg)
    data = build_subset(cfg, [collection], voters, images, cfg.tta_seed, [batch_size])
    return test(cfg, out, Voting(voters, by_labels(cfg), cfg.skip_bad), data, {})


def test(
    cfg: DictConfig, out: Path, module: Measurement | Voting, data: Collections, arrays: dict[str, np.ndarray]
) -> tuple[pl.Trainer, Findings]:
    """Run a measurement, and return its results together with ``arrays``."""
    made_of = in_numbers(module.classifier.net, module.classifier.view[:2])
    ready_folder(cfg, out)
    # In full precision, whatever that of the training.
    in_full = cfg.copy()
    in_full.trainer.precision = "32-true"
    trainer = build_trainer(in_full, [KeepMeasured()])
    with logged(trainer, cfg, out):
        trainer.test(module, data, verbose=False)
        config: Any = OmegaConf.to_container(cfg)
        config["classes"] = module.classifier.classes
        history = read_history(Run.of(cfg.ckpt).history) if cfg.ckpt else []
        metrics = with_network(trainer, made_of)
        findings = Findings(label(cfg), config, metrics, history, module.arrays | arrays)
        if cfg.figures and not interrupted(trainer):
            log_figures(trainer, findings)
    return trainer, findings


def ready_folder(cfg: DictConfig, out: Path) -> None:
    """Create the folder, and print which earlier results the measurement will replace.

    Called once everything else is ready, so that only what will happen is announced, and before the measurement, so
    that a problem with the folder is known before hours of work.
    """
    check_folder(cfg, out, protocols_in_words(cfg))
    make_folder(out, "out")


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
