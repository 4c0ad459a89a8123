"""Network outputs that are not finite: the rule shared by all measures that may meet them."""

import torch
from torch import Tensor

from lit_shift.functional import finite
from lit_shift.utils.errors import InputError


def answered(skip_bad: bool, *answers: Tensor) -> Tensor:
    """Mask of the N images whose outputs are all finite: one or several outputs (N, ...) -> (N,) bool.

    Raises:
        InputError: some are not finite, and ``skip_bad`` is false. With ``skip_bad``, leave these images out of every
            measure and count them.
    """
    good = torch.stack([finite(answer) for answer in answers]).all(0)
    bad = int((~good).sum())
    if bad and not skip_bad:
        raise InputError(
            f"The network's outputs for {bad} of {len(good)} images are not finite: check its weights, or measure "
            "it with skip_bad=true, which leaves such images out of every measure and counts them."
        )
    return good


def check_any(images: float) -> None:
    """Raise an InputError if no image is left to measure."""
    if not images:
        raise InputError("The network's outputs are not finite for any image: check its weights.")
