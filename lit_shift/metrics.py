"""The measures as torchmetrics classes: sums and counts over :mod:`lit_shift.functional`.

Results do not depend on how images are split into batches and processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lit_shift import feature_distance, functional
from lit_shift.functional import Direction
from lit_shift.intervals import of_mean
from lit_shift.upsampling import Upsampling


class Interval(NamedTuple):
    """Mean over images, the ends of its 95% interval (each a float or (S,)), and the number of images."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    images: int

    def named(self, name: str) -> dict[str, Any]:
        """Return the mean as ``name`` and the ends as ``<name>_ci95_low`` and ``<name>_ci95_high``."""
        return {name: self.mean, f"{name}_ci95_low": self.low, f"{name}_ci95_high": self.high}

    def logged(self, name: str) -> dict[str, Tensor]:
        """Return :meth:`named` as float64 tensors; Lightning would log floats with only seven digits."""
        return {key: torch.tensor(value, dtype=torch.float64) for key, value in self.named(name).items()}


def over_images(values: np.ndarray) -> Interval:
    """Mean over images of values (N,) in [0, 1], with its interval."""
    low, high = of_mean(values.mean(), values.var(), len(values))
    return Interval(values.mean(), low, high, len(values))


class MeanOverImages(Metric, ABC):
    """Mean of a per-image measure. Every image has the same weight, whatever its batch or process.

    ``update`` takes the arguments of :meth:`measure`; ``compute`` returns an :class:`Interval` computed by
    :func:`lit_shift.intervals.of_mean`. It covers the random choice of images and, if shifts are sampled, that of
    shifts. Images whose value is NaN are left out; if none is left, mean and ends are NaN. A new measure overrides
    :meth:`measure` and, if its values can exceed 1, :meth:`largest`.
    """

    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor
    bound: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("total", "squares", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("bound", torch.zeros((), dtype=torch.float64), dist_reduce_fx="max")

    @abstractmethod
    def measure(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return a non-negative value for each image: (N,), or (N, S) with one value per frame."""

    def largest(self, *args: Any, **kwargs: Any) -> float:
        """Return an upper bound of :meth:`measure` for the given arguments."""
        return 1

    def update(self, *of_images: Tensor) -> None:
        values = self.measure(*of_images).double()
        values = values[~values[:, None].flatten(1).isnan().any(1)]
        self.total = self.total + values.sum(0)
        self.squares = self.squares + values.square().sum(0)
        self.count += len(values)
        self.bound = self.bound.clamp(min=self.largest(*of_images))

    def compute(self) -> Interval:
        images = int(self.count)
        if not images:
            unknown = np.full(self.total.shape, np.nan)[()]
            return Interval(unknown, unknown, unknown, 0)
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        low, high = of_mean(mean.cpu().numpy(), variance.cpu().numpy(), images, float(self.bound))
        return Interval(mean.cpu().numpy()[()], low[()], high[()], images)


class OverShifts(MeanOverImages):
    """Measure of logits (N, ..., K) over the shifts of N images with labels (N,).

    Args:
        sampled: True if the shifts are independent draws, False if they are all shifts.
    """

    def __init__(self, sampled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sampled = sampled


class PerImage(Metric):
    """Values of each image in the images' order, collected from all batches and processes.

    ``update(places, values)`` takes the images' indices, (N,) int, and a value (N, ...) for each; ``compute`` returns
    the values ordered by index, as a NumPy array on the CPU.
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
        return values[places.argsort()].cpu().numpy()  # torchmetrics would turn a tensor of one entry into a scalar


class Distances(NamedTuple):
    """Mean distances at every shift (H, W), the mean distance between different images, and the number of images."""

    equivariance: Tensor
    invariance: Tensor
    between_images: Tensor
    images: Tensor


class FeatureDistance(Metric):
    """Mean over images of a layer's distances from equivariance and from invariance.

    These are the two of :mod:`lit_shift.feature_distance`.

    ``update(phases)`` takes what :class:`lit_shift.orbit.all_shifts.LayersAtAllShifts` shows; ``compute`` returns
    :class:`Distances`. The distance between different images is taken between each image and the previous one in its
    process, so images must come in random order.

    Args:
        height: height of the images, in pixels.
        width: width of the images, in pixels.
        upsampling: one of :data:`lit_shift.upsampling.UPSAMPLINGS`.
    """

    full_state_update = False
    equivariance: Tensor
    invariance: Tensor
    images: Tensor
    between: Tensor
    pairs: Tensor

    def __init__(self, height: int, width: int, upsampling: Upsampling = "fourier", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.upsampling = upsampling
        for name in ("equivariance", "invariance"):
            self.add_state(name, torch.zeros(height, width, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("images", "between", "pairs"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.before: Tensor | None = None

    def update(self, phases: Tensor) -> None:
        if not len(phases):
            return
        by_offset = feature_distance.equivariance_distance(phases, self.upsampling).sum(0)
        height, width = self.equivariance.shape
        self.equivariance += by_offset.repeat(height // len(by_offset), width // len(by_offset))
        unmoved = feature_distance.invariance_distance(phases).sum(0)
        self.invariance += unmoved.repeat(height // len(unmoved), width // unmoved.shape[1])
        self.images += len(phases)
        maps = phases[:, 0, 0]
        if self.before is not None:
            maps = torch.cat([self.before, maps])
        self.between += feature_distance.cosine_distance(maps[:-1], maps[1:]).sum()
        self.pairs += len(maps) - 1
        self.before = maps[-1:].clone()

    def compute(self) -> Distances:
        by_shift = self.equivariance / self.images, self.invariance / self.images
        return Distances(*by_shift, self.between / self.pairs, self.images)

    def reset(self) -> None:
        super().reset()
        self.before = None


class RandomAccuracy(OverShifts):
    """Mean of :func:`lit_shift.functional.accuracy_random`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.accuracy_random(logits, target, reduction="none")


class Consistency(OverShifts):
    """Mean of :func:`lit_shift.functional.consistency`; the labels do not matter."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.consistency(logits, self.sampled, reduction="none")


class Variation(OverShifts):
    """Mean of :func:`lit_shift.functional.variation`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.variation(logits, target, self.sampled, reduction="none")

    def largest(self, logits: Tensor, target: Tensor) -> float:
        return 0.5 if self.sampled else 0.25


class FlipRate(MeanOverImages):
    """Mean of :func:`lit_shift.functional.flip_rate` over images and directions; the labels do not matter.

    Args:
        directions: some of :data:`lit_shift.functional.STEPS`.
    """

    def __init__(self, *directions: Direction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.directions = directions

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        by_direction = [functional.flip_rate(logits, direction, reduction="none") for direction in self.directions]
        return torch.stack(by_direction).mean(0)


class MeanOf(MeanOverImages):
    """Mean of values (N,) that are computed elsewhere. Images at which they are not finite are left out.

    Args:
        bound: upper bound of the values; it may be infinite.
    """

    def __init__(self, bound: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.upper = bound

    def measure(self, values: Tensor) -> Tensor:
        return values.where(values.isfinite(), torch.nan)

    def largest(self, values: Tensor) -> float:
        return self.upper


class _OfTopK(MeanOverImages):
    """Base of the measures that ask if the correct class is among the k most probable ones.

    Args:
        k: number of classes, at least 1.
    """

    def __init__(self, k: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k


class Accuracy(_OfTopK):
    """Mean of :func:`lit_shift.functional.accuracy`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.accuracy(logits, target, self.k, reduction="none")


class AccuracyByStep(_OfTopK):
    """Fraction of images whose correct class is among the k most probable, at each step of a path."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.in_top(logits, target, self.k)


class Jaggedness(_OfTopK):
    """Mean of :func:`lit_shift.functional.jaggedness`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.jaggedness(logits, target, self.k, reduction="none")

    def largest(self, logits: Tensor, target: Tensor) -> float:
        return logits.shape[1] - 1


class JaggednessRate(Jaggedness):
    """Mean jaggedness as a fraction of the steps between frames."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return super().measure(logits, target) / (logits.shape[1] - 1)

    def largest(self, logits: Tensor, target: Tensor) -> float:
        return 1


class JaggedFraction(_OfTopK):
    """Fraction of images with non-zero jaggedness."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.jaggedness(logits, target, self.k, reduction="none").clamp(max=1)


class MAD(MeanOverImages):
    """Mean of :func:`lit_shift.functional.mad`."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.mad(logits, target, reduction="none")


class NonShiftability(MeanOverImages):
    """Mean of :func:`lit_shift.functional.nonshiftability` over the images to which a map of the layer responds."""

    def __init__(self, tolerance: float = 0.2, threshold: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tolerance = tolerance
        self.threshold = threshold

    def measure(self, sums: Tensor, maxima: Tensor) -> Tensor:
        return functional.nonshiftability(sums, maxima, self.tolerance, self.threshold, reduction="none")

    def largest(self, sums: Tensor, maxima: Tensor) -> float:
        return sums.shape[1] - 1


class Departures(NonShiftability):
    """Mean of :func:`lit_shift.functional.departures` over the images to which a map of the layer responds."""

    def measure(self, sums: Tensor, maxima: Tensor) -> Tensor:
        return functional.departures(sums, maxima, self.tolerance, self.threshold, reduction="none")

    def largest(self, sums: Tensor, maxima: Tensor) -> float:
        return sums.shape[1]


class ElectedAccuracy(MeanOverImages):
    """Accuracy of the classes elected by the first ballots, for several numbers of ballots.

    ``update(ballots, target)`` takes ballots (N, R, k, K), k for each of R repetitions per image, and the correct
    classes (N,).

    Args:
        passes: numbers of ballots (P,); ``compute`` returns one entry for each.
    """

    def __init__(self, passes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.passes = passes

    def measure(self, ballots: Tensor, target: Tensor) -> Tensor:
        return (functional.elected(ballots, self.passes) == target[:, None, None]).double().mean(1)


class ElectedConsistency(ElectedAccuracy):
    """Fraction of images whose two repetitions elect the same class; the correct classes do not matter."""

    def measure(self, ballots: Tensor, target: Tensor) -> Tensor:
        first, second = functional.elected(ballots, self.passes).unbind(1)
        return first == second


# The measures of lit_shift.measures by name: over shifts of an image, over the steps between all its shifts, along the
# frames of a path, and in each layer along these frames.
OVER_SHIFTS: dict[str, Callable[[bool], OverShifts]] = {
    "accuracy_random": RandomAccuracy,
    "consistency": Consistency,
    "variation": Variation,
}
OVER_STEPS: dict[str, Callable[[], FlipRate]] = {
    "flip_rate": partial(FlipRate, "horizontal", "vertical"),
    **{f"flip_rate_{direction}": partial(FlipRate, direction) for direction in functional.STEPS},
}
ALONG_PATHS = {
    "jaggedness": Jaggedness,
    "jaggedness_rate": JaggednessRate,
    "jagged_fraction": JaggedFraction,
    "mad": MAD,
}
IN_LAYERS = {"nonshiftability": NonShiftability, "departures": Departures}
