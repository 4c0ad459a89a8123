"""Max and blur on a torus without a padded copy of any map, which on a CPU would take longer than the work itself.

The dense max is made with its last row and column once more before its first, as ``F.max_pool2d`` can see them; a
convolution then finds all but a few of the samples that a blur needs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_shift.kernels.constant import constant

SMALLEST = 16  # the matrices of lit_shift.pools.Pool.blur are faster on smaller maps
CONVOLVES = torch.backends.mkldnn.is_available()  # other convolutions of a channel each are slow


def applies(x: Tensor) -> bool:
    """Whether :func:`max_blur` is the fastest way to pool such maps."""
    if not CONVOLVES or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return x.dtype == torch.float32 and min(x.shape[2:]) >= SMALLEST


def dense_max(x: Tensor) -> Tensor:
    """Max over each 2x2 window at stride 1, the window reaching down and right: (N, C, H, W) -> (N, C, H, W).

    The result cannot be modified in place.
    """
    return _Max.apply(x)


def max_blur(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    """That, blurred, and of it every second sample: (N, C, H, W) -> (N, C, H/2, W/2), H and W even.

    Args:
        taps: of the filter, ``(n - 1) // 2`` of n before a sample and ``n // 2`` after.
    """
    reach = max(len(taps) // 2, 1)  # before a sample and after; one of those before is given
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
    """The dense max, and before its first row and column its last ones: (N, C, H, W) -> (N, C, H + 1, W + 1).

    Where the map is padded with nothing, the last windows of an axis see its last sample alone and those before the
    first its first alone; the larger of the two is what a window across the border sees.
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
    """From a gradient with respect to all maxima, which is overwritten: (N, C, H + 1, W + 1) -> (N, C, H, W)."""
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
    """Blur an axis of S samples, given with the last once more before the first, and keep every second.

    The convolution sees zeros beyond the border; what is there on a torus is added.
    """
    stride, padding = _convolution(taps, axis)
    y = F.conv2d(x, _weight(taps, axis, x.shape[1]), None, stride, padding, groups=x.shape[1])
    for out, seen, tap in _beyond(taps, x.shape[axis] - 1):
        y.select(axis, out).add_(x.select(axis, seen), alpha=tap)
    return y


def _halve_gradient(grad: Tensor, taps: tuple[float, ...], axis: int) -> Tensor:
    """From S / 2 samples of an axis back to S + 1."""
    stride, padding = _convolution(taps, axis)
    x = F.conv_transpose2d(grad, _weight(taps, axis, grad.shape[1]), None, stride, padding, groups=grad.shape[1])
    for out, seen, tap in _beyond(taps, x.shape[axis] - 1):
        x.select(axis, seen).add_(grad.select(axis, out), alpha=tap)
    return x


def _convolution(taps: tuple[float, ...], axis: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and padding: the first window reaches a sample less beyond the border, since one is given."""
    before = len(taps) // 2 - 1
    return ((2, 1), (before, 0)) if axis == 2 else ((1, 2), (0, before))


@constant
def _weight(taps: tuple[float, ...], axis: int, channels: int) -> Tensor:
    weight = torch.tensor(taps, dtype=torch.float32, device="cpu").view(1, 1, -1, 1).transpose(2, axis)
    return weight.repeat(channels, 1, 1, 1).contiguous(memory_format=torch.channels_last)


def _beyond(taps: tuple[float, ...], size: int) -> list[tuple[int, int, float]]:
    """Which of an axis's outputs sees which sample beyond the border, and how much of it."""
    places = [(out, 2 * out + k - len(taps) // 2, tap) for out in range(size // 2) for k, tap in enumerate(taps)]
    return [(out, place % size + 1, tap) for out, place, tap in places if not -1 <= place < size]
