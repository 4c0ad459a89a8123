"""Measures of a classifier along the frames of one protocol, and material for the figures."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lit_shift.answers import answered, check_any
from lit_shift.classifiers.classifier import Classifier, Key, full_precision
from lit_shift.data.loader import Batch
from lit_shift.functional import correct_probability
from lit_shift.measures import MEASURES
from lit_shift.metrics import ALONG_PATHS, IN_LAYERS, Accuracy, AccuracyByStep, PerImage
from lit_shift.models.layers import Layers
from lit_shift.protocols.base import Protocol
from lit_shift.protocols.canvas import Scale
from lit_shift.utils.errors import InputError, at_least, number

SHOWN_FRAMES = 8
SHOWN_LAYERS = 5


@dataclass(frozen=True)
class Settings:
    """Settings shared by all protocols.

    Args:
        top: every k for which top-k measures are taken.
        tolerance: of non-shiftability, see :func:`lit_shift.functional.nonshiftability`.
        threshold: likewise.
        batch: number of frames per forward pass.
        by_label: True if the correct class is the label; otherwise it is the network's answer on the whole image.
        skip_bad: leave out images whose outputs are not finite.
    """

    top: Sequence[int]
    tolerance: float
    threshold: float
    batch: int
    by_label: bool
    skip_bad: bool = False

    @property
    def rate(self) -> str:
        """Name of the fraction of frames classified as the correct class."""
        return "accuracy" if self.by_label else "agreement"

    def __post_init__(self) -> None:
        at_least(1, "batch", self.batch)
        for k in self.top:
            at_least(1, "top", k)
        number("tolerance", self.tolerance, 0)
        if not number("threshold", self.threshold, 0) < 1:
            raise InputError(f"threshold={self.threshold} must be below 1.")


class PathMeasures:
    """Measurement of a classifier along the frames of a protocol.

    Args:
        protocol: makes the frames.
        classifier: the classifier, in eval mode.
        settings: shared by all protocols.
        layers: the layers to look into, or None.
    """

    def __init__(self, protocol: Protocol, classifier: Classifier, settings: Settings, layers: Layers | None) -> None:
        self.protocol = protocol
        self.classifier = classifier
        self.settings = settings
        self.positions = protocol.positions(classifier.view)
        self.steps = len(self.positions)
        moving = protocol.ordered and self.steps > 1
        self.watched = layers if moving and layers and layers.names else None
        rates = {each.name: k for k, each in MEASURES[settings.rate].of_tops({1, *settings.top}).items()}
        self.metrics: dict[str, Metric] = {name: Accuracy(k) for name, k in rates.items()}
        self.on_whole_images = {name: Accuracy(k) for name, k in rates.items() if settings.by_label}
        for name, along in ALONG_PATHS.items() if moving else ():
            for k, measure in MEASURES[name].of_tops(settings.top).items():
                self.metrics[measure.name] = along(k) if MEASURES[name].tops else along()
        self.layers = {
            (name, layer): metric(settings.tolerance, settings.threshold)
            for name, metric in IN_LAYERS.items()
            for layer in (self.watched.names if self.watched else ())
        }
        by_size = settings.top if isinstance(protocol, Scale) else ()
        self.by_step = {f"{settings.rate}_top{k}": AccuracyByStep(k) for k in by_size}
        self.per_image = {name: PerImage() for name in ("probability", "places", "labels", "answers")}
        if self.watched:
            self.per_image["nonshiftability_by_image"] = PerImage()
        for part in (self.metrics, self.on_whole_images, self.layers, self.by_step, self.per_image):
            for each in part.values():
                each.to(classifier.mean.device)

    def update(self, batch: Batch) -> list[int]:
        """Measure images of one size, given their ``places`` and labels in the classifier's classes.

        Returns:
            The places of images that are left out because outputs are not finite.

        Raises:
            InputError: there are such images, and they are not to be skipped.
        """
        images, places = self._images(batch.pixels), batch.places
        with full_precision(images.device):
            at_first = self._whole(images, batch)
            labels = batch.labels if self.settings.by_label else at_first.argmax(1)
            logits, sums, maxima = self._along(images, places.tolist())
        good = answered(self.settings.skip_bad, logits, at_first)
        logits, at_first, labels, kept = logits[good], at_first[good], labels[good], places[good]
        for metric in (*self.metrics.values(), *self.by_step.values()):
            metric.update(logits, labels)
        for metric in self.on_whole_images.values():
            metric.update(at_first[:, None], labels)
        for (_, name), layer in self.layers.items():
            layer.update(sums[name][good], maxima[name][good])
        self.per_image["probability"].update(kept, correct_probability(logits, labels).float())
        for name, values in (("places", kept), ("labels", batch.labels[good]), ("answers", at_first.argmax(1))):
            self.per_image[name].update(kept, values)
        if self.watched:
            counts = [
                self.layers["nonshiftability", name].measure(sums[name][good], maxima[name][good])
                for name in self.watched.names
            ]
            self.per_image["nonshiftability_by_image"].update(kept, torch.stack(counts, dim=1).half())
        return places[~good].tolist()

    def _images(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.classifier.mean) / 255

    def _whole(self, images: Tensor, batch: Batch) -> Tensor:
        """Compute logits (N, K) of the whole images."""
        keys = [(place, 0) for place in batch.places.tolist()]
        return self.classifier.answer(self.protocol.seen(images, self.classifier.view), keys)

    def _along(self, images: Tensor, places: Sequence[int]) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Compute logits (N, S, K), and for each layer the sums (N, S, C) and maxima (N, C) of its maps."""
        n = len(images)
        sums: dict[str, list[Tensor]] = {}
        maxima: dict[str, Tensor] = {}

        def see(name: str, maps: Tensor) -> None:
            summed = maps.sum((2, 3), dtype=torch.float64)
            sums.setdefault(name, []).append(summed.unflatten(0, (-1, n)))
            # On channels_last maps with few channels, amax would take a quarter of all time on a CPU.
            largest = F.adaptive_max_pool2d(maps, 1).unflatten(0, (-1, n)).amax((0, 3, 4))
            maxima[name] = torch.maximum(maxima[name], largest) if name in maxima else largest

        with self.watched.watch(see) if self.watched else nullcontext():
            logits = [self.classifier.answer(*some).unflatten(0, (-1, n)) for some in self._chunks(images, places)]
        # One layer at a time, because the sums along a grid path take gigabytes.
        summed = {name: torch.cat(sums.pop(name)).transpose(0, 1) for name in list(sums)}
        return torch.cat(logits).transpose(0, 1), summed, maxima

    def _chunks(self, images: Tensor, places: Sequence[int]) -> Iterator[tuple[Tensor, list[Key]]]:
        """Yield the frames step by step, as many at once as fit the network's batch: (s N, 3, h, w)."""
        frames = enumerate(self.protocol.frames(images, places, self.classifier.view), start=1)  # 0 is the whole image
        at_once = max(1, self.settings.batch // len(images))
        while some := list(islice(frames, at_once)):
            yield torch.cat([frame for _, frame in some]), [(place, step) for step, _ in some for place in places]

    @property
    def started(self) -> bool:
        """True if any image has been measured."""
        return self.metrics[self.settings.rate].update_called

    def pictures(self, batch: Batch) -> dict[str, np.ndarray]:
        """A few frames of a single image, the probability of its correct class, and maps that respond to it.

        Returns:
            Empty if outputs are not finite. Otherwise ``frames`` (T, 3, h, w) uint8 and ``curve`` (S,). With layers
            also, for a few of them, the map that responds most, ``maps/<layer>`` (T, h, w), and the ``sums`` (S, C) of
            the last one's maps.
        """
        image, places = self._images(batch.pixels), batch.places.tolist()
        names = self.watched.names if self.watched else []
        evenly = np.linspace(0, max(0, len(names) - 1), SHOWN_LAYERS).round().astype(int)
        found: dict[str, np.ndarray] = {}

        def see(name: str, maps: Tensor) -> None:
            if names.index(name) in evenly:
                found[f"maps/{name}"] = maps[:, maps.amax((0, 2, 3)).argmax()].float().cpu().numpy()

        with full_precision(image.device):
            every = self.protocol.frames(image, places, self.classifier.view)
            frames = torch.cat([frame for step, frame in enumerate(every) if step in self._shown_steps()])
            if self.watched:
                with self.watched.watch(see):
                    self.classifier(frames)
                found = {key: found[key] for name in names if (key := f"maps/{name}") in found}  # in their order
            logits, sums, _ = self._along(image, places)
            at_first = self._whole(image, batch)
        if not answered(self.settings.skip_bad, logits, at_first).all():
            return {}
        curve = correct_probability(logits, batch.labels if self.settings.by_label else at_first.argmax(1))[0]
        found["frames"] = frames.mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        found["curve"] = curve.float().cpu().numpy()
        if names:
            found["sums"] = sums[names[-1]][0].float().cpu().numpy()
        return found

    def _shown_steps(self) -> np.ndarray:
        return np.unique(np.linspace(0, self.steps - 1, SHOWN_FRAMES).round().astype(int))

    def of_whole_images(self) -> dict[str, float]:
        """Accuracy on whole images, with its intervals; empty without labels."""
        found: dict[str, float] = {}
        for name, metric in self.on_whole_images.items():
            found |= metric.compute().named(name)
        return found

    def compute(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scalars, and arrays for the figures, named as in :class:`~lit_shift.evaluation.path_module.Measurement`."""
        measured = self.metrics | {"/".join(key): layer for key, layer in self.layers.items()}
        found: dict[str, Any] = {name: metric.compute() for name, metric in measured.items()}
        check_any(found[self.settings.rate].images)
        scalars = {"n": float(found[self.settings.rate].images), "steps": float(self.steps)}
        for name, interval in found.items():
            scalars |= interval.named(name)
        arrays = {
            **{name: metric.compute() for name, metric in self.per_image.items()},
            "positions": self.positions,
            "frame_positions": self.positions[self._shown_steps()],
            "along": np.array(self.protocol.along),
        }
        for name, by_step in self.by_step.items():
            arrays[name] = np.stack(by_step.compute()[:3], axis=1)
        if self.watched:
            arrays |= {"layers": np.array(self.watched.names), "depths": np.array(self.watched.depths)}
            arrays["pools"] = np.array(self.watched.pools)
            for name in IN_LAYERS:
                arrays[name] = np.array([found[f"{name}/{layer}"][:3] for layer in self.watched.names])
            arrays["tolerance"] = np.array(float(self.settings.tolerance))
        return scalars, arrays
