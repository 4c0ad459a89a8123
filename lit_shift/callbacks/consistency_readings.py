"""Other papers' readings of consistency, measured on the same model."""

import numpy as np
import torch
from pytorch_lightning import Trainer

from lit_shift.answers import answered
from lit_shift.callbacks.probe import OnSubset
from lit_shift.consistency_variants import READINGS, Predictions, crop_offsets, once_per_batch
from lit_shift.metrics import Interval, PerImage, over_images
from lit_shift.orbit import orbit_logits
from lit_shift.shifts import fourier_shift, shift
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import tracked
from lit_shift.training.signals import interrupted
from lit_shift.utils.console import say


class ConsistencyReadings(OnSubset):
    """Callback that logs ``consistency/<reading>`` for each of :mod:`lit_shift.consistency_variants`, at the end.

    Each is logged with its interval. Networks that do not commute with circular shifts are not measured.

    Args:
        images: size of the seeded subset of test images, or ``all``.
        seed: of the subset.
    """

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if interrupted(trainer):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        loader, probe = self.subset(trainer, pl_module, data.test)
        if not probe.exact:
            say(f"Other readings of consistency are not measured. {probe.obstacle}")
            return
        gathered = {name: PerImage().to(pl_module.device) for name in ("labels", "circular", "half", "crops")}
        for batch in tracked(trainer, loader, "measuring other readings of consistency"):
            with probe.full_precision():
                x = probe.input(batch.pixels)
                crops = [shift(x, offset.expand(len(x), 2), "zeros") for offset in crop_offsets()]
                answers = {
                    "circular": orbit_logits(probe.net, x),
                    "half": orbit_logits(probe.net, fourier_shift(x, 0.5, 0.5)),
                    "crops": torch.stack([probe.net(crop) for crop in crops], dim=1),
                }
            good = answered(pl_module.skip_bad, *answers.values())
            classes = {"labels": batch.labels} | {name: logits.argmax(-1) for name, logits in answers.items()}
            for name, values in classes.items():
                gathered[name].update(batch.places[good], values[good])
        if interrupted(trainer):
            return
        every = {name: torch.from_numpy(metric.compute()) for name, metric in gathered.items()}
        predictions = Predictions(len(data.classes), **every)
        for name, reading in READINGS.items():
            pl_module.log_dict(over_images(reading.measure(predictions).numpy()).logged(f"consistency/{name}"))
        passes = once_per_batch(predictions.circular).numpy()
        low, high = np.quantile(passes, [0.025, 0.975])  # 95 of 100 passes lie in between
        pl_module.log_dict(Interval(passes.mean(), low, high, len(passes)).logged("consistency/once_per_batch"))
