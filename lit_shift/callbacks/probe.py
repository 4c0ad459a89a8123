"""The network as the shift measures see it."""

from contextlib import AbstractContextManager
from itertools import product

import torch
from torch import Tensor

from lit_shift.classifiers.subject import full_precision, in_full_precision
from lit_shift.orbit import has_exact_orbit, orbit_logits, sampled_logits
from lit_shift.shifts import seeded
from lit_shift.training.classifier import Classifier

SAMPLE, TRIED = 64, 3


class Probe:
    """A classifier's network in float32 or better, whatever the training's precision.

    bf16 moves logits by more than the shifts of an anti-aliased network do. ``exact`` says whether all shifts can be
    had at once; it is tried on a few images, those that vary most of a random sample, and on noise.

    Args:
        module: in eval mode.
        pixels: uint8 images (N, 3, H, W) like those that are to be measured.
    """

    def __init__(self, module: Classifier, pixels: Tensor) -> None:
        self.module = module
        self.net = in_full_precision(module.net)
        with self.full_precision():
            self.exact = has_exact_orbit(self.net, self.input(_varied(pixels).to(module.device)))

    def input(self, pixels: Tensor) -> Tensor:
        """uint8 images as the network takes them."""
        return self.module.normalize(pixels, next(self.net.parameters()).dtype)

    def sampled(self, pixels: Tensor, offsets: Tensor) -> Tensor:
        """Logits (N, S, K) at the circular shifts ``offsets`` (N, S, 2) of uint8 images."""
        with self.full_precision():
            return sampled_logits(self.net, self.input(pixels), offsets)

    def orbit(self, pixels: Tensor) -> Tensor:
        """Logits (N, H, W, K) at every circular shift of uint8 images, by brute force where there is no other way."""
        n, _, height, width = pixels.shape
        if self.exact:
            with self.full_precision():
                return orbit_logits(self.net, self.input(pixels))
        every = torch.tensor(list(product(range(height), range(width))))
        return self.sampled(pixels, every.expand(n, -1, -1)).unflatten(1, (height, width))

    def full_precision(self) -> AbstractContextManager[None]:
        """See :func:`lit_shift.classifiers.subject.full_precision`."""
        return full_precision(self.module.device)


def _varied(pixels: Tensor) -> Tensor:
    """Of a seeded sample of images, those whose pixels vary most."""
    sample = pixels[torch.randperm(len(pixels), generator=seeded(0))[:SAMPLE].to(pixels.device)]
    variances = sample.float().flatten(1).var(1)
    return sample[variances.argsort(descending=True, stable=True)[:TRIED]]
