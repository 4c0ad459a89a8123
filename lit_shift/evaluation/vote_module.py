"""Lightning test of the gain and cost of a vote over shifted copies of an image (Azulay & Weiss, section 5)."""

import time
from statistics import median

import numpy as np
import torch
from pytorch_lightning import LightningModule

from lit_shift.answers import answered, check_any
from lit_shift.classifiers.classifier import full_precision
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.data.loader import Batch
from lit_shift.data.view import whole
from lit_shift.metrics import ElectedAccuracy, ElectedConsistency, Interval

COPIES = 2  # per image, randomly shifted before the vote; consistency compares two


class Voting(LightningModule):
    """Accuracy and consistency of a voting classifier under random shifts, by the number of passes.

    Logs, for 1, 2, 4 ... and all passes, ``tta/accuracy_<passes>`` (if labels are not the correct class,
    ``tta/agreement_<passes>`` with the answer on the whole image) and ``tta/consistency_<passes>``, each with the ends
    ``_ci95_low`` and ``_ci95_high`` of its 95% interval over images, and ``tta/milliseconds_<passes>`` per image. Also
    ``tta/n`` images, ``tta/skipped``, those that cannot be read or whose outputs are not finite, and ``tta/complete``,
    1 if all others have been measured. Leaves in ``arrays``: ``tta/passes`` (P,), ``tta/accuracy`` or
    ``tta/agreement`` (P, 3), and ``tta/consistency`` (P, 3).

    Args:
        voters: the classifier.
        by_label: as for :class:`lit_shift.evaluation.path_measures.Settings`.
        skip_bad: likewise.
    """

    def __init__(self, voters: TestTimeAugmentation, by_label: bool, skip_bad: bool = False) -> None:
        super().__init__()
        self.classifier = voters
        self.by_label = by_label
        self.skip_bad = skip_bad
        k = voters.k
        self.passes = sorted({2**i for i in range(k.bit_length())} | {k})
        self.accuracy, self.consistency = ElectedAccuracy(self.passes), ElectedConsistency(self.passes)
        self.milliseconds: list[float] = []  # per image and pass, by batch
        self.arrays: dict[str, np.ndarray] = {}

    def test_step(self, batches: list[Batch], batch_idx: int) -> None:
        (loader,) = self.trainer.test_dataloaders  # type: ignore[misc]
        for batch in batches:
            images = whole(batch.pixels.to(self.classifier.mean) / 255, self.classifier.view)
            places = batch.places.tolist()
            with full_precision(images.device):
                x = self.classifier.normalised(images)
                answers = [] if self.by_label else [self.classifier.net(x)]
                labels = batch.labels if self.by_label else answers[0].argmax(1)
                began = self._now()
                copies = self.classifier.copies(x, [(place, 0) for place in places], COPIES)
                ballots = [
                    self.classifier.ballots(copy, [(place, number) for place in places])
                    for number, copy in enumerate(copies, start=1)
                ]
                self.milliseconds.append(1000 * (self._now() - began) / (COPIES * self.classifier.k * len(x)))
            good = answered(self.skip_bad, *ballots, *answers)
            loader.skipped += batch.places[~good].tolist()
            for metric in (self.accuracy, self.consistency):
                metric.update(torch.stack(ballots, dim=1)[good], labels[good])

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def on_test_epoch_end(self) -> None:
        if not self.milliseconds:  # the test was interrupted before
            return
        rate = "accuracy" if self.by_label else "agreement"
        found = {rate: self.accuracy.compute(), "consistency": self.consistency.compute()}
        n = found[rate].images
        check_any(n)
        for i, passes in enumerate(self.passes):
            for name, interval in found.items():
                mean, low, high = (values[i] for values in interval[:3])
                self.log_dict(Interval(mean, low, high, n).logged(f"tta/{name}_{passes}"))
            self.log(f"tta/milliseconds_{passes}", passes * median(self.milliseconds))
        (loader,) = self.trainer.test_dataloaders  # type: ignore[misc]
        completeness = {"n": float(n)} | loader.completeness(n, self.trainer.strategy)
        self.log_dict({f"tta/{key}": value for key, value in completeness.items()})
        self.arrays = {"tta/passes": np.array(self.passes)}
        self.arrays |= {f"tta/{name}": np.stack(interval[:3], axis=1) for name, interval in found.items()}
