"""The papers' measures as pure functions, one each.

``logits`` are ``(N, ..., K)``: N images, any axes of shifts, K classes. They hold either every shift of the torus once
(``sampled=False``, as from :func:`lit_shift.orbit.orbit_logits`) or independent uniform draws (``sampled=True``). For
draws, the unbiased form of a measure is used.

A measure of an image is NaN if any of its logits is not finite; :func:`lit_shift.answers.answered` finds such images
beforehand.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

# Measures of features, which scripts may look for here.
from lit_shift.feature_distance import cosine_distance as cosine_distance
from lit_shift.feature_distance import equivariance_distance as equivariance_distance
from lit_shift.feature_distance import invariance_distance as invariance_distance
from lit_shift.utils.errors import one_of

Reduction = Literal["mean", "none"]
Direction = Literal["vertical", "horizontal", "diagonal"]
STEPS: dict[Direction, tuple[int, int]] = {"vertical": (1, 0), "horizontal": (0, 1), "diagonal": (1, 1)}


def _reduce(values: Tensor, reduction: Reduction) -> Tensor:
    return values.mean() if reduction == "mean" else values


def finite(values: Tensor) -> Tensor:
    """Mask of the images whose values are all finite: (N, ...) -> (N,) bool."""
    return values.isfinite().flatten(1).all(1)


def _known(values: Tensor, logits: Tensor) -> Tensor:
    """Replace the measure (N,) of images whose logits are not finite by NaN."""
    return values.where(finite(logits), torch.nan)


def shift_counts(logits: Tensor) -> Tensor:
    """Number of shifts of each image that are classified as each class: (N, ..., K) -> (N, K) int64.

    Raises:
        ValueError: logits that are not finite, which have no class.
    """
    if not finite(logits).all():
        raise ValueError("Logits that are not finite have no class.")
    return _shift_counts(logits)


def _shift_counts(logits: Tensor) -> Tensor:
    return class_counts(logits.argmax(-1), logits.shape[-1])


def class_counts(predictions: Tensor, num_classes: int) -> Tensor:
    """Number of times each class is predicted: (N, ...) int -> (N, K) int64."""
    return F.one_hot(predictions.flatten(1).long(), num_classes).sum(1)


def accuracy_random(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Probability that a uniformly shifted image is classified correctly.

    Args:
        logits: (N, ..., K)
        target: (N,) int, the labels.
        reduction: ``mean`` over images, or ``none`` for one value per image.

    Returns:
        float64 in [0, 1], scalar or (N,).

    Source: Zhang, Table 1 ("random").
    """
    counts = _shift_counts(logits).double()
    return _reduce(_known(counts.gather(1, target[:, None]).squeeze(1) / counts.sum(1), logits), reduction)


def consistency(logits: Tensor, sampled: bool = False, reduction: Reduction = "mean") -> Tensor:
    """Probability that two independent uniform shifts of the same image get the same class.

    If ``n_c`` of all S shifts are classified as c, this is ``sum_c (n_c / S)^2``. For S draws, pairs of a draw with
    itself are left out, which gives an unbiased estimate: ``sum_c n_c (n_c - 1) / (S (S - 1))``.

    Args:
        logits: (N, ..., K), at least two shifts if ``sampled``.

    Returns:
        float64 in [0, 1], scalar or (N,).

    Source: Zhang, section 4.2.2.
    """
    return _reduce(_known(pair_agreement(_shift_counts(logits), sampled), logits), reduction)


def pair_agreement(counts: Tensor, sampled: bool = False) -> Tensor:
    """Probability that two predictions of an image agree: (N, K) counts per class -> (N,) float64."""
    counts = counts.double()
    shifts, itself = counts.sum(1), float(sampled)
    return (counts * (counts - itself)).sum(1) / (shifts * (shifts - itself))


def correct_probability(logits: Tensor, target: Tensor) -> Tensor:
    """Probability given to the correct class.

    Args:
        logits: (N, ..., K)
        target: (N,) int, the labels.

    Returns:
        (N, ...) float64 in [0, 1].
    """
    probabilities = logits.double().softmax(-1)
    return probabilities[torch.arange(len(target), device=target.device), ..., target]


def variation(logits: Tensor, target: Tensor, sampled: bool = False, reduction: Reduction = "mean") -> Tensor:
    """Variance of the probability of the correct class over the shifts of an image.

    Args:
        logits: (N, ..., K), at least two shifts if ``sampled``.
        target: (N,) int, the labels.

    Returns:
        float64 in [0, 0.25] ([0, 0.5] if ``sampled``), scalar or (N,).

    Source: Zhang, section 4.2.3 and Fig. 6.
    """
    correct = correct_probability(logits.flatten(1, -2), target)
    return _reduce(_known(correct.var(1, correction=int(sampled)), logits), reduction)


def flip_rate(logits: Tensor, direction: Direction, reduction: Reduction = "mean") -> Tensor:
    """Fraction of the one-pixel steps between shifts at which the most probable class changes.

    On the torus, a step begins at every shift (h, w). It ends at (h + 1, w) if it is ``vertical``, at (h, w + 1) if it
    is ``horizontal``, and at (h + 1, w + 1) if it is ``diagonal``.

    Args:
        logits: (N, H, W, K) at every shift; a sample of shifts has no steps.
        direction: one of :data:`STEPS`.

    Returns:
        float64 in [0, 1], scalar or (N,).
    """
    down, right = STEPS[one_of(STEPS, "direction", direction)]
    classes = logits.argmax(-1)
    flips = classes.roll((-down, -right), (1, 2)) != classes
    return _reduce(_known(flips.double().mean((1, 2)), logits), reduction)


def total_variation(weight: Tensor) -> Tensor:
    """Total variation of a convolution's kernels relative to their magnitude: 0 for constant kernels.

    Sum of absolute differences between vertical and horizontal neighbours, without wrapping, divided by the sum of
    absolute weights. About 1.8 for uniform random 3x3 kernels, 1.89 for normal ones.

    Args:
        weight: (out, in, height, width)

    Returns:
        Scalar, at least 0.

    Source: Ruderman et al. 2018, section 4; Zhang, Fig. 7.
    """
    weight = weight.double()
    return (weight.diff(dim=2).abs().sum() + weight.diff(dim=3).abs().sum()) / weight.abs().sum()


def in_top(logits: Tensor, target: Tensor, k: int = 1) -> Tensor:
    """True where the correct class is among the k most probable. Ties go to the lower class index.

    NaN ranks above all numbers, as in ``torch.argmax``. A correct class whose own logit is NaN is not among the top k.

    Args:
        logits: (N, ..., K)
        target: (N,) int, the correct class of each image.
        k: at least 1.

    Returns:
        (N, ...) bool
    """
    target = target.view(-1, *[1] * (logits.dim() - 1)).expand(*logits.shape[:-1], 1)
    correct = logits.gather(-1, target)
    not_before = torch.arange(logits.shape[-1], device=logits.device) >= target
    behind = (logits < correct) | ((logits == correct) & not_before)  # includes the correct class itself
    return (~behind).sum(-1) < k


def accuracy(logits: Tensor, target: Tensor, k: int = 1, reduction: Reduction = "mean") -> Tensor:
    """Fraction of an image's frames for which the correct class is among the k most probable.

    Args:
        logits: (N, S, K)
        target: (N,) int

    Returns:
        float64 in [0, 1], scalar or (N,).
    """
    return _reduce(_known(in_top(logits, target, k).double().mean(1), logits), reduction)


def jaggedness(logits: Tensor, target: Tensor, k: int = 1, reduction: Reduction = "mean") -> Tensor:
    """Number of times the correct class enters or leaves the k most probable classes along a path.

    Args:
        logits: (N, S, K) at the S steps of the path, in order.
        target: (N,) int
        k: 5 on ImageNet, 1 for ten classes.

    Returns:
        float64 in [0, S - 1], scalar or (N,).

    Source: Azulay & Weiss, section 2.
    """
    inside = in_top(logits, target, k)
    return _reduce(_known((inside[:, 1:] != inside[:, :-1]).sum(1).double(), logits), reduction)


def mad(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Mean absolute change of the probability of the correct class per step of a path.

    Args:
        logits: (N, S, K) at the S >= 2 steps of the path, in order.
        target: (N,) int

    Returns:
        float64 in [0, 1], scalar or (N,).

    Source: Azulay & Weiss, section 2.
    """
    return _reduce(_known(correct_probability(logits, target).diff(dim=1).abs().mean(1), logits), reduction)


def nonshiftability(
    sums: Tensor, maxima: Tensor, tolerance: float = 0.2, threshold: float = 0.1, reduction: Reduction = "mean"
) -> Tensor:
    """Number of steps of a path at which the global sum of a layer's feature maps changes.

    A sum changes at a step if it differs from that of the previous frame by more than ``tolerance`` times its mean
    over the path. The number of such steps is averaged over the maps that respond to the image, i.e. whose maximum
    over the path exceeds ``threshold`` times that of the whole layer.

    Args:
        sums: (N, S, C), the sum of each of the C feature maps at the S frames, in order.
        maxima: (N, C), the maximum of each map over the path.
        tolerance: fraction of a map's mean sum, at least 0.
        threshold: fraction of the layer's maximum, in [0, 1).

    Returns:
        float64 in [0, S - 1], scalar or (N,). NaN for an image to which no map responds.

    Source: Azulay & Weiss, section 3.
    """
    changes = sums.double().diff(dim=1).abs() > _tolerated(sums, tolerance)
    return _reduce(_over_responding(changes, maxima, threshold), reduction)


def departures(
    sums: Tensor, maxima: Tensor, tolerance: float = 0.2, threshold: float = 0.1, reduction: Reduction = "mean"
) -> Tensor:
    """Number of frames of a path at which the global sum of a layer's feature maps departs from its mean.

    A sum departs if it differs from its mean over the path by more than ``tolerance`` times that mean. A slowly
    drifting sum departs without ever changing much from frame to frame. Otherwise like :func:`nonshiftability`.

    Returns:
        float64 in [0, S], scalar or (N,). NaN for an image to which no map responds.
    """
    off = (sums.double() - sums.double().mean(1, keepdim=True)).abs() > _tolerated(sums, tolerance)
    return _reduce(_over_responding(off, maxima, threshold), reduction)


def _tolerated(sums: Tensor, tolerance: float) -> Tensor:
    """Largest difference that does not count as a change of a sum: (N, S, C) -> (N, 1, C)."""
    return tolerance * sums.double().mean(1, keepdim=True).abs()


def _over_responding(events: Tensor, maxima: Tensor, threshold: float) -> Tensor:
    """Number of events (N, T, C) along a path, averaged over the maps that respond: (N,)."""
    responds = maxima > threshold * maxima.double().amax(1, keepdim=True)
    return (events.sum(1).double() * responds).sum(1) / responds.sum(1)


def elected(ballots: Tensor, passes: Sequence[int]) -> Tensor:
    """Class elected by the first ballots. Ties go to the lower class index.

    Args:
        ballots: (..., k, K), probabilities or votes of k ballots, each summing to 1.
        passes: P numbers of ballots to count, each from 1 to k.

    Returns:
        (..., P) int64

    Raises:
        ValueError: a ballot that is not finite.
    """
    if not ballots.isfinite().all():
        raise ValueError("Ballots that are not finite elect no class.")
    return ballots.cumsum(-2)[..., [number - 1 for number in passes], :].argmax(-1)
