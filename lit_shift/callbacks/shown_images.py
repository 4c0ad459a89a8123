"""A few test images at every shift, for figures (Zhang, Fig. 2)."""

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from lit_shift.answers import answered
from lit_shift.callbacks.probe import Probe
from lit_shift.shifts import seeded
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import tracked
from lit_shift.training.signals import interrupted
from lit_shift.utils.errors import at_least, check_places, places

# Limits that reduce the sample for many classes or large images: 128 MB, and by brute force 64 images of 32x32.
MOST_PROBABILITIES = 2**25
MOST_PASSES = 2**16


class ShownImages(Callback):
    """Class probabilities at every shift of a few test images.

    These are the chosen images or, if none is chosen, those whose correct class varies most over the shifts, and a
    seeded sample that is the same for every model. How much an image varies is known from ShiftMeasures, which must
    come before this.

    Leaves in the module's ``arrays``: ``chosen`` (P,) and ``shown`` (M,), indices into the test set; and for the shown
    images ``shown_labels`` (M,), ``pixels`` (M, 3, H, W) uint8, ``probabilities`` (M, H, W, K) float32 and, if they
    come from files, ``shown_names`` (M,).

    Args:
        images: the chosen indices.
        least_stable: number of images to choose if none is given.
        sample: size of the seeded sample.
        seed: of the sample.
    """

    def __init__(self, images: Sequence[int] | None, least_stable: int, sample: int, seed: int) -> None:
        self.images = places(images)
        self.least_stable = at_least(0, "least_stable", least_stable)
        self.sample = at_least(0, "sample", sample)
        self.seed = at_least(0, "seed", seed)

    def on_test_start(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        check_places(self.images, len(trainer.datamodule.test.labels))  # type: ignore[attr-defined]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if interrupted(trainer):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        test, probe = data.test, Probe(pl_module, data.test.pixels)
        variation = pl_module.arrays.get("variation")
        measured = len(test.labels) if variation is None else len(variation)  # fewer if the test was interrupted
        chosen = [place for place in self.images if place < measured]
        if not self.images and variation is not None:
            chosen = np.argsort(-variation, kind="stable")[: self.least_stable].tolist()
        chosen = [place for place in chosen if place not in pl_module.bad]
        height, width = test.pixels.shape[2:]
        room = MOST_PROBABILITIES // (height * width * len(data.classes))
        if not probe.exact:
            room = min(room, MOST_PASSES // (height * width))
        sample = torch.randperm(len(test.labels), generator=seeded(self.seed))[: self.sample].tolist()
        others = [place for place in sample if place < measured and place not in pl_module.bad and place not in chosen]
        shown = [*chosen, *others[: max(0, room - len(chosen))]]
        probabilities: dict[int, Tensor] = {}
        for place in tracked(trainer, shown, "measuring single images"):
            logits = probe.orbit(test.pixels[place, None].to(pl_module.device))
            if answered(pl_module.skip_bad, logits).all():
                probabilities[place] = logits.double().softmax(3).float().cpu()
        if interrupted(trainer) or not probabilities:
            return
        shown = list(probabilities)
        pl_module.arrays |= {
            "chosen": np.array([place for place in chosen if place in probabilities], dtype=np.int64),
            "shown": np.array(shown),
            "shown_labels": test.labels[shown].numpy(),
            "pixels": test.pixels[shown].numpy(),
            "probabilities": torch.cat(list(probabilities.values())).numpy(),
        }
        if data.names:
            pl_module.arrays["shown_names"] = np.array([data.names[place] for place in shown])
