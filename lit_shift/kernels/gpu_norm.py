"""Batch norm, ReLU and circular border in one pass over a map, on GPUs that can run its Triton kernels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.kernels.gpu import DTYPES, runs_on
from lit_shift.kernels.transforms import transformed


def applies(norm: nn.Module, x: Tensor) -> bool:
    """True if :func:`norm_relu` accepts such a layer and maps: in training, on a GPU. Results are the same to rounding.

    What ``torch.compile`` traces is left to its own kernels.
    """
    if type(norm) is not nn.BatchNorm2d or not norm.training or not norm.track_running_stats or norm.momentum is None:
        return False
    if torch.compiler.is_compiling() or norm.weight is None or norm.weight.dtype != torch.float32:
        return False
    return x.is_cuda and x.dtype in DTYPES and runs_on(x.device) and not transformed(x)


def norm_relu(norm: nn.BatchNorm2d, x: Tensor, border: int) -> Tensor:
    """Apply batch norm with the batch's statistics, then ReLU, then repeat the border circularly.

    Args:
        norm: its running statistics move on, as in its own forward pass.
        x: (N, C, H, W), with more than one sample for each channel.
        border: width of the border, 0 or 1; with a border, H and W are at least 2.

    Returns:
        (N, C, H + 2 border, W + 2 border) in channels_last.
    """
    norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
    x = x.contiguous(memory_format=torch.channels_last)
    return _NormReLU.apply(
        x, norm.weight, norm.bias, (norm.running_mean, norm.running_var), norm.momentum, norm.eps, border
    )


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        momentum: float,
        eps: float,
        border: int,
    ) -> Tensor:
        from lit_shift.kernels import triton_norm  # here, because Triton is not available on every platform

        y, statistics, scale = triton_norm.forward(x, weight, bias, running, momentum, eps, border)
        ctx.save_for_backward(x, statistics, scale, weight, bias)
        ctx.eps, ctx.border = eps, border
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lit_shift.kernels import triton_norm

        x, statistics, scale, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated in turn
            y = _in_steps(x, weight, bias, ctx.eps, ctx.border)
            needed = ctx.needs_input_grad[:3]
            inputs = [each for each, used in zip((x, weight, bias), needed, strict=True) if used]
            found = iter(torch.autograd.grad(y, inputs, grad, create_graph=True))
            return *(next(found) if used else None for used in needed), None, None, None, None
        grad = grad.contiguous(memory_format=torch.channels_last)
        gradients = triton_norm.backward(x, grad, statistics, scale, bias, ctx.eps, ctx.border)
        return *gradients, None, None, None, None


def _in_steps(x: Tensor, weight: Tensor, bias: Tensor, eps: float, border: int) -> Tensor:
    """Do the same by operations of PyTorch, apart from the running statistics."""
    y = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps).relu()
    return F.pad(y, (border,) * 4, mode="circular")
