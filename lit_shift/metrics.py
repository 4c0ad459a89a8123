"""The measures as torchmetrics: sums and counts over :mod:`lit_shift.functional`, exact over batches and processes."""

from collections.abc import Callable
from functools import partial
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


class MeanOverImages(Metric):
    """Mean of a per-image measure, every image weighing the same whatever its batch or process.

    ``compute`` returns an :class:`Estimate`. Its interval (normal approximation) covers the choice of images and,
    where shifts are sampled, the choice of shifts.

    Args:
        measure: takes what ``update`` is given, returns one value an image.
    """

    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, measure: Callable[..., Tensor], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.measure = measure
        for name in ("total", "squares", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, *args: Tensor) -> None:
        values = self.measure(*args).double()
        self.total += values.sum()
        self.squares += values.square().sum()
        self.count += values.numel()

    def compute(self) -> Estimate:
        mean = self.total / self.count
        variance = (self.squares - self.count * mean.square()).clamp(min=0) / (self.count - 1)
        return Estimate(mean, 1.96 * (variance / self.count).sqrt(), self.count)


class RandomAccuracy(MeanOverImages):
    """:func:`lit_shift.functional.accuracy_random`; ``update(logits, target)``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(partial(functional.accuracy_random, reduction="none"), **kwargs)


class Consistency(MeanOverImages):
    """:func:`lit_shift.functional.consistency`; ``update(logits)``."""

    def __init__(self, sampled: bool = False, **kwargs: Any) -> None:
        super().__init__(partial(functional.consistency, sampled=sampled, reduction="none"), **kwargs)


class Variation(MeanOverImages):
    """:func:`lit_shift.functional.variation`; ``update(logits, target)``."""

    def __init__(self, sampled: bool = False, **kwargs: Any) -> None:
        super().__init__(partial(functional.variation, sampled=sampled, reduction="none"), **kwargs)
