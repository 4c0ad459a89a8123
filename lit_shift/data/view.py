"""Resizing and cropping of an image to a network's input."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from lit_shift.utils.errors import InputError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


class View(NamedTuple):
    """Preprocessing of an image for a network: resize the shorter side to ``resize``, then crop the middle.

    ``height`` and ``width`` are those of the input. ``resize`` None keeps the scale. ``interpolation`` is ``nearest``,
    ``bilinear`` or ``bicubic``, with antialiasing when shrinking.
    """

    height: int
    width: int
    resize: int | None = None
    interpolation: str = "bilinear"


def scaled(images: Tensor, view: View) -> Tensor:
    """Resize images (N, 3, H, W) with values in [0, 1] to the view's scale, without cropping."""
    if view.resize is None:
        return images
    return transforms.resize(images, [view.resize], InterpolationMode(view.interpolation)).clamp(0, 1)


def scaled_size(height: int, width: int, view: View) -> tuple[int, int]:
    """Height and width of the result of :func:`scaled` for an image of this height and width."""
    if view.resize is None:
        return height, width
    short, long = view.resize, int(view.resize * max(height, width) / min(height, width))
    return (short, long) if height <= width else (long, short)


def too_small(height: int, width: int, view: View) -> str | None:
    """Return why an image of this height and width is smaller than the input, and what to do; None if it is not."""
    height, width = scaled_size(height, width, view)
    if height >= view.height and width >= view.width:
        return None
    return (
        f"An image of {height}x{width} pixels is smaller than the network's input of {view.height}x{view.width}: "
        "enlarge the images (size=N of the data makes squares of them), or take a network with a smaller input."
    )


def whole(images: Tensor, view: View) -> Tensor:
    """Bring images to the network's input: (N, 3, H, W) -> (N, 3, height, width), values in [0, 1].

    Raises:
        InputError: the images are smaller than the input after scaling.
    """
    if flaw := too_small(images.shape[2], images.shape[3], view):
        raise InputError(flaw)
    return transforms.center_crop(scaled(images, view), [view.height, view.width])


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Resize images to (height, width) with antialiasing: (N, 3, H, W) -> (N, 3, height, width)."""
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)


def cut(images: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """Cut a window out of each image: (N, C, H, W) and upper left corners (N, 2) -> (N, C, height, width)."""
    windows = [
        image[:, row : row + height, col : col + width]
        for image, (row, col) in zip(images, corners.tolist(), strict=True)
    ]
    return torch.stack(windows)
