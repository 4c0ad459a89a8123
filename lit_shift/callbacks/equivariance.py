"""Equivariance and invariance of each layer to shifts (Zhang, section 4.2.1 and Fig. 4)."""

import numpy as np
from pytorch_lightning import Trainer
from torch import Tensor

from lit_shift.answers import answered
from lit_shift.callbacks.probe import OnSubset
from lit_shift.data.loader import Images
from lit_shift.metrics import FeatureDistance
from lit_shift.orbit import LayersAtAllShifts
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import tracked
from lit_shift.training.signals import interrupted
from lit_shift.upsampling import UPSAMPLINGS, Upsampling
from lit_shift.utils.console import say
from lit_shift.utils.errors import at_least, one_of, true_or_false


class Equivariance(OnSubset):
    """Callback that logs the cosine distance of each layer from equivariance and from invariance to shifts.

    ``equivariance/<layer>`` compares shifted features with the features of the shifted image, ``invariance/<layer>``
    the features of the image with those of the shifted image. Both are means over images and all shifts, taken every
    ``every_n_epochs`` of training and at the end. The end leaves in the module's ``arrays``, for each layer, the means
    at every shift under the same names (H, W), the mean distance between different images as
    ``between_images/<layer>``, and (height, width) of the layer's map as ``resolution/<layer>``. Networks that do not
    commute with shifts (a boundary that is not circular) are not measured.

    Args:
        every_n_epochs: how often during training.
        images: size of the seeded subset of evaluation images (at the end, of test images), or ``all``.
        seed: of the subset.
        every_layer: also measure the layers that Fig. 4 leaves out.
        upsampling: how subsampled maps are brought to the image's resolution for the comparison: one of
            :data:`lit_shift.upsampling.UPSAMPLINGS`.
    """

    def __init__(
        self, every_n_epochs: int, images: int | str, seed: int, every_layer: bool, upsampling: Upsampling = "fourier"
    ) -> None:
        super().__init__(images, seed)
        self.upsampling: Upsampling = one_of(UPSAMPLINGS, "upsampling", upsampling)
        self.every_n_epochs = at_least(1, "every_n_epochs", every_n_epochs)
        self.every_layer = true_or_false("every_layer", every_layer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            pl_module.eval()
            self._measure(trainer, pl_module, trainer.datamodule.held_out)  # type: ignore[attr-defined]
            pl_module.train()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if not interrupted(trainer) and (obstacle := self._measure(trainer, pl_module, trainer.datamodule.test)):  # type: ignore[attr-defined]
            say(f"Per-layer equivariance is not measured. {obstacle}")

    def _measure(self, trainer: Trainer, module: LitClassifier, images: Images) -> str:
        """Log the layers' means and keep their arrays. Return the reason if the network cannot be measured."""
        loader, probe = self.subset(trainer, module, images)
        if not probe.exact:
            return probe.obstacle
        height, width = images.pixels.shape[-2:]
        with probe.full_precision():
            layers = LayersAtAllShifts(probe.net, probe.input(loader.images.pixels[:1]), self.every_layer)
        metrics = {name: FeatureDistance(height, width, self.upsampling).to(module.device) for name in layers.names}
        resolutions = {}

        def see(name: str, phases: Tensor) -> None:
            good = answered(module.skip_bad, phases)
            metrics[name].update(phases if good.all() else phases[good])
            resolutions[name] = phases.shape[-2:]

        for batch in tracked(trainer, loader, "measuring every layer"):
            with probe.full_precision():
                layers.measure(probe.input(batch.pixels), see)
        if interrupted(trainer):
            return ""
        for name in resolutions:
            found = metrics[name].compute()
            for kind in ("equivariance", "invariance"):
                by_shift = getattr(found, kind)
                module.log(f"{kind}/{name}", by_shift.mean())
                module.arrays[f"{kind}/{name}"] = by_shift.cpu().numpy()
            module.arrays[f"between_images/{name}"] = found.between_images.cpu().numpy()
            module.arrays[f"resolution/{name}"] = np.array(resolutions[name])
        return ""
