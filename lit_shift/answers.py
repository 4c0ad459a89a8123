"""Answers of a network that are not finite numbers: the one rule of all measures that may meet them."""

import torch
from torch import Tensor

from lit_shift.functional import finite
from lit_shift.utils.errors import InputError


def answered(skip_bad: bool, *answers: Tensor) -> Tensor:
    """Which of N images a network answers with finite numbers alone: answers (N, ...), one or several -> (N,) bool.

    Raises:
        InputError: there are others, unless they are to be skipped: then to be left out of every measure and counted.
    """
    good = torch.stack([finite(answer) for answer in answers]).all(0)
    bad = int((~good).sum())
    if bad and not skip_bad:
        raise InputError(
            f"The network's answers to {bad} of {len(good)} images are not finite numbers: look at its weights, or "
            "measure it by eval.py with skip_bad=true, which leaves such images out of every measure and counts them."
        )
    return good


def check_any(images: float) -> None:
    """The error of a measurement in which all images are left out."""
    if not images:
        raise InputError("The network answers none of the images with finite numbers: look at its weights.")
