"""MaxPoolBlurDS as a single operation, on GPUs that can run its Triton kernels."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op

from lit_shift.kernels.gpu import DTYPES, runs_on
from lit_shift.kernels.transforms import transformed


def applies(x: Tensor) -> bool:
    """True if :func:`max_blur` accepts such maps. Others are pooled step by step.

    Results are the same. Gradients differ only in which of several equal samples across the border receives them.
    """
    return x.is_cuda and x.dtype in DTYPES and runs_on(x.device) and not transformed(x)


@custom_op("lit_shift::max_blur", mutates_args=())
def max_blur(x: Tensor, taps: Sequence[float], border: int = 0) -> Tensor:
    """Dense max, blur and every second sample on a torus, with sums in float32.

    Args:
        x: (N, C, H, W) on a GPU, H and W even, with one of :data:`DTYPES`.
        taps: the filter's, at most 7.
        border: width of a circular border around the result, 0 or 1; with a border, H and W are at least 4.

    Returns:
        (N, C, H/2 + 2 border, W/2 + 2 border) in channels_last.
    """
    from lit_shift.kernels import triton_pool

    return triton_pool.forward(_channels_last(x), tuple(taps), border)


@custom_op("lit_shift::max_blur_backward", mutates_args=())
def max_blur_backward(x: Tensor, grad: Tensor, taps: Sequence[float], border: int = 0) -> Tensor:
    """Gradient of :func:`max_blur` with respect to ``x``. Of equal samples in a window the first one receives it."""
    from lit_shift.kernels import triton_pool

    return triton_pool.backward(_channels_last(x), _channels_last(grad), tuple(taps), border)


@max_blur.register_fake
def _(x: Tensor, taps: Sequence[float], border: int = 0) -> Tensor:
    n, c, h, w = x.shape
    shape = (n, c, h // 2 + 2 * border, w // 2 + 2 * border)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


@max_blur_backward.register_fake
def _(x: Tensor, grad: Tensor, taps: Sequence[float], border: int = 0) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)


def _keep(ctx: Any, inputs: tuple[Tensor, Sequence[float], int], output: Tensor) -> None:
    x, ctx.taps, ctx.border = inputs
    ctx.save_for_backward(x)


def _send_back(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return max_blur_backward(*ctx.saved_tensors, grad, ctx.taps, ctx.border), None, None


max_blur.register_autograd(_send_back, setup_context=_keep)


def _keep_backward(ctx: Any, inputs: tuple[Tensor, Tensor, Sequence[float], int], output: Tensor) -> None:
    x, _, ctx.taps, ctx.border = inputs
    ctx.save_for_backward(x)


def _send_forth(ctx: Any, rate: Tensor) -> tuple[None, Tensor, None, None]:
    """Do to a change of ``x`` what :func:`max_blur` does to ``x``; which samples are largest stays the same.

    This is linear in the change, of operations that can be differentiated as often as one likes.
    """
    (x,) = ctx.saved_tensors
    around = _around(x, 0, 1)
    largest = F.max_pool2d(around, 2, stride=1, return_indices=True)[1]
    changed = _around(rate, 0, 1).flatten(2).gather(2, largest.flatten(2)).view_as(x).float()
    taps = torch.tensor(ctx.taps, device=x.device)
    changed = _around(changed, (len(taps) - 1) // 2, len(taps) // 2)
    for weight, stride in ((taps.view(1, 1, -1, 1), (2, 1)), (taps.view(1, 1, 1, -1), (1, 2))):
        changed = F.conv2d(changed, weight.expand(x.shape[1], -1, -1, -1), None, stride, groups=x.shape[1])
    return None, _around(changed, ctx.border, ctx.border).to(rate.dtype), None, None


max_blur_backward.register_autograd(_send_forth, setup_context=_keep_backward)


def _around(x: Tensor, before: int, after: int) -> Tensor:
    """Repeat the other side's rows and columns at the borders, as often as needed."""
    for axis in (2, 3):
        x = x.index_select(axis, torch.arange(-before, x.shape[axis] + after, device=x.device) % x.shape[axis])
    return x


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
