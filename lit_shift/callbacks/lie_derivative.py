"""Rates at which answers and layers change as images begin to shift (Gruver et al. 2023)."""

from math import inf, sqrt

from pytorch_lightning import Trainer

from lit_shift.answers import answered
from lit_shift.callbacks.probe import OnSubset
from lit_shift.metrics import MeanOf
from lit_shift.models.layers import Layers
from lit_shift.models.lie import bandwidth, lie_derivatives
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import tracked
from lit_shift.training.signals import interrupted
from lit_shift.utils.console import say

OUTPUT, BANDWIDTH = "test/lie_derivative", "test/bandwidth"


class LieDerivative(OnSubset):
    """Callback that logs how fast a network's answers and layers change as images begin to shift, at the end.

    Logs ``test/lie_derivative``, of the class probabilities; ``lie_derivative/<layer>``, the departure of every
    convolution and pool from equivariance; and ``test/bandwidth`` of the images, beside which rates are to be read.
    Each has its interval. Any network is measured, whatever its boundaries, unless one of its operations cannot be
    differentiated in forward mode.

    Args:
        images: size of the seeded subset of test images, or ``all``.
        seed: of the subset.
    """

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if interrupted(trainer):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        loader, probe = self.subset(trainer, pl_module, data.test)
        with probe.full_precision():
            layers = Layers(probe.net, probe.input(loader.images.pixels[:1]))
        metrics = {OUTPUT: MeanOf(inf), BANDWIDTH: MeanOf(sqrt(2))}
        metrics |= {f"lie_derivative/{name}": MeanOf(inf) for name in layers.names}
        metrics = {key: metric.to(pl_module.device) for key, metric in metrics.items()}
        for batch in tracked(trainer, loader, "measuring rates of change"):
            with probe.full_precision():
                x = probe.input(batch.pixels)
                try:
                    found = lie_derivatives(layers, x)
                except NotImplementedError as error:
                    reason = str(error).partition("\n")[0]
                    say(f"Lie derivatives are not measured: the network has no forward derivative ({reason}).")
                    return
            good = answered(pl_module.skip_bad, found.logits)
            values = {OUTPUT: found.output, BANDWIDTH: bandwidth(x)}
            values |= {f"lie_derivative/{name}": rates for name, rates in found.layers.items()}
            for key, value in values.items():
                metrics[key].update(value[good])
        if interrupted(trainer):
            return
        for key, metric in metrics.items():
            pl_module.log_dict(metric.compute().logged(key))
