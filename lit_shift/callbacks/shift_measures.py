"""Measures over shifts (Zhang, section 4.2), flip rates, and jaggedness and MAD (Azulay & Weiss, section 2)."""

from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from lit_shift import functional
from lit_shift.answers import answered, check_any
from lit_shift.callbacks.probe import Probe
from lit_shift.data.loader import Batch, Images
from lit_shift.figures.zhang import VARIATION_EDGES, variation_counts
from lit_shift.metrics import MAD, OVER_SHIFTS, OVER_STEPS, Jaggedness, MeanOverImages, PerImage
from lit_shift.protocols.trajectory import Track
from lit_shift.shifts import draw_offsets, seeded
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import tracked
from lit_shift.training.wandb_logging import log_histogram
from lit_shift.utils.errors import at_least


class ShiftMeasures(Callback):
    """Callback that measures a classifier under circular shifts.

    During training, every ``every_n_epochs``, on a fixed seeded subset of the evaluation images, as ``subset/...``;
    at the end on the whole test set, as ``test/...``. All shifts of each image are measured, exactly, if the network
    allows it (circular boundaries everywhere), else a seeded sample by brute force. Everything is computed in float32
    or better, whatever the precision of training.

    Logs the measures of :data:`lit_shift.metrics.OVER_SHIFTS` and, if all shifts are measured, those of
    :data:`lit_shift.metrics.OVER_STEPS`, each with the ends ``_ci95_low`` and ``_ci95_high`` of its 95% interval over
    images; ``images``, and ``complete``, 1 if these are all; ``shifts``, the number of shifts per image, and ``exact``,
    1 if these are all.

    At the end it also logs those along the vertical circular path, ``test/jaggedness`` (of the top 1) and
    ``test/mad``, with their intervals, and leaves in the module's ``arrays``, by test image: ``labels``; ``accuracy``,
    1 if the unshifted image is classified correctly, else 0; each of the measures over shifts and steps; and
    ``diagonal``, the probability of the correct class at shifts (d, d).

    Images whose outputs are not finite raise an error. If the module has ``skip_bad``, they are left out and counted as
    ``test/bad``, and are NaN in the arrays.

    Args:
        every_n_epochs: how often during training.
        images: size of the subset.
        shifts: sample size per image if the exact measure does not apply, at least 2.
        seed: of the subset and of the sampled shifts. It is not the training's, so that every model sees the same.
    """

    def __init__(self, every_n_epochs: int, images: int, shifts: int, seed: int) -> None:
        self.every_n_epochs = at_least(1, "every_n_epochs", every_n_epochs)
        self.images = at_least(2, "images", images)
        self.shifts = at_least(2, "shifts", shifts)
        self.seed = at_least(0, "seed", seed)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader = data.subset_dataloader(data.held_out, self.images, self.seed)
        pl_module.eval()
        self._start(pl_module, loader.images)
        for batch in tracked(trainer, loader, "measuring a subset"):
            self._measure(batch, self._logits(batch))
        self._log("subset")
        pl_module.train()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        self._start(pl_module, trainer.datamodule.test)  # type: ignore[attr-defined]
        self.along_path = {"jaggedness": Jaggedness().to(pl_module.device), "mad": MAD().to(pl_module.device)}
        names = "labels", "accuracy", *self.metrics, "diagonal"
        self.per_image = {name: PerImage().to(pl_module.device) for name in names}

    # Before the test's own step, which must leave out the same images.
    def on_test_batch_start(self, trainer: Trainer, pl_module: Any, batch: Batch, *_: int) -> None:
        n, (height, width) = len(batch.pixels), batch.pixels.shape[2:]
        diagonal = torch.arange(max(height, width))[:, None].expand(-1, 2)
        paths = [diagonal, Track("vertical", draws=1, seed=0).offsets(height, width, [0])[:, 0]]
        logits = self._logits(batch)
        if self.probe.exact:
            along, down = (logits[:, path[:, 0] % height, path[:, 1] % width] for path in paths)
        else:
            along, down = (self.probe.sampled(batch.pixels, path.expand(n, -1, -1)) for path in paths)
        good = self._measure(batch, logits, along, down)
        pl_module.bad |= set(batch.places[~good].tolist())
        for metric in self.along_path.values():
            metric.update(down[good], batch.labels[good])
        values = {name: metric.measure(logits, batch.labels) for name, metric in self.metrics.items()}
        values["accuracy"] = functional.accuracy(along[:, :1], batch.labels, reduction="none")  # at shift (0, 0)
        values["diagonal"] = functional.correct_probability(along, batch.labels)
        self.per_image["labels"].update(batch.places, batch.labels)
        for name, value in values.items():
            value[~good] = torch.nan
            self.per_image[name].update(batch.places, value.float())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        bad = torch.zeros(self.wanted, device=pl_module.device)
        bad[list(pl_module.bad)] = 1
        pl_module.bad = set(trainer.strategy.reduce(bad, reduce_op="sum").nonzero().flatten().tolist())
        self._log("test", len(pl_module.bad))
        if pl_module.skip_bad:
            pl_module.log("test/bad", float(len(pl_module.bad)))
        for name, metric in self.along_path.items():
            pl_module.log_dict(metric.compute().logged(f"test/{name}"))
        pl_module.arrays |= {name: metric.compute() for name, metric in self.per_image.items()}
        counts = variation_counts(pl_module.arrays["variation"])
        log_histogram(trainer, "test/variation_log10", counts, np.log10(VARIATION_EDGES))  # W&B's axes are linear

    def _start(self, module: LitClassifier, images: Images) -> None:
        n, _, height, width = images.pixels.shape
        self.probe, self.wanted = Probe(module, images.pixels), n
        self.shifts_measured = height * width if self.probe.exact else self.shifts
        if not self.probe.exact:
            self.offsets = draw_offsets((n, self.shifts), height, width, seeded(self.seed))
        metrics: dict[str, MeanOverImages] = {
            name: metric(not self.probe.exact) for name, metric in OVER_SHIFTS.items()
        }
        if self.probe.exact:
            metrics |= {name: metric() for name, metric in OVER_STEPS.items()}
        self.metrics = {name: metric.to(module.device) for name, metric in metrics.items()}

    def _logits(self, batch: Batch) -> Tensor:
        """Compute the logits of a batch at the measured shifts."""
        if self.probe.exact:
            return self.probe.orbit(batch.pixels)
        return self.probe.sampled(batch.pixels, self.offsets[batch.places.cpu()])

    def _measure(self, batch: Batch, logits: Tensor, *more: Tensor) -> Tensor:
        """Update the metrics with the images whose logits, including ``more``, are finite. Return their mask (N,)."""
        good = answered(self.probe.module.skip_bad, logits, *more)
        for metric in self.metrics.values():
            metric.update(logits[good], batch.labels[good])
        return good

    def _log(self, stage: str, bad: int = 0) -> None:
        log = self.probe.module.log_dict
        estimates = {name: metric.compute() for name, metric in self.metrics.items()}
        images = estimates["consistency"].images
        check_any(images)
        for name, estimate in estimates.items():
            log(estimate.logged(f"{stage}/{name}"))
        log({f"{stage}/images": float(images), f"{stage}/complete": float(images + bad == self.wanted)})
        log({f"{stage}/shifts": float(self.shifts_measured), f"{stage}/exact": float(self.probe.exact)})
