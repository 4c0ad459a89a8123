"""The papers' measures as pure functions, one each.

``logits`` are ``(N, ..., K)``: N images, any axes of shifts, K classes. They hold either every shift of the torus once
(``sampled=False``, as from :func:`lit_shift.orbit.orbit_logits`) or independent uniform draws (``sampled=True``), in
which case the unbiased form of a measure is taken.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["mean", "none"]


def _reduce(values: Tensor, reduction: Reduction) -> Tensor:
    return values.mean() if reduction == "mean" else values


def shift_counts(logits: Tensor) -> Tensor:
    """How many shifts of each image are classified as each class: (N, ..., K) -> (N, K) int64."""
    predictions = logits.flatten(1, -2).argmax(-1)
    return F.one_hot(predictions, logits.shape[-1]).sum(1)


def accuracy_random(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Probability that a uniformly shifted image is classified correctly.

    Args:
        logits: (N, ..., K)
        target: (N,) int, the labels.
        reduction: ``mean`` over images, or ``none`` for one value an image.

    Returns:
        float64 in [0, 1], scalar or (N,).

    Source: Zhang, Table 1 ("random").
    """
    counts = shift_counts(logits).double()
    return _reduce(counts.gather(1, target[:, None]).squeeze(1) / counts.sum(1), reduction)


def consistency(logits: Tensor, sampled: bool = False, reduction: Reduction = "mean") -> Tensor:
    """Probability that two independent uniform shifts of the same image get the same class.

    With ``n_c`` of S shifts classified as c, this is ``sum_c (n_c / S)^2`` over all shifts. Among S draws the pairs of
    a draw with itself are left out, ``sum_c n_c (n_c - 1) / (S (S - 1))``: unbiased for the former.

    Args:
        logits: (N, ..., K), at least two shifts where ``sampled``.

    Returns:
        float64 in [0, 1], scalar or (N,).

    Source: Zhang, section 4.2.2.
    """
    counts = shift_counts(logits).double()
    shifts, itself = counts.sum(1), float(sampled)
    pairs = (counts * (counts - itself)).sum(1)
    return _reduce(pairs / (shifts * (shifts - itself)), reduction)


def variation(logits: Tensor, target: Tensor, sampled: bool = False, reduction: Reduction = "mean") -> Tensor:
    """Variance, over the shifts of an image, of the probability of its correct class.

    Args:
        logits: (N, ..., K), at least two shifts where ``sampled``.
        target: (N,) int, the labels.

    Returns:
        float64 in [0, 0.25] (in [0, 0.5] where ``sampled``), scalar or (N,).

    Source: Zhang, section 4.2.3 and Fig. 6.
    """
    probabilities = logits.double().flatten(1, -2).softmax(-1)
    correct = probabilities.gather(2, target[:, None, None].expand(-1, probabilities.shape[1], 1)).squeeze(2)
    return _reduce(correct.var(1, correction=int(sampled)), reduction)


def total_variation(weight: Tensor) -> Tensor:
    """Total variation of a convolution's kernels, relative to their size: 0 for constant kernels.

    Sum of absolute differences between vertical and horizontal neighbours, without wrapping, over the sum of absolute
    weights. About 1.8 for uniform random 3x3 kernels, 1.89 for normal ones.

    Args:
        weight: (out, in, height, width)

    Returns:
        scalar, at least 0.

    Source: Ruderman et al. 2018, section 4; Zhang, Fig. 7.
    """
    weight = weight.double()
    return (weight.diff(dim=2).abs().sum() + weight.diff(dim=3).abs().sum()) / weight.abs().sum()
