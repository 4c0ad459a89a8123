"""The steps of MaxPoolBlurDS as one operation, on GPUs that can run its kernels."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from lit_shift.kernels.constant import constant

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def applies(x: Tensor) -> bool:
    """Whether :func:`max_blur` takes such maps. What it does not take is pooled step by step.

    The results are the same, and the gradients but for which of equal samples across the border has it.
    """
    return x.is_cuda and x.dtype in DTYPES and runs_on(x.device)


@constant
def runs_on(device: torch.device) -> bool:
    """Whether the kernels run on a GPU, found once by running them there. Where they do not, a warning says why."""
    try:
        from lit_shift.kernels import triton_pool  # not at the top: Triton is not made for every machine

        x = torch.zeros(1, 1, 2, 2, device=device)
        triton_pool.backward(x, triton_pool.forward(x, (1.0,)), (1.0,))
        torch.cuda.synchronize(device)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        message = f"MaxPoolBlurDS pools step by step, which is slower: its kernels do not run here ({reason})."
        warnings.warn(message, stacklevel=1)
        return False
    return True


@custom_op("lit_shift::max_blur", mutates_args=())
def max_blur(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Dense max, blur and every second sample on a torus, with sums in float32. It has no second derivative.

    Args:
        x: (N, C, H, W), H and W even, of one of :data:`DTYPES`; on a GPU.
        taps: of the filter, at most 7.

    Returns:
        (N, C, H/2, W/2) in channels_last.
    """
    from lit_shift.kernels import triton_pool

    return triton_pool.forward(_channels_last(x), tuple(taps))


@custom_op("lit_shift::max_blur_backward", mutates_args=())
def max_blur_backward(x: Tensor, grad: Tensor, taps: Sequence[float]) -> Tensor:
    """The gradient of :func:`max_blur` with respect to ``x``; of equal samples in a window the first has it."""
    from lit_shift.kernels import triton_pool

    return triton_pool.backward(_channels_last(x), _channels_last(grad), tuple(taps))


@max_blur.register_fake
def _(x: Tensor, taps: Sequence[float]) -> Tensor:
    n, c, h, w = x.shape
    shape = (n, c, h // 2, w // 2)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


@max_blur_backward.register_fake
def _(x: Tensor, grad: Tensor, taps: Sequence[float]) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)


def _keep(ctx: Any, inputs: tuple[Tensor, Sequence[float]], output: Tensor) -> None:
    x, ctx.taps = inputs
    ctx.save_for_backward(x)


def _send_back(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    return max_blur_backward(*ctx.saved_tensors, grad, ctx.taps), None


max_blur.register_autograd(_send_back, setup_context=_keep)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
