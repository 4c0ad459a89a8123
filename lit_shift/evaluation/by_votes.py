"""Measurement of the gain and cost of a vote over shifted copies of each image."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from lit_shift.evaluation.build import build_images, build_subset, build_voters, by_labels
from lit_shift.evaluation.image_by_image import test
from lit_shift.evaluation.vote_module import Voting
from lit_shift.runs.findings import Findings
from lit_shift.utils.errors import at_least, at_least_or_all


def measure(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Measure a vote over ``cfg.tta`` shifted copies.

    Raises:
        InputError: missing labels, classes other than the classifier's, missing images, or an error from a part of the
            config.
    """
    images = at_least_or_all(1, "tta_images", cfg.tta_images)
    batch_size = at_least(1, "data.eval_batch_size", cfg.data.eval_batch_size)
    collection = build_images(cfg)
    voters = build_voters(cfg)
    data = build_subset(cfg, [collection], voters, images, cfg.tta_seed, [batch_size])
    return test(cfg, out, Voting(voters, by_labels(cfg), cfg.skip_bad), data, {})
