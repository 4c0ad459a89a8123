"""3x3 convolution of small circular maps in the Fourier basis, where it takes far fewer multiplications.

On a torus, a convolution multiplies each frequency of the map by one number per pair of channels. A real map has half
as many frequencies as pixels, all complex except the few that are their own conjugates, and a complex product takes
three multiplications. An 8x8 map therefore takes 94 products of channels for its 64 pixels instead of 9 for each: 1.5
per pixel. A 4x4 map takes 1.4 per pixel, a 2x2 map 1. All of it is real arithmetic in three matrix products, whose
gradients are matrix products of the same kind.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lit_shift.kernels.constant import constant
from lit_shift.kernels.transforms import exported


class Basis(NamedTuple):
    """Matrices that transform maps and kernels into F factors, and the products of these back into maps.

    ``maps`` (F, H W), ``kernels`` (F, 9), ``products`` (H W, F).
    """

    maps: Tensor
    kernels: Tensor
    products: Tensor


@constant
def basis(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Basis:
    """Real Fourier basis of a torus: three factors per pair of conjugate frequencies, one per other frequency."""
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()
    taps = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).double()
    maps, kernels, products = [], [], []
    for row in range(height):
        for col in range(width):
            conjugate = (-row % height, -col % width)
            if conjugate < (row, col):
                continue
            frequency = 2 * math.pi * torch.tensor([row / height, col / width], dtype=torch.float64)
            at_pixels, at_taps = pixels @ frequency, taps @ frequency
            cos, sin, c, d = at_pixels.cos(), at_pixels.sin(), at_taps.cos(), at_taps.sin()
            scale = 1 / (height * width)
            if conjugate == (row, col):  # sin is 0
                maps += [cos]
                kernels += [c]
                products += [scale * cos]
            else:
                # For a map a + ib with a = cos and b = -sin, and a kernel c + id, the products p = c (a + b),
                # q = a (d - c) and r = b (c + d) give p - r + i (p + q).
                maps += [cos - sin, cos, -sin]
                kernels += [c, d - c, c + d]
                products += [2 * scale * (cos - sin), -2 * scale * sin, -2 * scale * cos]
    matrices = torch.stack(maps), torch.stack(kernels), torch.stack(products, dim=1)
    return Basis(*(matrix.to(device, dtype) for matrix in matrices))


def is_faster(x: Tensor, weight: Tensor) -> bool:
    """True if :func:`convolve` is faster, as measured by ``benchmarks/convolution.py``: on a CPU, for small maps.

    Transforming a channel takes the same time however many there are, so 8x8 maps need many channels to make up for
    it. In reduced precision the three products would lose the digits that their differences need. Exported programs
    have a plain convolution, which other runtimes know and which takes any size.
    """
    if exported():
        return False
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return False
    side = max(x.shape[2:])
    return side <= 4 or (side <= 8 and weight.shape[:2].numel() >= 2**15)


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Circular cross-correlation, like ``conv2d`` on the map padded circularly by one on each side.

    Args:
        x: (N, C, H, W), fastest in channels_last.
        weight: (K, C, 3, 3)

    Returns:
        (N, K, H, W), channels_last.
    """
    n, c, h, w = x.shape
    maps, kernels, products = basis(h, w, x.dtype, x.device)
    of_maps = maps @ x.permute(0, 2, 3, 1).reshape(n, h * w, c)
    of_kernels = kernels @ weight.permute(2, 3, 1, 0).reshape(9, -1)
    multiplied = of_maps.transpose(0, 1) @ of_kernels.view(len(kernels), c, len(weight))
    return (products @ multiplied.transpose(0, 1)).view(n, h, w, len(weight)).permute(0, 3, 1, 2)
