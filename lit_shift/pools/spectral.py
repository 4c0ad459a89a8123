"""Pools that cut the spectrum of a map in half.

On a torus, transforming, cutting and transforming back is one matrix for each axis. So these pools are matrix products,
in any precision, and need neither complex numbers nor a Fourier transform at run time.
"""

import math

import torch
from torch import Tensor

from lit_shift.kernels.constant import constant
from lit_shift.padding import Padding
from lit_shift.pools.pool import Pool, by_axes
from lit_shift.utils.errors import InputError


class _Spectral(Pool):
    """A pool without a dense operation, on a torus only."""

    def __init__(self, padding: Padding = "circular") -> None:
        super().__init__("delta", padding)
        if padding != "circular":
            raise InputError(
                f"padding={padding}: {type(self).__name__} cuts a Fourier series, which has circular boundaries only."
            )

    def dense(self, x: Tensor) -> Tensor:
        return x

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        return channels * (height // 2) * width * (height + width // 2)

    def extra_repr(self) -> str:
        return ""


class IdealPool(_Spectral):
    """The frequencies below the new Nyquist rate, then every second sample.

    The new Nyquist frequency itself is set to 0 in both axes. The result is then real and shiftable: shifting a
    band-limited map by any distance shifts the result by half of it.

    Source: the sampling theorem; alias-free downsampling as in Michaeli et al. 2023, *Alias-Free Convnets*.
    """

    def blur(self, x: Tensor, stride: int) -> Tensor:
        return by_axes(x, *(self.matrix(size, stride, x.dtype, x.device) for size in x.shape[2:]))

    def matrix(self, size: int, stride: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return spectral_matrix(size, stride, "below", dtype, device)[0]


class FLCPool(_Spectral):
    """The low half of the spectrum, transformed back to half the size (FrequencyLowCut pooling).

    The low half has one of the two frequencies at the new Nyquist rate, the negative one, so that the samples are
    complex numbers, of which the real part is kept.

    Source: Grabinski et al. 2022, *FrequencyLowCut Pooling*. Left open there: the scale, with which the mean of the map
    is kept here, and how complex samples become real.
    """

    kept = "low"

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        return 2 * super().filter_multiplications(channels, height, width)  # real and imaginary parts

    def subsample(self, maps: Tensor) -> Tensor:
        rows, cols = (spectral_matrix(size, 2, self.kept, maps.dtype, maps.device) for size in maps.shape[2:])
        real, imaginary = (by_axes(maps, row, col) for row, col in zip(rows, cols, strict=True))
        return real - imaginary


class ASAPPool(FLCPool):
    """The low half of the spectrum times a Hamming window, transformed back to half the size.

    Source: Grabinski et al. 2023, *Fix your downsampling ASAP!*. Left open there: the length of the window, which here
    spans the whole spectrum of the map and is 1 at frequency 0.
    """

    kept = "window"


@constant
def spectral_matrix(size: int, stride: int, kept: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix that cuts one axis's spectrum at half its Nyquist frequency and keeps every ``stride``-th sample.

    Args:
        kept: ``below`` half the Nyquist frequency; ``low``, the same and its negative end; or ``window``, the latter
            times a Hamming window.

    Returns:
        (2, size / stride, size), its real and its imaginary part.
    """
    frequencies = torch.arange(-size // 2, size - size // 2)
    inside = frequencies.abs() * 4 < size if kept == "below" else (-size <= frequencies * 4) & (frequencies * 4 < size)
    gain = inside.double()
    if kept == "window":
        gain *= 0.54 + 0.46 * torch.cos(2 * math.pi * frequencies.double() / size)
    samples = torch.arange(0, size, stride)[:, None, None] - torch.arange(size)[:, None]
    turns = (samples * frequencies).remainder(torch.tensor(size))  # exact, unlike the angle of a large multiple
    angles = 2 * math.pi * turns.double() / size
    return torch.stack([(gain * part).sum(2) / size for part in (angles.cos(), angles.sin())]).to(device, dtype)
