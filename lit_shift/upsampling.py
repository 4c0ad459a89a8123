"""Upsampling of a subsampled map to the image's resolution; the method is left open in Zhang's section 4.2.1."""

from typing import Literal

import torch
from torch import Tensor

Upsampling = Literal["fourier", "bilinear", "nearest"]
UPSAMPLINGS: tuple[Upsampling, ...] = ("fourier", "bilinear", "nearest")


def upsampling_matrix(size: int, stride: int, upsampling: Upsampling) -> Tensor:
    """Matrix that upsamples one axis of a torus: (size * stride, size) float64. Sample i moves to ``i * stride``.

    ``fourier`` gives the unique band-limited signal that the samples determine. Samples hold only one phase of the
    Nyquist frequency; it becomes a cosine, as in :func:`lit_shift.shifts.fourier_shift`. ``bilinear`` connects
    neighbouring samples by straight lines, ``nearest`` repeats each sample.
    """
    at = torch.arange(size * stride)
    if upsampling == "fourier":
        delay = (at[:, None].double() / stride - torch.arange(size)) * (2 * torch.pi / size)
        frequencies = torch.arange(size // 2 + 1)
        weights = torch.where((frequencies == 0) | (2 * frequencies == size), 1, 2).double() / size
        return torch.cos(frequencies * delay[..., None]) @ weights
    ahead = (at % stride).double() / stride if upsampling == "bilinear" else torch.zeros(len(at), dtype=torch.float64)
    matrix = torch.zeros(size * stride, size, dtype=torch.float64)
    matrix[at, at // stride] += 1 - ahead
    matrix[at, (at // stride + 1) % size] += ahead
    return matrix


def overlaps(size: int, stride: int, upsampling: Upsampling) -> Tensor:
    """Matrices for inner products of upsampled maps along one axis, without upsampling: (stride, size, size) float64.

    ``a @ overlaps[s] @ b`` is the inner product of the upsampled ``a`` with the upsampled ``b`` rolled by ``-s``.
    """
    matrix = upsampling_matrix(size, stride, upsampling)
    return torch.stack([matrix.mT @ matrix.roll(-s, 0) for s in range(stride)])
