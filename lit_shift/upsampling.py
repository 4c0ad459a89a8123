"""From a subsampled map back to the image's resolution, which Zhang's section 4.2.1 leaves open how."""

import torch
from torch import Tensor

from lit_shift.choices import UPSAMPLINGS, Upsampling
from lit_shift.utils.errors import unknown


def check_upsampling(upsampling: str) -> None:
    """Raise a ValueError that lists the choices where ``upsampling`` is not one of :data:`UPSAMPLINGS`."""
    if upsampling not in UPSAMPLINGS:
        raise unknown("upsampling", upsampling, UPSAMPLINGS)


def upsampling_matrix(size: int, stride: int, upsampling: Upsampling) -> Tensor:
    """Upsampling of one axis of a torus: (size * stride, size) float64. Sample i comes to lie at ``i * stride``.

    ``fourier`` is the one band-limited signal that the samples determine; its Nyquist frequency, of which samples hold
    one phase only, is a cosine, as in :func:`lit_shift.shifts.fourier_shift`. ``bilinear`` joins neighbouring samples
    by straight lines, ``nearest`` repeats each sample.
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
    """What comparing upsampled maps takes of an axis, without upsampling any: (stride, size, size) float64.

    ``a @ overlaps[s] @ b`` is the inner product of upsampled ``a`` with upsampled ``b`` rolled by ``-s``.
    """
    matrix = upsampling_matrix(size, stride, upsampling)
    return torch.stack([matrix.mT @ matrix.roll(-s, 0) for s in range(stride)])
