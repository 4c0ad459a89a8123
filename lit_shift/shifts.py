"""Shifts of images, by pixels or fractions of a pixel, and random offsets (Zhang, section 4.1, eq. 4)."""

import math

import numpy as np
import torch
from torch import Tensor

from lit_shift.padding import Padding, source


def seeded(*key: int) -> torch.Generator:
    """CPU generator seeded by all numbers of ``key`` (say a seed and an epoch), each at least 0."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)


def draw_offsets(shape: tuple[int, ...], height: int, width: int, generator: torch.Generator) -> Tensor:
    """Independent random shifts, uniform over all ``height * width`` offsets.

    Returns:
        ``(*shape, 2)`` int64: rows in ``[0, height)`` and columns in ``[0, width)``.
    """
    rows, cols = (torch.randint(size, shape, generator=generator) for size in (height, width))
    return torch.stack([rows, cols], dim=-1)


def roll(x: Tensor, offsets: Tensor) -> Tensor:
    """Shift each image circularly by its own offset: ``out[n, :, i, j] = x[n, :, (i - h) mod H, (j - w) mod W]``.

    Args:
        x: (N, C, H, W), any dtype.
        offsets: (N, 2) int, ``(h, w)`` per image, of any sign and size.

    Returns:
        (N, C, H, W)
    """
    return shift(x, offsets, "circular")


def shift(x: Tensor, offsets: Tensor, padding: Padding) -> Tensor:
    """Shift each image by its own offset. Pixels entering at the border follow ``padding``.

    With ``zeros`` this is a shifted crop of the zero-padded image. Arguments and result as for :func:`roll`.
    """
    height, width = x.shape[-2:]
    offsets = offsets.to(x.device)
    rows = source(torch.arange(height, device=x.device) - offsets[:, :1], height, padding)
    cols = source(torch.arange(width, device=x.device) - offsets[:, 1:], width, padding)
    n, c = (torch.arange(size, device=x.device) for size in x.shape[:2])
    out = x[n[:, None, None, None], c[:, None, None], rows[:, None, :, None], cols[:, None, None, :]]
    if padding == "zeros":
        out *= ((rows >= 0)[:, :, None] & (cols >= 0)[:, None, :])[:, None]
    return out


def fourier_shift(x: Tensor, h: float, w: float) -> Tensor:
    """Shift images circularly by fractions of a pixel, as the band-limited signals that their samples determine.

    Whole offsets agree with :func:`roll`. Samples hold only one phase of the Nyquist frequency, so a shift by d scales
    it by cos(pi d).

    Args:
        x: (N, C, H, W) of floats.
        h: rows.
        w: columns.

    Returns:
        (N, C, H, W), real; values may ring beyond the range of ``x``.

    Source: Michaeli et al. 2023, *Alias-Free Convnets*. For h, w = 1/2, 3/2 ... this equals their half-pixel shifts,
    which are computed at twice the resolution.
    """
    spectrum = torch.fft.fft2(x)
    for axis, offset in ((2, h), (3, w)):
        size = x.shape[axis]
        frequencies = torch.fft.fftfreq(size, dtype=torch.float64)
        ramp = torch.exp(-2j * torch.pi * frequencies * offset)
        if size % 2 == 0:
            ramp[size // 2] = math.cos(math.pi * offset)
        spectrum = spectrum * ramp.to(spectrum).view(-1, *[1] * (3 - axis))
    return torch.fft.ifft2(spectrum).real
