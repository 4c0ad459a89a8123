"""Content around an image that does not cover its canvas, before normalisation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_shift.shifts import seeded
from lit_shift.utils.errors import at_least, one_of

FILLS = ("black", "mean", "noise", "inpaint")
LEAST = 1 / 512  # half the weight of a single known corner of the 5x5 neighbours; some devices give no exact zeros


class Fill:
    """Fill of a canvas around a smaller image.

    Args:
        fill: ``black``; ``mean``, the image's mean colour; ``noise``, independent and uniform; or ``inpaint``,
            see :func:`inpaint`.
        seed: of the noise, which is the same for an image at every size.

    Raises:
        InputError: unknown fill.
    """

    STREAM = 1  # random numbers independent of those of random positions

    def __init__(self, fill: str, seed: int) -> None:
        self.fill = one_of(FILLS, "fill", fill)
        self.seed = at_least(0, "seed", seed)

    def around(self, images: Tensor, height: int, width: int, corners: Tensor, places: Sequence[int]) -> Tensor:
        """Place images (N, 3, h, w) at upper left ``corners`` (N, 2) of filled canvases (N, 3, height, width)."""
        n, c, h, w = images.shape
        if self.fill == "noise":
            drawn = [torch.rand(c, height, width, generator=seeded(self.seed, self.STREAM, place)) for place in places]
            canvas = torch.stack(drawn).to(images)
        elif self.fill == "mean":
            canvas = images.mean((2, 3), keepdim=True).repeat(1, 1, height, width)
        else:
            canvas = images.new_zeros(n, c, height, width)
        known = torch.zeros(n, 1, height, width, dtype=torch.bool, device=images.device)
        for number, (row, col) in enumerate(corners.tolist()):
            canvas[number, :, row : row + h, col : col + w] = images[number]
            known[number, :, row : row + h, col : col + w] = True
        return inpaint(canvas, known) if self.fill == "inpaint" else canvas


def inpaint(images: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels from known ones, ring by ring.

    In each round, every unknown pixel with known ones among its 5x5 neighbours becomes their mean, with binomial
    weights, and then counts as known.

    Args:
        images: (N, C, H, W)
        known: (N, 1, H, W) bool, with at least one known pixel per image.

    Returns:
        (N, C, H, W) with known pixels unchanged.

    Source: Azulay & Weiss, the simple inpainting of section 2.
    """
    if not known.flatten(1).any(1).all():
        raise ValueError("There is no known pixel to inpaint from.")
    taps = torch.tensor([1.0, 4, 6, 4, 1]).to(images) / 16
    kernel = taps[:, None] * taps
    while not known.all():
        weights = known.to(images.dtype)
        seen = torch.cat([images.where(known, 0), weights], dim=1)
        blurred = F.conv2d(seen.flatten(0, 1)[:, None], kernel[None, None], padding=2).view_as(seen)
        reached = ~known & (blurred[:, -1:] > LEAST)
        images = torch.where(reached, blurred[:, :-1] / blurred[:, -1:], images)
        known = known | reached
    return images
