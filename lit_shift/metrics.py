"""The measures as torchmetrics: sums and counts over :mod:`lit_shift.functional`, exact over batches and processes."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

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


class PerImage(Metric):
    """A measure of each image, in the images' order, from all batches and processes.

    ``update(places, values)`` takes where images are among all, (N,) int, and a value (N, ...) for each; ``compute``
    returns the values by place, as NumPy's array on the CPU.
    """

    full_state_update = False
    places: list[Tensor]
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("places", "values"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, places: Tensor, values: Tensor) -> None:
        self.places.append(places)
        self.values.append(values)

    def compute(self) -> np.ndarray:
        places, values = dim_zero_cat(self.places), dim_zero_cat(self.values)
        return values[places.argsort()].cpu().numpy()  # of a tensor of one entry, torchmetrics would make a scalar


class Distances(NamedTuple):
    """Mean distance (H, W) at every shift, that between different images, and the number of images."""

    by_shift: Tensor
    between_images: Tensor
    images: Tensor


class FeatureDistance(Metric):
    """Mean over images of :func:`lit_shift.functional.equivariance_distance` for one layer.

    ``update(phases)`` takes what :func:`lit_shift.orbit.layer_phases` yields; ``compute`` returns :class:`Distances`.
    The distance between different images is that of each image to the one before it in its process, so the images are
    to come in random order.

    Args:
        height: of the images.
        width: likewise.
    """

    full_state_update = False
    total: Tensor
    images: Tensor
    between: Tensor
    pairs: Tensor

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(height, width, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("images", "between", "pairs"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.before: Tensor | None = None

    def update(self, phases: Tensor) -> None:
        by_offset = functional.equivariance_distance(phases).sum(0)
        height, width = self.total.shape
        self.total += by_offset.repeat(height // len(by_offset), width // len(by_offset))
        self.images += len(phases)
        maps = phases[:, 0, 0]
        if self.before is not None:
            maps = torch.cat([self.before, maps])
        self.between += functional.cosine_distance(maps[:-1], maps[1:]).sum()
        self.pairs += len(maps) - 1
        self.before = maps[-1:].clone()

    def compute(self) -> Distances:
        return Distances(self.total / self.images, self.between / self.pairs, self.images)

    def reset(self) -> None:
        super().reset()
        self.before = None


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
