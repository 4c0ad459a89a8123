"""A few test images at every shift, for the pictures (Zhang, Fig. 2)."""

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer

from lit_shift.callbacks.probe import Probe
from lit_shift.callbacks.progress import tracked
from lit_shift.callbacks.shift_measures import ShiftMeasures
from lit_shift.classifier import Classifier
from lit_shift.errors import InputError, at_least
from lit_shift.shifts import seeded

MOST_PROBABILITIES = 2**25  # 128 MB: many classes or large images leave room for fewer images


class ShownImages(Callback):
    """Class probabilities at every shift of a few test images.

    They are the chosen ones or, where none is chosen, those whose correct class varies most over the shifts; and a
    seeded sample, which is the same for every model. Leaves in ``arrays``: ``chosen`` (P,) and ``shown`` (M,), places
    in the test set, and for the shown ``pixels`` (M, 3, H, W) uint8 and ``probabilities`` (M, H, W, K) float32.

    Args:
        images: the chosen places.
        least_stable: how many to choose where none is.
        sample: size of the seeded sample.
        seed: of the sample.
    """

    def __init__(self, images: Sequence[int] | None, least_stable: int, sample: int, seed: int) -> None:
        if isinstance(images, int | str):
            raise InputError(f"images={images} must be a list of places in the test set: images=[{images}].")
        self.images = [at_least(0, "images", place) for place in images or ()]
        self.least_stable = at_least(0, "least_stable", least_stable)
        self.sample = at_least(0, "sample", sample)
        self.seed = seed
        self.arrays: dict[str, np.ndarray] = {}

    def on_test_start(self, trainer: Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        test = len(trainer.datamodule.test.labels)  # type: ignore[attr-defined]
        if max(self.images, default=0) >= test:
            raise InputError(f"images={self.images}: the {test} test images are numbered from 0 to {test - 1}.")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        test = trainer.datamodule.test  # type: ignore[attr-defined]
        sample = torch.randperm(len(test.labels), generator=seeded(self.seed))[: self.sample].tolist()
        chosen = self.images or self._least_stable(trainer)
        height, width = test.pixels.shape[2:]
        room = MOST_PROBABILITIES // (height * width * len(trainer.datamodule.classes))  # type: ignore[attr-defined]
        shown = list(dict.fromkeys([*chosen, *sample]))[: max(1, room)]
        probe = Probe(pl_module, test.pixels)
        probabilities = []
        for place in tracked(trainer, shown, "measuring single images"):
            logits = probe.orbit(test.pixels[place, None].to(pl_module.device))
            probabilities.append(logits.double().softmax(3).float().cpu())
        measured = shown[: len(probabilities)]
        if measured:
            self.arrays = {
                "chosen": np.array([place for place in chosen if place in measured], dtype=np.int64),
                "shown": np.array(measured),
                "pixels": test.pixels[measured].numpy(),
                "probabilities": torch.cat(probabilities).numpy(),
            }

    def _least_stable(self, trainer: Trainer) -> list[int]:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ShiftMeasures):
                order = np.argsort(-callback.arrays["variation"], kind="stable")
                return order[: self.least_stable].tolist()
        return []
