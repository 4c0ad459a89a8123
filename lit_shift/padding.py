"""Borders of maps: the one padding rule that convolutions, pools and blurs share."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_shift.kernels.transforms import transformed

Padding = Literal["circular", "zeros", "reflect"]
PADDINGS: tuple[Padding, ...] = ("circular", "zeros", "reflect")


def source(positions: Tensor, size: int, padding: Padding) -> Tensor:
    """Index of the sample seen at each position, which may lie beyond the axis.

    Args:
        positions: any shape, int; 0 is the axis's first sample.
        size: length of the axis, at least 1.
        padding: ``circular`` wraps around and ``reflect`` mirrors without repeating the border sample, both as often as
            needed; ``zeros`` shows nothing.

    Returns:
        int, same shape, in ``[0, size)``; -1 where a zero is seen.
    """
    sizes = torch.full_like(positions, size)  # ONNX has no remainder by a number that is not known yet
    if padding == "circular":
        return positions % sizes
    if padding == "reflect":
        period = (2 * (sizes - 1)).clamp(min=1)
        folded = positions % period
        return torch.where(folded < sizes, folded, period - folded)
    return torch.where((positions >= 0) & (positions < sizes), positions, -1)


def pad(x: Tensor, before: int, after: int, padding: Padding) -> Tensor:
    """Extend a map by ``before`` rows and columns at the top and left, ``after`` at the bottom and right.

    Args:
        x: (N, C, H, W); its memory format is kept.

    Returns:
        (N, C, H + before + after, W + before + after)
    """
    if padding == "zeros":
        return F.pad(x, (before, after, before, after))
    if padding == "circular" and not transformed(x) and max(before, after) <= min(x.shape[-2:]):
        return _CircularPad.apply(x, before, after)
    rows, cols = (source(torch.arange(-before, size + after, device=x.device), size, padding) for size in x.shape[-2:])
    return x[:, :, rows[:, None], cols].contiguous(memory_format=_memory_format(x))


class _CircularPad(torch.autograd.Function):
    """Circular pad into one output buffer; ``F.pad(mode="circular")`` drops channels_last and is many times slower."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: int, after: int) -> Tensor:
        ctx.before, ctx.after = before, after
        n, c, h, w = x.shape
        shape = (n, c, h + before + after, w + before + after)
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_memory_format(x))
        inner = slice(before, before + w)
        out[:, :, before : before + h, inner] = x
        out[:, :, :before, inner] = x[:, :, h - before :]
        out[:, :, before + h :, inner] = x[:, :, :after]
        # The columns are copied from whole rows of the output, corners included.
        out[..., :before] = out[..., w : w + before]
        out[..., before + w :] = out[..., before : before + after]
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        before, after = ctx.before, ctx.after
        h, w = (side - before - after for side in grad.shape[-2:])
        rows = grad[..., before : before + w].clone(memory_format=_memory_format(grad))
        rows[..., w - before :] += grad[..., :before]
        rows[..., :after] += grad[..., before + w :]
        out = rows[:, :, before : before + h].contiguous(memory_format=_memory_format(grad))
        out[:, :, h - before :] += rows[:, :, :before]
        out[:, :, :after] += rows[:, :, before + h :]
        return out, None, None


def _memory_format(x: Tensor) -> torch.memory_format:
    if torch._C._are_functorch_transforms_active():  # vmap knows no other format
        return torch.contiguous_format
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format
