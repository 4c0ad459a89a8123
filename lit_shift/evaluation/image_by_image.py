"""Lightning test of a classifier image by image, along paths or by votes, and its findings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from lit_shift.classifiers.onnx import OnnxNetwork
from lit_shift.data.subset import Collections
from lit_shift.evaluation.folder import ready_folder
from lit_shift.evaluation.path_module import Measurement
from lit_shift.evaluation.vote_module import Voting
from lit_shift.models.anatomy import in_numbers
from lit_shift.results import gallery
from lit_shift.runs.config import label
from lit_shift.runs.findings import Findings, read_history
from lit_shift.runs.run import Run
from lit_shift.training.build import build_trainer
from lit_shift.training.collect import with_network
from lit_shift.training.signals import KeepMeasured, interrupted
from lit_shift.training.wandb_logging import log_media, logged


def test(
    cfg: DictConfig, out: Path, module: Measurement | Voting, data: Collections, protocols: Mapping[str, str]
) -> tuple[pl.Trainer, Findings]:
    """Run a measurement.

    Args:
        protocols: the options of each protocol, in words.
    """
    net, size = module.classifier.net, module.classifier.view[:2]
    made_of = {} if isinstance(net, OnnxNetwork) else in_numbers(net, size)  # nothing is seen in one
    ready_folder(cfg, out, protocols)
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
        options = {f"{name}/options": np.array(words) for name, words in protocols.items()}
        findings = Findings(label(cfg), config, metrics, history, module.arrays | options)
        if cfg.figures and not interrupted(trainer):
            log_media(trainer, lambda: gallery.draw([findings]), dict)
    return trainer, findings
