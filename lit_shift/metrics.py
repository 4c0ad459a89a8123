"""The measures as torchmetrics: sums and counts over :mod:`lit_shift.functional`, exact over batches and processes."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_shift import functional


class Estimate(NamedTuple):
    """A mean over images, the half-width of its 95% interval, and the number of images."""

    mean: Tensor
    ci95: Tensor
    images: Tensor


class MeanOverImages(Metric, ABC):
    """Mean of a per-image measure, every image weighing the same whatever its batch or process.

    ``update(logits, target)`` takes logits (N, ..., K) over the shifts of N images and their labels (N,); ``compute``
    returns an :class:`Estimate`. Its interval (normal approximation) covers the choice of images and, where shifts are
    sampled, the choice of shifts. A new measure overrides :meth:`measure`.

    Args:
        sampled: the shifts are independent draws rather than all of them.
    """

    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, sampled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sampled = sampled
        for name in ("total", "squares", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @abstractmethod
    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """One value for each image, (N,)."""

    def update(self, logits: Tensor, target: Tensor) -> None:
        values = self.measure(logits, target).double()
        self.total += values.sum()
        self.squares += values.square().sum()
        self.count += values.numel()

    def compute(self) -> Estimate:
        mean = self.total / self.count
        variance = (self.squares - self.count * mean.square()).clamp(min=0) / (self.count - 1)
        return Estimate(mean, 1.96 * (variance / self.count).sqrt(), self.count)


class RandomAccuracy(MeanOverImages):
    """Mean of :func:`lit_shift.functional.accuracy_random`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.accuracy_random(logits, target, reduction="none")


class Consistency(MeanOverImages):
    """Mean of :func:`lit_shift.functional.consistency`; the labels do not matter."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.consistency(logits, self.sampled, reduction="none")


class Variation(MeanOverImages):
    """Mean of :func:`lit_shift.functional.variation`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.variation(logits, target, self.sampled, reduction="none")
