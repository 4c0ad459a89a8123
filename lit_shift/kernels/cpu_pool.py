"""Circular max and blur without padded copies of the maps, which on a CPU take longer than the arithmetic itself.

``F.max_pool2d`` can produce the dense max with its last row and column repeated before the first. A convolution then
finds all but a few of the samples that the blur needs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_shift.kernels.constant import constant
from lit_shift.kernels.transforms import transformed

SMALLEST = 16  # on smaller maps the matrices of lit_shift.pools.Pool.blur are faster
CONVOLVES = torch.backends.mkldnn.is_available()  # other backends' depthwise convolutions are slow


def applies(x: Tensor) -> bool:
    """True if :func:`max_blur` is the fastest way to pool such maps."""
    if not CONVOLVES or x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or transformed(x):
        return False
    return x.dtype == torch.float32 and min(x.shape[2:]) >= SMALLEST


def dense_applies(x: Tensor) -> bool:
    """True if :func:`dense_max` is faster than padding such maps."""
    return x.device.type == "cpu" and not transformed(x)


def dense_max(x: Tensor) -> Tensor:
    """Max over each 2x2 window at stride 1, the window reaching down and right: (N, C, H, W) -> (N, C, H, W).

    The result cannot be modified in place.
    """
    return _Max.apply(x)


def max_blur(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    """:func:`dense_max`, then a blur, then every second sample: (N, C, H, W) -> (N, C, H/2, W/2), H and W even.

    Args:
        taps: the filter's n taps, ``(n - 1) // 2`` of them before a sample and ``n // 2`` after.
    """
    reach = max(len(taps) // 2, 1)  # on both sides of a sample; the map already includes one sample before the border
    before, after = reach - (len(taps) - 1) // 2, reach - len(taps) // 2
    return _MaxBlur.apply(x, (0.0,) * before + taps + (0.0,) * after)


class _Max(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _maxima(ctx, x)[:, :, 1:, 1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _maxima_gradient(ctx, F.pad(grad, (1, 0, 1, 0)))


class _MaxBlur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: tuple[float, ...]) -> Tensor:
        ctx.taps = taps
        return _halve(_halve(_maxima(ctx, x), taps, axis=2), taps, axis=3)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = _halve_gradient(_halve_gradient(grad, ctx.taps, axis=3), ctx.taps, axis=2)
        return _maxima_gradient(ctx, grad), None


def _maxima(ctx: Any, x: Tensor) -> Tensor:
    """Dense max, with its last row and column repeated before the first: (N, C, H, W) -> (N, C, H + 1, W + 1).

    ``F.max_pool2d`` pads with -inf, so the last window of an axis sees only the last sample and the window before the
    first sees only the first. The larger of the two is what a window across the border sees.
    """
    maxima, indices = F.max_pool2d(x, 2, stride=1, padding=1, return_indices=True)
    first_won = []
    for first, last in _borders(maxima):
        if ctx.needs_input_grad[0]:
            first_won.append((first > last).to(x.dtype))
        first.copy_(last.copy_(torch.maximum(first, last)))
    ctx.save_for_backward(x, indices, *first_won)
    return maxima


def _maxima_gradient(ctx: Any, grad: Tensor) -> Tensor:
    """Gradient of :func:`_maxima`, (N, C, H + 1, W + 1) -> (N, C, H, W). Overwrites ``grad``."""
    x, indices, *first_won = ctx.saved_tensors
    for (first, last), won in zip(reversed(_borders(grad)), reversed(first_won), strict=True):
        last += first
        first.copy_(last * won)
        last -= first
    return torch.ops.aten.max_pool2d_with_indices_backward(grad, x, (2, 2), (1, 1), (1, 1), (1, 1), False, indices)


def _borders(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """First and last row, then first and last column."""
    return [(x.select(axis, 0), x.select(axis, -1)) for axis in (2, 3)]


def _halve(x: Tensor, taps: tuple[float, ...], axis: int) -> Tensor:
    """Blur an axis of S samples, given with the last one repeated before the first, and keep every second sample.

    The convolution sees zeros beyond the border; the circular contributions are added afterwards.
    """
    stride, padding = _convolution(taps, axis)
    y = F.conv2d(x, _weight(taps, axis, x.shape[1]), None, stride, padding, groups=x.shape[1])
    for out, seen, tap in _beyond(taps, x.shape[axis] - 1):
        y.select(axis, out).add_(x.select(axis, seen), alpha=tap)
    return y


def _halve_gradient(grad: Tensor, taps: tuple[float, ...], axis: int) -> Tensor:
    """Gradient of :func:`_halve`: from S / 2 samples of an axis back to S + 1."""
    stride, padding = _convolution(taps, axis)
    x = F.conv_transpose2d(grad, _weight(taps, axis, grad.shape[1]), None, stride, padding, groups=grad.shape[1])
    for out, seen, tap in _beyond(taps, x.shape[axis] - 1):
        x.select(axis, seen).add_(grad.select(axis, out), alpha=tap)
    return x


def _convolution(taps: tuple[float, ...], axis: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and padding. One sample before the border is already given, so the first window needs one less."""
    before = len(taps) // 2 - 1
    return ((2, 1), (before, 0)) if axis == 2 else ((1, 2), (0, before))


@constant
def _weight(taps: tuple[float, ...], axis: int, channels: int) -> Tensor:
    weight = torch.tensor(taps, dtype=torch.float32, device="cpu").view(1, 1, -1, 1).transpose(2, axis)
    return weight.repeat(channels, 1, 1, 1).contiguous(memory_format=torch.channels_last)


def _beyond(taps: tuple[float, ...], size: int) -> list[tuple[int, int, float]]:
    """Contributions from beyond the border of an axis: (output, sample that wraps around, its weight)."""
    places = [(out, 2 * out + k - len(taps) // 2, tap) for out in range(size // 2) for k, tap in enumerate(taps)]
    return [(out, place % size + 1, tap) for out, place, tap in places if not -1 <= place < size]
