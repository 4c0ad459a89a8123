"""Random accuracy, consistency and variation (Zhang, section 4.2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor
from torchmetrics import CatMetric

from lit_shift import functional
from lit_shift.callbacks.progress import Progress
from lit_shift.classifier import Classifier
from lit_shift.data.loader import Batch, Images
from lit_shift.errors import at_least
from lit_shift.metrics import Consistency, MeanOverImages, RandomAccuracy, Variation
from lit_shift.orbit import has_exact_orbit, orbit_logits, sampled_logits
from lit_shift.shifts import draw_offsets, seeded
from lit_shift.tracking import log_histogram

MEASURES: dict[str, type[MeanOverImages]] = {
    "accuracy_random": RandomAccuracy,
    "consistency": Consistency,
    "variation": Variation,
}


class ShiftMeasures(Callback):
    """Measures a classifier under circular shifts.

    During training, every ``every_n_epochs``, on a fixed seeded subset of the evaluation images, as ``subset/...``;
    at the end on the whole test set, as ``test/...``. All shifts of each image, exactly, where that is what the network
    answers (circular boundaries everywhere); a seeded sample of them by brute force elsewhere. In float32 or better,
    whatever the training's precision: bf16 moves logits by more than the shifts of an anti-aliased network do.

    Logs the measures of :data:`MEASURES`, each with the half-width ``_ci95`` of its 95%
    interval, and ``shifts``, the number of shifts of each image.

    Args:
        every_n_epochs: how often during training.
        images: size of the subset.
        shifts: sample size per image where the exact measure does not apply, at least 2.
        seed: of the subset and of the sampled shifts, not the training's: every model sees the same.
    """

    def __init__(self, every_n_epochs: int, images: int, shifts: int, seed: int) -> None:
        self.every_n_epochs = at_least(1, "every_n_epochs", every_n_epochs)
        self.images = at_least(2, "images", images)
        self.shifts = at_least(2, "shifts", shifts)
        self.seed = seed

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        loader = trainer.datamodule.subset_dataloader(self.images, self.seed)  # type: ignore[attr-defined]
        pl_module.eval()
        self._start(pl_module, loader.images)
        bar = trainer.progress_bar_callback
        for batch in bar.track(loader, "measuring a subset") if isinstance(bar, Progress) else loader:
            self._update(batch)
        self._log("subset")
        pl_module.train()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        self._start(pl_module, trainer.datamodule.test)  # type: ignore[attr-defined]

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Batch, *_: int) -> None:
        self._update(batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._log("test")
        log_histogram(trainer, "test/variation_std", self.std.compute())

    def _start(self, module: Classifier, images: Images) -> None:
        self.module = module
        self.net = module.net
        if next(self.net.parameters()).dtype in (torch.float16, torch.bfloat16):
            self.net = deepcopy(self.net).float()
        n, _, height, width = images.pixels.shape
        with full_precision(module.device):
            self.sampled = not has_exact_orbit(self.net, self._input(images.pixels[:1].to(module.device)))
        self.shifts_measured = height * width
        if self.sampled:
            self.shifts_measured = self.shifts
            self.offsets = draw_offsets((n, self.shifts), height, width, seeded(self.seed))
        self.metrics = {name: metric(self.sampled).to(module.device) for name, metric in MEASURES.items()}
        self.std = CatMetric().to(module.device)

    def _input(self, pixels: Tensor) -> Tensor:
        return self.module.normalize(pixels, next(self.net.parameters()).dtype)

    def _update(self, batch: Batch) -> None:
        with full_precision(self.module.device):
            x = self._input(batch.pixels)
            if self.sampled:
                logits = sampled_logits(self.net, x, self.offsets[batch.places.cpu()])
            else:
                logits = orbit_logits(self.net, x)
        for metric in self.metrics.values():
            metric.update(logits, batch.labels)
        self.std.update(functional.variation(logits, batch.labels, self.sampled, reduction="none").sqrt())

    def _log(self, stage: str) -> None:
        estimates = {name: metric.compute() for name, metric in self.metrics.items()}
        for name, estimate in estimates.items():
            self.module.log_dict({f"{stage}/{name}": estimate.mean, f"{stage}/{name}_ci95": estimate.ci95})
        images = estimates["consistency"].images
        self.module.log_dict({f"{stage}/images": images, f"{stage}/shifts": float(self.shifts_measured)})


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Neither autocast nor TensorFloat32."""
    with (
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(
            enabled=True,
            benchmark=torch.backends.cudnn.benchmark,
            deterministic=torch.backends.cudnn.deterministic,
            allow_tf32=False,
        ),
    ):
        yield
