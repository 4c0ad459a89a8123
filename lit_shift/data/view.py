"""How a network is meant to see a whole image."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from lit_shift.utils.errors import InputError


class View(NamedTuple):
    """How a whole image is brought to a network's input: the shorter side to ``resize`` pixels, then the middle.

    ``height`` and ``width`` of the input; ``resize`` None leaves the scale as it is; ``interpolation`` is ``nearest``,
    ``bilinear`` or ``bicubic``, each with antialiasing where it makes an image smaller.
    """

    height: int
    width: int
    resize: int | None = None
    interpolation: str = "bilinear"


def scaled(images: Tensor, view: View) -> Tensor:
    """Images (N, 3, H, W) with values in [0, 1] at the scale that the view asks for, whole."""
    if view.resize is None:
        return images
    return transforms.resize(images, [view.resize], InterpolationMode(view.interpolation)).clamp(0, 1)


def scaled_size(height: int, width: int, view: View) -> tuple[int, int]:
    """Height and width of what :func:`scaled` makes of an image of this height and width."""
    if view.resize is None:
        return height, width
    short, long = view.resize, int(view.resize * max(height, width) / min(height, width))
    return (short, long) if height <= width else (long, short)


def too_small(height: int, width: int, view: View) -> str | None:
    """Why an image of this height and width cannot be seen whole, and what to do; None where it can be."""
    height, width = scaled_size(height, width, view)
    if height >= view.height and width >= view.width:
        return None
    return (
        f"An image of {height}x{width} pixels is smaller than the network's input of {view.height}x{view.width}: "
        "enlarge it with data.size=N, to a square, or say what a network of yours takes with model.size=N."
    )


def whole(images: Tensor, view: View) -> Tensor:
    """Images as the network is meant to see them: (N, 3, H, W) -> (N, 3, height, width), values in [0, 1].

    Raises:
        InputError: an image smaller than the network's input, and no scale to bring it to.
    """
    if flaw := too_small(images.shape[2], images.shape[3], view):
        raise InputError(flaw)
    return transforms.center_crop(scaled(images, view), [view.height, view.width])


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Images resized to (height, width), smoothly and without aliasing: (N, 3, H, W) -> (N, 3, height, width)."""
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)
