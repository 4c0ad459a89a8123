"""Measurement of several remedies along the same frames."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from lit_shift.answers import answered
from lit_shift.classifiers.classifier import full_precision
from lit_shift.data.loader import Batch
from lit_shift.functional import mad
from lit_shift.intervals import of_mean
from lit_shift.protocols.base import Protocol
from lit_shift.remedies.candidates import Remedy

MEASURES = ("jaggedness", "mad", "agreement", "accuracy")


class Measured:
    """Measures of remedies for each image along a protocol's path of one-pixel steps.

    - ``jaggedness``: the fraction of steps at which the top-1 class changes.
    - ``mad``: the mean absolute change of a class's probability per step, of the label, else of the class that the
      network as it is gives the whole image.
    - ``agreement``: the fraction of frames that get the class that the network as it is gives them.
    - ``accuracy``: the fraction of frames that get the label, of images with a label.

    Args:
        remedies: the first one is the network as it is.
        protocol: makes the frames.
        batch: number of frames per forward pass.
        skip_bad: leave out images for which an output is not finite.
    """

    def __init__(self, remedies: Sequence[Remedy], protocol: Protocol, batch: int, skip_bad: bool) -> None:
        self.remedies, self.protocol, self.batch, self.skip_bad = remedies, protocol, batch, skip_bad
        self.values: dict[tuple[str, str], list[Tensor]] = {
            (remedy.name, measure): [] for remedy in remedies for measure in MEASURES
        }

    def update(self, batch: Batch) -> None:
        """Measure images of one size, with labels in the classifier's classes, or -1."""
        first = self.remedies[0].classifier
        images, places = batch.pixels.to(first.mean) / 255, batch.places.tolist()
        with full_precision(images.device):
            whole = first(self.protocol.seen(images, first.view))
            logits = self._along(images, places)
        good = answered(self.skip_bad, whole, *logits)
        known = batch.labels[good] >= 0
        labels = torch.where(known, batch.labels[good], whole[good].argmax(1))
        usual = logits[0][good].argmax(2)
        for remedy, found in zip(self.remedies, logits, strict=True):
            found = found[good]
            answers = found.argmax(2)
            changes = (answers[:, 1:] != answers[:, :-1]).double().mean(1)
            of_each = {
                "jaggedness": changes,
                "mad": mad(found, labels, reduction="none").double(),
                "agreement": (answers == usual).double().mean(1),
                "accuracy": (answers == labels[:, None]).double().mean(1)[known],
            }
            for measure, values in of_each.items():
                self.values[remedy.name, measure].append(values)

    def _along(self, images: Tensor, places: Sequence[int]) -> list[Tensor]:
        """Compute each remedy's logits (N, S, K) of the frames, which are made once."""
        frames = self.protocol.frames(images, places, self.remedies[0].classifier.view)
        at_once = max(1, self.batch // len(images))
        found: list[list[Tensor]] = [[] for _ in self.remedies]
        while some := list(islice(frames, at_once)):
            # A vote in use has one set of shifts. Anew for each frame, they would change answers by themselves.
            keys = [(0, 0)] * (len(some) * len(images))
            for remedy, logits in zip(self.remedies, found, strict=True):
                answers = remedy.classifier.answer(torch.cat(some), keys)
                logits.append(answers.unflatten(0, (len(some), len(images))))
        return [torch.cat(logits).transpose(0, 1) for logits in found]

    def of(self, remedy: Remedy, measure: str) -> np.ndarray:
        """Values of the images, (N,); none for a rate whose correct class is not known."""
        found = self.values[remedy.name, measure]
        return torch.cat(found).cpu().numpy() if found else np.empty(0)

    @property
    def rate(self) -> str:
        """Measure that tells whether answers are kept: accuracy, if at least half of the images have labels."""
        as_it_is = self.remedies[0]
        labelled, images = len(self.of(as_it_is, "accuracy")), len(self.of(as_it_is, "agreement"))
        return "accuracy" if 2 * labelled >= images else "agreement"

    def interval(self, remedy: Remedy, measure: str) -> tuple[float, float, float] | None:
        """Mean over images and the ends of its 95% interval, or None if there is no value."""
        values = self.of(remedy, measure)
        if not len(values):
            return None
        low, high = of_mean(values.mean(), values.var(), len(values))
        return float(values.mean()), float(low), float(high)
