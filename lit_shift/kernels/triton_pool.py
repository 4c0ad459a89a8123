# mypy: disable-error-code="no-untyped-def, assignment"
# ruff: noqa: RUF005
"""MaxPoolBlurDS as one Triton kernel per direction: it reads a map and writes the result, with nothing in between.

Both kernels read like their definitions: sums over all taps around a max of four. A program computes a few rows of the
halved map. Each of its lanes handles one column and channel, so that neighbouring lanes load neighbouring memory in
channels_last. The loops are unrolled, and the compiler computes only once what the rows of a lane share, loads
included.

Within a kernel, ``maps`` is a pointer together with the row, column and channel of each lane.
"""

from math import gcd
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 512  # per program: four for each of its threads, loaded at once
ROWS = 4  # per program, at most. More would load fewer rows twice, but need more registers
BACKWARD_ROWS = 2  # likewise


@triton.jit
def _sample(maps, r: tl.constexpr, c: tl.constexpr, SHAPE: tl.constexpr):
    """Load the sample ``r`` rows below and ``c`` columns right of each lane, up to four maps beyond the border."""
    H: tl.constexpr = SHAPE[0]
    W: tl.constexpr = SHAPE[1]
    C: tl.constexpr = SHAPE[2]
    start, row, column, channel, inside = maps
    # Adding the constants first lets the compiler see that two positions are the same.
    place = (row + (r + 4 * H)) % H * W + (column + (c + 4 * W)) % W
    return tl.load(start + place * C + channel, inside).to(tl.float32)


@triton.jit
def _dense(x, r: tl.constexpr, c: tl.constexpr, SHAPE: tl.constexpr):
    """Max over a 2x2 window, which reaches down and right."""
    largest = _sample(x, r, c, SHAPE)
    for i in tl.static_range(1, 4):
        other = _sample(x, r + i // 2, c + i % 2, SHAPE)
        largest = tl.maximum(largest, other, propagate_nan=tl.PropagateNan.ALL)
    return largest


@triton.jit
def _pooled(x, r: tl.constexpr, SHAPE: tl.constexpr, TAPS: tl.constexpr):
    """Dense max, blurred."""
    before: tl.constexpr = (len(TAPS) - 1) // 2
    total = 0.0
    for k in tl.static_range(len(TAPS)):
        across = 0.0
        for m in tl.static_range(len(TAPS)):
            across += TAPS[m] * _dense(x, r + k - before, m - before, SHAPE)
        total += TAPS[k] * across
    return total


@triton.jit
def _dense_gradient(grad, r: tl.constexpr, c: tl.constexpr, HALVED: tl.constexpr, TAPS: tl.constexpr):
    """Gradient of the dense max: the sum over all outputs that saw it."""
    before: tl.constexpr = (len(TAPS) - 1) // 2
    total = 0.0
    for k in tl.static_range(len(TAPS)):
        if (r + before - k) % 2 == 0:
            across = 0.0
            for m in tl.static_range(len(TAPS)):
                if (c + before - m) % 2 == 0:
                    across += TAPS[m] * _sample(grad, (r + before - k) // 2, (c + before - m) // 2, HALVED)
            total += TAPS[k] * across
    return total


@triton.jit
def _wins(x, r: tl.constexpr, c: tl.constexpr, mine: tl.constexpr, SHAPE: tl.constexpr):
    """True if sample ``mine`` of a window is its first maximum in row-major order. A NaN never is."""
    sample = _sample(x, r + mine // 2, c + mine % 2, SHAPE)
    wins = sample == sample
    for i in tl.static_range(4):
        other = _sample(x, r + i // 2, c + i % 2, SHAPE)
        if i < mine:
            wins &= sample > other
        if i > mine:
            wins &= sample >= other
    return wins


@triton.jit
def _gradient(x, grad, r: tl.constexpr, c: tl.constexpr, SHAPE: tl.constexpr, HALVED: tl.constexpr, TAPS: tl.constexpr):
    """Gradient of the input, from the four windows that see a sample."""
    total = 0.0
    for mine in tl.static_range(4):
        wins = _wins(x, r - mine // 2, c - mine % 2, mine, SHAPE)
        total += tl.where(wins, _dense_gradient(grad, r - mine // 2, c - mine % 2, HALVED, TAPS), 0.0)
    return total


@triton.jit
def _lanes(SHAPE: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Image and first row (in the halved map) of a program; column, channel and validity of each of its lanes."""
    strips: tl.constexpr = SHAPE[0] // 2 // ROWS
    C: tl.constexpr = SHAPE[2]
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    image = (tl.program_id(0) // strips).to(tl.int64)
    return image, tl.program_id(0) % strips * ROWS, lane // C, lane % C, lane < SHAPE[1] // 2 * C


@triton.jit
def _forward(
    x, y, SHAPE: tl.constexpr, HALVED: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr
):
    size: tl.constexpr = HALVED[0] * HALVED[1] * HALVED[2]
    image, row, column, channel, inside = _lanes(SHAPE, ROWS, LANES)
    maps = (x + image * (4 * size), 2 * row, 2 * column, channel, inside)
    rows = ()  # computed before the first store, after which the compiler would reload its inputs
    for i in tl.static_range(ROWS):
        rows = rows + (_pooled(maps, 2 * i, SHAPE, TAPS),)
    for i in tl.static_range(ROWS):
        tl.store(y + image * size + ((row + i) * HALVED[1] + column) * HALVED[2] + channel, rows[i], inside)


@triton.jit
def _backward(
    x, grad, out, SHAPE: tl.constexpr, HALVED: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr
):
    size: tl.constexpr = HALVED[0] * HALVED[1] * HALVED[2]
    image, row, column, channel, inside = _lanes(SHAPE, ROWS, LANES)
    maps = (x + image * (4 * size), 2 * row, 2 * column, channel, inside)
    gradients = (grad + image * size, row, column, channel, inside)
    rows = ()
    for i in tl.static_range(4 * ROWS):
        rows = rows + (_gradient(maps, gradients, i // 2, i % 2, SHAPE, HALVED, TAPS),)
    for i in tl.static_range(4 * ROWS):
        place = ((2 * row + i // 2) * SHAPE[1] + 2 * column + i % 2) * SHAPE[2] + channel
        tl.store(out + image * (4 * size) + place, rows[i], inside)


def forward(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Dense max, blur and every second sample on a torus, with sums in float32.

    Args:
        x: (N, C, H, W) in channels_last on a GPU, H and W even.
        taps: the filter's, at most 7.

    Returns:
        (N, C, H/2, W/2) in channels_last.
    """
    n, c, h, w = x.shape
    y = torch.empty((n, c, h // 2, w // 2), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    _launch(_forward, (x, y), x.shape, taps, ROWS)
    return y


def backward(x: Tensor, grad: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Gradient of :func:`forward` with respect to ``x``. Of equal samples in a window the first one receives it.

    Args:
        x: as for :func:`forward`.
        grad: gradient with respect to its result, in channels_last.
        taps: as for :func:`forward`.

    Returns:
        (N, C, H, W) in channels_last.
    """
    out = torch.empty_like(x)
    _launch(_backward, (x, grad, out), x.shape, taps, BACKWARD_ROWS)
    return out


def _launch(kernel: Any, maps: tuple[Tensor, ...], shape: torch.Size, taps: tuple[float, ...], most: int) -> None:
    n, c, h, w = shape
    rows = gcd(h // 2, most)
    programs = (n * (h // 2 // rows), triton.cdiv(w // 2 * c, LANES))
    with torch.cuda.device_of(maps[0]):
        kernel[programs](*maps, (h, w, c), (h // 2, w // 2, c), taps, rows, LANES, enable_fp_fusion=True)
