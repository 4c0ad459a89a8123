# mypy: disable-error-code="no-untyped-def, assignment"
"""Circular borders of one sample on each side, which a 3x3 convolution reads, in Triton kernels."""

import triton
import triton.language as tl


@triton.jit
def again(at, SIZE: tl.constexpr):
    """Return where in a bordered axis a sample is repeated, and if it is: the first at the end, the last at the start.

    There are at least two samples.
    """
    return tl.where(at == 0, SIZE + 1, 0), (at == 0) | (at == SIZE - 1)


@triton.jit
def folded(maps, row, column, channel, inside, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, BORDER: tl.constexpr):
    """Sum the gradient of a sample and those of the border's samples that repeat it.

    ``maps`` points to the gradients of the samples' images, whose maps of H x W samples have a border if ``BORDER``.
    """
    WIDTH: tl.constexpr = W + 2 * BORDER
    here = ((row + BORDER) * WIDTH + column + BORDER) * C + channel
    total = tl.load(maps + here, inside, other=0.0).to(tl.float32)
    if BORDER:
        row += 0 * column  # masks of several numbers take no condition of a single one
        below, at_end = again(row, H)
        beside, at_side = again(column, W)
        at_end, at_side = inside & at_end, inside & at_side
        total += tl.load(maps + (below * WIDTH + column + 1) * C + channel, at_end, other=0.0).to(tl.float32)
        total += tl.load(maps + ((row + 1) * WIDTH + beside) * C + channel, at_side, other=0.0).to(tl.float32)
        total += tl.load(maps + (below * WIDTH + beside) * C + channel, at_end & at_side, other=0.0).to(tl.float32)
    return total
