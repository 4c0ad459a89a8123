"""Access to a network for shift measures, on a subset of the images."""

from contextlib import AbstractContextManager
from functools import cached_property
from itertools import product

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from lit_shift.classifiers.classifier import full_precision, in_full_precision
from lit_shift.data.loader import BatchLoader, Images
from lit_shift.orbit import obstacle, orbit_logits, sampled_logits
from lit_shift.shifts import seeded
from lit_shift.training.module import LitClassifier
from lit_shift.utils.errors import at_least, at_least_or_all

SAMPLE, TRIED = 64, 3


class Probe:
    """A classifier's network in float32 or better, whatever the precision of training.

    bf16 moves logits more than shifts of an anti-aliased network do. Whether all shifts can be computed at once is
    tested on noise and on a few images, those with the most variance of a random sample.

    Args:
        module: in eval mode.
        pixels: uint8 images (N, 3, H, W) like those to be measured.
    """

    def __init__(self, module: LitClassifier, pixels: Tensor) -> None:
        self.module = module
        self.net = in_full_precision(module.net)
        self.pixels = pixels

    @cached_property
    def obstacle(self) -> str:
        """Reason why all shifts cannot be computed at once; empty if they can."""
        with self.full_precision():
            return obstacle(self.net, self.input(_varied(self.pixels).to(self.module.device)))

    @property
    def exact(self) -> bool:
        """True if all shifts can be computed at once."""
        return not self.obstacle

    def input(self, pixels: Tensor) -> Tensor:
        """Normalise uint8 images for the network."""
        return self.module.normalize(pixels, next(self.net.parameters()).dtype)

    def sampled(self, pixels: Tensor, offsets: Tensor) -> Tensor:
        """Logits (N, S, K) at the circular shifts ``offsets`` (N, S, 2) of uint8 images."""
        with self.full_precision():
            return sampled_logits(self.net, self.input(pixels), offsets)

    def orbit(self, pixels: Tensor) -> Tensor:
        """Logits (N, H, W, K) at every circular shift of uint8 images, by brute force unless ``exact``."""
        n, _, height, width = pixels.shape
        if self.exact:
            with self.full_precision():
                return orbit_logits(self.net, self.input(pixels))
        every = torch.tensor(list(product(range(height), range(width))))
        return self.sampled(pixels, every.expand(n, -1, -1)).unflatten(1, (height, width))

    def full_precision(self) -> AbstractContextManager[None]:
        """See :func:`lit_shift.classifiers.classifier.full_precision`."""
        return full_precision(self.module.device)


class OnSubset(Callback):
    """Callback that measures on a seeded subset of the images.

    Args:
        images: size of the subset, or ``all``.
        seed: of the subset.
    """

    def __init__(self, images: int | str, seed: int) -> None:
        self.images = at_least_or_all(2, "images", images)
        self.seed = at_least(0, "seed", seed)

    def subset(self, trainer: Trainer, module: LitClassifier, images: Images) -> tuple[BatchLoader, Probe]:
        """Return a loader of the subset, without images that are known to be bad, and access to the network."""
        loader = trainer.datamodule.subset_dataloader(images, self.images, self.seed, module.bad)  # type: ignore[attr-defined]
        return loader, Probe(module, loader.images.pixels)


def _varied(pixels: Tensor) -> Tensor:
    """Return the images with the most pixel variance, out of a seeded sample."""
    sample = pixels[torch.randperm(len(pixels), generator=seeded(0))[:SAMPLE].to(pixels.device)]
    variances = sample.float().flatten(1).var(1)
    return sample[variances.argsort(descending=True, stable=True)[:TRIED]]
