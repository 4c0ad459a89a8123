"""The measures as torchmetrics: sums and counts over :mod:`lit_shift.functional`, exact over batches and processes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import bootstrap
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


class Interval(NamedTuple):
    """A mean over images and the ends of its 95% interval, each a float or (S,); and the number of images."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    images: int

    def named(self, name: str) -> dict[str, Any]:
        """The mean as ``name``, and the ends as ``<name>_ci95_low`` and ``<name>_ci95_high``."""
        return {name: self.mean, f"{name}_ci95_low": self.low, f"{name}_ci95_high": self.high}


class BootstrapOverImages(Metric, ABC):
    """Mean of a per-image measure with the interval that resampling the images gives, over batches and processes.

    ``update`` takes what :meth:`measure` does; ``compute`` returns an :class:`Interval`. Images whose value is NaN are
    left out; a single image has no interval, none has no mean, and NaN says so. The resampling is seeded, and does not
    depend on the images' order.
    """

    full_state_update = False
    RESAMPLES = 2000
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", [], dist_reduce_fx="cat")

    @abstractmethod
    def measure(self, *of_images: Tensor) -> Tensor:
        """One value for each image, (N,), or one for each of its frames, (N, S)."""

    def update(self, *of_images: Tensor) -> None:
        self.values.append(self.measure(*of_images).double())

    def compute(self) -> Interval:
        values = dim_zero_cat(self.values).cpu().numpy()
        values = values[~np.isnan(values.reshape(len(values), -1)).any(1)]
        values = np.sort(values, axis=0)
        if len(values) < 2:
            unknown = np.full(values.shape[1:], np.nan)[()]  # without axes a float, as a mean is
            return Interval(values[0] if len(values) else unknown, unknown, unknown, len(values))
        # 25 resamples at once: ten thousand images of a hundred frames are 200 MB of them.
        found = bootstrap((values,), np.mean, axis=0, n_resamples=self.RESAMPLES, batch=25, method="percentile", rng=0)
        low, high = found.confidence_interval
        return Interval(values.mean(0), low, high, len(values))


class _OfTopK(BootstrapOverImages):
    """A measure of whether the correct class is among the k most probable ones.

    Args:
        k: at least 1.
    """

    def __init__(self, k: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k


class Accuracy(_OfTopK):
    """Mean of :func:`lit_shift.functional.accuracy`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return functional.accuracy(logits, target, self.k, reduction="none")


class AccuracyByStep(_OfTopK):
    """Share of the images whose correct class is among the k most probable, at each step of a path."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return functional.in_top(logits, target, self.k)


class Jaggedness(_OfTopK):
    """Mean of :func:`lit_shift.functional.jaggedness`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return functional.jaggedness(logits, target, self.k, reduction="none")


class JaggedFraction(_OfTopK):
    """Share of the images whose jaggedness is not 0."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return functional.jaggedness(logits, target, self.k, reduction="none") > 0


class MAD(BootstrapOverImages):
    """Mean of :func:`lit_shift.functional.mad`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return functional.mad(logits, target, reduction="none")


class NonShiftability(BootstrapOverImages):
    """Mean of :func:`lit_shift.functional.nonshiftability` over the images to which a map of the layer responds."""

    def __init__(self, tolerance: float = 0.2, threshold: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tolerance = tolerance
        self.threshold = threshold

    def measure(self, sums: Tensor, maxima: Tensor) -> Tensor:  # type: ignore[override]
        return functional.nonshiftability(sums, maxima, self.tolerance, self.threshold, reduction="none")


class Departures(NonShiftability):
    """Mean of :func:`lit_shift.functional.departures` over the images to which a map of the layer responds."""

    def measure(self, sums: Tensor, maxima: Tensor) -> Tensor:  # type: ignore[override]
        return functional.departures(sums, maxima, self.tolerance, self.threshold, reduction="none")


class ElectedAccuracy(BootstrapOverImages):
    """Share of correct classes among those that the first ballots elect, for several numbers of ballots.

    ``update(ballots, target)`` takes ballots (N, R, k, K) of R copies of each image and the correct classes (N,).

    Args:
        passes: the P numbers of ballots; ``compute`` has an entry for each.
    """

    def __init__(self, passes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.passes = passes

    def measure(self, ballots: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return (functional.elected(ballots, self.passes) == target[:, None, None]).double().mean(1)


class ElectedConsistency(ElectedAccuracy):
    """Share of images of which two copies are elected the same class; the correct classes do not matter."""

    def measure(self, ballots: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        first, second = functional.elected(ballots, self.passes).unbind(1)
        return first == second
