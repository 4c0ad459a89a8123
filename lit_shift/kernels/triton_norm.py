# mypy: disable-error-code="no-untyped-def, assignment"
"""Batch norm with the statistics of its batch, ReLU and circular border as Triton kernels, forward and backward.

Step by step, each of the three reads the map and writes it again, and so does its gradient. Here the map is read twice
and written once, and on the way back read twice with its gradient and written once: once for the sums over the batch
that each channel needs, once for the result. The sums are of float32, taken in strips of samples
whose results are added in a fixed order, so that the same input always gives the same bits.

Maps are in channels_last. A border of one sample on each side is what the next 3x3 convolution reads; the gradient of a
border goes to the sample that it repeats.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lit_shift.kernels.triton_border import folded

# A program has 128 threads, and a thread 8 or 16 numbers, of which 8 lie side by side.
SAMPLES, CHANNELS = 32, 64  # of a tile
LANES = 1024  # numbers of a row that a program computes
STRIPS = 528  # at most: four programs for each multiprocessor of the largest GPUs
ADDED, SETTLED = 256, 8  # strips whose sums are read at once, and channels whose sums a program adds up


@triton.jit
def _plus(first, second):
    return first + second


@triton.jit
def _tile(first, end, C: tl.constexpr, SAMPLES: tl.constexpr, CHANNELS: tl.constexpr):
    """Samples (a column) and channels (a row) of a tile, and which of its numbers exist."""
    sample = first + tl.arange(0, SAMPLES)[:, None]
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    return sample, channel, (sample < end) & (channel < C)


@triton.jit
def _keep(partial, first, second, C: tl.constexpr, CHANNELS: tl.constexpr):
    """Store two sums of a strip over its samples."""
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    place = partial + tl.program_id(0) * (2 * C) + channel
    tl.store(place, tl.reduce(first, 0, _plus), channel < C)
    tl.store(place + C, tl.reduce(second, 0, _plus), channel < C)


@triton.jit
def _added(partial, strips, channel, C: tl.constexpr, CHANNELS: tl.constexpr, ADDED: tl.constexpr):
    """Add up the two sums of all strips."""
    first = tl.full((ADDED, CHANNELS), 0.0, tl.float32)
    second = tl.full((ADDED, CHANNELS), 0.0, tl.float32)
    for begin in range(0, strips, ADDED):
        strip = begin + tl.arange(0, ADDED)[:, None]
        inside = (strip < strips) & (channel < C)[None, :]
        place = partial + strip * (2 * C) + channel[None, :]
        first += tl.load(place, inside, other=0.0)
        second += tl.load(place + C, inside, other=0.0)
    return tl.reduce(first, 0, _plus), tl.reduce(second, 0, _plus)


@triton.jit
def _sums(x, partial, rows, total, C: tl.constexpr, SAMPLES: tl.constexpr, CHANNELS: tl.constexpr):
    """Sum each channel's distances from its first sample, and their squares, over a strip of samples.

    The variance is a difference of means of squares. Distances from a value of the same size lose no digits in it.
    """
    sums = tl.full((SAMPLES, CHANNELS), 0.0, tl.float32)
    squares = tl.full((SAMPLES, CHANNELS), 0.0, tl.float32)
    start = tl.program_id(0) * rows
    for first in range(0, rows, SAMPLES):
        sample, channel, inside = _tile(start + first, tl.minimum(start + rows, total), C, SAMPLES, CHANNELS)
        origin = tl.load(x + channel, channel < C, other=0.0).to(tl.float32)
        value = tl.load(x + sample.to(tl.int64) * C + channel, inside, other=0.0).to(tl.float32)
        distance = tl.where(inside, value - origin, 0.0)
        sums += distance
        squares += distance * distance
    _keep(partial, sums, squares, C, CHANNELS)


@triton.jit
def _settle(
    x, partial, weight, running_mean, running_variance, statistics, scale, strips, total, momentum, eps,
    C: tl.constexpr, CHANNELS: tl.constexpr, ADDED: tl.constexpr,
):  # fmt: skip
    """Compute each channel's mean and variance, and ``scale``, which multiplies distances from the mean."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    there = channel < C
    sums, squares = _added(partial, strips, channel, C, CHANNELS, ADDED)
    shift = sums / total
    mean = tl.load(x + channel, there, other=0.0).to(tl.float32) + shift
    variance = tl.maximum(squares / total - shift * shift, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(statistics + channel, mean, there)
    tl.store(statistics + C + channel, variance, there)
    tl.store(scale + channel, tl.load(weight + channel, there, other=0.0) / tl.sqrt(variance + eps), there)
    before = tl.load(running_mean + channel, there, other=0.0)
    tl.store(running_mean + channel, before + momentum * (mean - before), there)
    before = tl.load(running_variance + channel, there, other=0.0)
    tl.store(running_variance + channel, before + momentum * (variance * total / (total - 1) - before), there)


@triton.jit
def _lanes(H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, LANES: tl.constexpr):
    """Image and row of a program, column and channel of each of its lanes, and which lanes exist."""
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    return (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H, lane // C, lane % C, lane < W * C


@triton.jit
def _normalised(
    x, statistics, scale, bias, y,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, BORDER: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Compute a row of the result, with its border."""
    HEIGHT: tl.constexpr = H + 2 * BORDER
    WIDTH: tl.constexpr = W + 2 * BORDER
    image, row, column, channel, inside = _lanes(HEIGHT, WIDTH, C, LANES)
    place = ((row + H - BORDER) % H * W + (column + W - BORDER) % W) * C + channel
    value = tl.load(x + image * (H * W * C) + place, inside, other=0.0).to(tl.float32)
    distance = value - tl.load(statistics + channel, inside, other=0.0)
    result = distance * tl.load(scale + channel, inside, other=0.0) + tl.load(bias + channel, inside, other=0.0)
    result = tl.maximum(result, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(y + image * (HEIGHT * WIDTH * C) + (row * WIDTH + column) * C + channel, result, inside)


@triton.jit
def _passed(
    x, grad, statistics, scale, bias, image, row, column, channel, inside,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, BORDER: tl.constexpr,
):  # fmt: skip
    """Return the gradient that the ReLU passes to a sample, and the sample's distance from the mean."""
    there = channel < C
    value = tl.load(x + image * (H * W * C) + ((row * W + column) * C + channel), inside, other=0.0).to(tl.float32)
    distance = value - tl.load(statistics + channel, there, other=0.0)
    result = distance * tl.load(scale + channel, there, other=0.0) + tl.load(bias + channel, there, other=0.0)
    maps = grad + image * ((H + 2 * BORDER) * (W + 2 * BORDER) * C)
    gradient = folded(maps, row, column, channel, inside, H, W, C, BORDER)
    return tl.where(inside & (result > 0), gradient, 0.0), tl.where(inside, distance, 0.0)


@triton.jit
def _gradient_sums(
    x, grad, statistics, scale, bias, partial, rows, total,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, BORDER: tl.constexpr,
    SAMPLES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sum each channel's gradients, and these times the distances from the mean, over a strip of samples."""
    sums = tl.full((SAMPLES, CHANNELS), 0.0, tl.float32)
    products = tl.full((SAMPLES, CHANNELS), 0.0, tl.float32)
    start = tl.program_id(0) * rows
    for first in range(0, rows, SAMPLES):
        sample, channel, inside = _tile(start + first, tl.minimum(start + rows, total), C, SAMPLES, CHANNELS)
        image, row, column = (sample // (H * W)).to(tl.int64), sample // W % H, sample % W
        gradient, distance = _passed(
            x, grad, statistics, scale, bias, image, row, column, channel, inside, H, W, C, BORDER
        )
        sums += gradient
        products += gradient * distance
    _keep(partial, sums, products, C, CHANNELS)


@triton.jit
def _settle_gradient(
    partial, statistics, scale, to_weight, to_bias, back, strips, total, eps,
    C: tl.constexpr, CHANNELS: tl.constexpr, ADDED: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of weight and bias, and what goes ``back`` through each channel's mean and variance."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    there = channel < C
    sums, products = _added(partial, strips, channel, C, CHANNELS, ADDED)
    variance = tl.load(statistics + C + channel, there, other=0.0) + eps
    factor = tl.load(scale + channel, there, other=0.0)
    tl.store(to_bias + channel, sums, there)
    tl.store(to_weight + channel, products / tl.sqrt(variance), there)
    tl.store(back + channel, factor * sums / total, there)
    tl.store(back + C + channel, factor * products / variance / total, there)


@triton.jit
def _gradient(
    x, grad, statistics, scale, bias, back, out,
    H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, BORDER: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Compute a row of the input's gradient."""
    image, row, column, channel, inside = _lanes(H, W, C, LANES)
    gradient, distance = _passed(x, grad, statistics, scale, bias, image, row, column, channel, inside, H, W, C, BORDER)
    by_mean = tl.load(back + channel, inside, other=0.0)
    by_variance = tl.load(back + C + channel, inside, other=0.0)
    result = gradient * tl.load(scale + channel, inside, other=0.0) - by_mean - distance * by_variance
    tl.store(out + image * (H * W * C) + ((row * W + column) * C + channel), result, inside)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, running: tuple[Tensor, Tensor], momentum: float, eps: float, border: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise with the batch's statistics, apply ReLU and repeat the border circularly.

    Args:
        x: (N, C, H, W) in channels_last on a GPU, more than one sample a channel.
        weight, bias: (C,) float32.
        running: mean and variance (C,) float32, moved towards those of the batch by ``momentum``.
        momentum, eps: as of ``nn.BatchNorm2d``.
        border: width of the border, 0 or 1; with a border, H and W are at least 2.

    Returns:
        The result (N, C, H + 2 border, W + 2 border) in channels_last; mean and variance (2, C); ``scale`` (C,).
    """
    n, c, h, w = x.shape
    shape = (n, c, h + 2 * border, w + 2 * border)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    statistics, scale = weight.new_empty(2, c), torch.empty_like(weight)
    total, (strips, rows) = n * h * w, _strips(x)
    partial, blocks = weight.new_empty(strips, 2, c), triton.cdiv(c, CHANNELS)
    with torch.cuda.device_of(x):
        _sums[strips, blocks](x, partial, rows, total, c, SAMPLES, CHANNELS)
        _settle[triton.cdiv(c, SETTLED),](
            x, partial, weight, *running, statistics, scale, strips, total, momentum, eps, c, SETTLED, ADDED
        )
        programs = n * shape[2], triton.cdiv(shape[3] * c, LANES)
        _normalised[programs](x, statistics, scale, bias, y, h, w, c, border, LANES)
    return y, statistics, scale


def backward(
    x: Tensor, grad: Tensor, statistics: Tensor, scale: Tensor, bias: Tensor, eps: float, border: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`forward` with respect to ``x``, ``weight`` and ``bias``.

    Args:
        x, bias, eps, border: as for :func:`forward`.
        grad: gradient with respect to its result, in channels_last.
        statistics, scale: from :func:`forward`.
    """
    n, c, h, w = x.shape
    out, to_weight, to_bias, back = (torch.empty_like(part) for part in (x, scale, scale, statistics))
    total, (strips, rows) = n * h * w, _strips(x)
    partial, blocks = scale.new_empty(strips, 2, c), triton.cdiv(c, CHANNELS)
    with torch.cuda.device_of(x):
        _gradient_sums[strips, blocks](
            x, grad, statistics, scale, bias, partial, rows, total, h, w, c, border, SAMPLES, CHANNELS
        )
        _settle_gradient[triton.cdiv(c, SETTLED),](
            partial, statistics, scale, to_weight, to_bias, back, strips, total, eps, c, SETTLED, ADDED
        )
        programs = n * h, triton.cdiv(w * c, LANES)
        _gradient[programs](x, grad, statistics, scale, bias, back, out, h, w, c, border, LANES)
    return out, to_weight, to_bias


def _strips(x: Tensor) -> tuple[int, int]:
    """Number of strips into which the samples of each channel are divided, and samples of a strip."""
    n, c, h, w = x.shape
    tiles = triton.cdiv(n * h * w, SAMPLES)
    strips = min(tiles, max(1, STRIPS // triton.cdiv(c, CHANNELS)))
    rows = triton.cdiv(tiles, strips) * SAMPLES
    return triton.cdiv(n * h * w, rows), rows
