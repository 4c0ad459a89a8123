# mypy: disable-error-code="no-untyped-def, assignment, misc"
# ruff: noqa: RUF005
"""MaxPoolBlurDS as one Triton kernel per direction: it reads a map and writes the result, with nothing in between.

Both kernels go through a piece of the map column by column, and keep what the next columns need: forward, the maxima of
vertical pairs and the columns that are blurred vertically; backward, the columns of the gradient to which the vertical
half of the transposed blur has been applied. Each sample is loaded once for a piece, and each half of a blur multiplies
once for each tap. A program has several pieces and up to 64 channels, which lie side by side in channels_last.

A *column* here is a tuple with one tensor (pieces, channels) for each row.
"""

from collections.abc import Sequence
from math import gcd
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lit_shift.kernels.triton_border import again, folded

CHANNELS = 64  # of a program, at most
NUMBERS = 512  # pieces times channels of a program: four for each of its 128 threads
ROWS, COLUMNS = 2, 4  # of the result in a piece, at most; a larger piece has less margin, and needs more registers
BACKWARD_ROWS, BACKWARD_COLUMNS = 1, 4


@triton.jit
def _pieces(
    total, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PIECES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Image, first row and first column (in the halved map of H x W samples) of a program's pieces, and its channels.

    Each is a column or a row of a (pieces, channels) tensor. Also which of its numbers exist.
    """
    ACROSS: tl.constexpr = W // COLUMNS
    EACH: tl.constexpr = H // ROWS * ACROSS
    piece = tl.program_id(0) * PIECES + tl.arange(0, PIECES)[:, None]
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    image, within = (piece // EACH).to(tl.int64), piece % EACH
    return image, within // ACROSS * ROWS, within % ACROSS * COLUMNS, channel, (piece < total) & (channel < C)


@triton.jit
def _samples(x, row, column, channel, inside, COUNT: tl.constexpr, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr):
    """Load a column of samples below ``row``, up to four maps beyond the border."""
    across = (column + 4 * W) % W
    samples = ()
    for i in tl.static_range(COUNT):
        place = ((row + (i + 4 * H)) % H * W + across) * C + channel
        samples = samples + (tl.load(x + place, inside, other=0.0).to(tl.float32),)
    return samples


@triton.jit
def _larger(first, second):
    return tl.maximum(first, second, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _pairs(samples):
    """Max of each sample of a column and the one below."""
    pairs = ()
    for i in tl.static_range(len(samples) - 1):
        pairs = pairs + (_larger(samples[i], samples[i + 1]),)
    return pairs


@triton.jit
def _blurred(left, right, TAPS: tl.constexpr, ROWS: tl.constexpr):
    """Blur a column of the dense max vertically and keep every second row, given its pairs and those to its right."""
    dense = ()
    for i in tl.static_range(len(left)):
        dense = dense + (_larger(left[i], right[i]),)
    blurred = ()
    for i in tl.static_range(ROWS):
        total = TAPS[0] * dense[2 * i]
        for k in tl.static_range(1, len(TAPS)):
            total += TAPS[k] * dense[2 * i + k]
        blurred = blurred + (total,)
    return blurred


@triton.jit
def _zero(like):
    return tl.full(like.shape, 0.0, tl.float32)


@triton.jit
def _zeros(column, ROWS: tl.constexpr):
    """Return a column of zeros, shaped like another one."""
    zeros = ()
    for _ in tl.static_range(ROWS):
        zeros = zeros + (_zero(column[0]),)
    return zeros


@triton.jit
def _store(
    y, row, column, channel, inside, value, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, BORDER: tl.constexpr
):
    """Store a sample, also where the border repeats it."""
    WIDTH: tl.constexpr = W + 2 * BORDER
    tl.store(y + ((row + BORDER) * WIDTH + column + BORDER) * C + channel, value, inside)
    if BORDER:
        below, at_end = again(row, H)
        beside, at_side = again(column, W)
        at_end, at_side = inside & at_end, inside & at_side
        tl.store(y + (below * WIDTH + column + 1) * C + channel, value, at_end)
        tl.store(y + ((row + 1) * WIDTH + beside) * C + channel, value, at_side)
        tl.store(y + (below * WIDTH + beside) * C + channel, value, at_end & at_side)


@triton.jit
def _forward(
    x, y, total, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, TAPS: tl.constexpr, BORDER: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PIECES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    n: tl.constexpr = len(TAPS)
    before: tl.constexpr = (n - 1) // 2
    count: tl.constexpr = 2 * ROWS + n - 1
    image, row, column, channel, inside = _pieces(total, H // 2, W // 2, C, ROWS, COLUMNS, PIECES, CHANNELS)
    x += image * (H * W * C)
    y += image * ((H // 2 + 2 * BORDER) * (W // 2 + 2 * BORDER) * C)
    # The first result needs n - 2 columns to the left of its own two: the loop starts with these, two at a time.
    odd: tl.constexpr = n % 2 if n > 1 else 0
    top, at = 2 * row - before, 2 * column - before - odd
    left = _pairs(_samples(x, top, at, channel, inside, count, H, W, C))
    kept = ()  # columns after the vertical blur
    for _ in tl.static_range(n - 2):
        kept = kept + (_zeros(left, ROWS),)
    for j in range(-before, COLUMNS):
        for _ in tl.static_range(2):
            at += 1
            right = _pairs(_samples(x, top, at, channel, inside, count, H, W, C))
            kept = kept + (_blurred(left, right, TAPS, ROWS),)
            left = right
        for i in tl.static_range(ROWS):
            result = TAPS[0] * kept[0][i]
            for k in tl.static_range(1, n):
                result += TAPS[k] * kept[k][i]
            _store(y, row + i, column + j, channel, inside & (j >= 0), result, H // 2, W // 2, C, BORDER)
        kept = kept[2:]


@triton.jit
def _spread(
    grad, row, column, channel, inside, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, TAPS: tl.constexpr,
    BORDER: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Spread a column of the result's gradient vertically, as the transposed blur does.

    Returns the rows of the dense max from the one above the piece to its last one, 2 ``ROWS`` + 1.
    """
    before: tl.constexpr = (len(TAPS) - 1) // 2
    first: tl.constexpr = -((len(TAPS) - before) // 2)  # of the rows that the filter reaches, from the piece's first
    count: tl.constexpr = (2 * ROWS - 1 + before) // 2 - first + 1
    across = (column + 4 * W) % W
    seen = ()
    for i in tl.static_range(count):
        seen = seen + (folded(grad, (row + (i + first + 4 * H)) % H, across, channel, inside, H, W, C, BORDER),)
    spread = ()
    for r in tl.static_range(2 * ROWS + 1):
        total = _zero(seen[0])
        for k in tl.static_range(len(TAPS)):
            if (r - 1 + before - k) % 2 == 0:
                total += TAPS[k] * seen[(r - 1 + before - k) // 2 - first]
        spread = spread + (total,)
    return spread


@triton.jit
def _across(ring, ODD: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr):
    """Spread columns horizontally: gradient of the dense max in an even or the following odd column."""
    before: tl.constexpr = (len(TAPS) - 1) // 2
    first: tl.constexpr = -((len(TAPS) - 1 - before) // 2)
    dense = ()
    for r in tl.static_range(2 * ROWS + 1):
        total = _zero(ring[0][r])
        for k in tl.static_range(len(TAPS)):
            if (ODD + before - k) % 2 == 0:
                total += TAPS[k] * ring[(ODD + before - k) // 2 - first][r]
        dense = dense + (total,)
    return dense


@triton.jit
def _to_first(left, right, dense, ROWS: tl.constexpr):
    """Give each window's gradient to the first of its largest samples, in row-major order. A NaN never gets any.

    Returns what the piece's samples of the left column get, and what those of the right one get.
    """
    zero = _zero(dense[0])
    lefts, rights = (), ()
    of_left, of_right = zero, zero  # what the lower two samples of the window above get
    for r in tl.static_range(2 * ROWS + 1):
        a, b, c, d = left[r], right[r], left[r + 1], right[r + 1]
        largest = _larger(_larger(a, b), _larger(c, d))
        first, second, third = a == largest, b == largest, c == largest
        if r > 0:
            lefts = lefts + (of_left + tl.where(first, dense[r], 0.0),)
            rights = rights + (of_right + tl.where(second & (first == 0), dense[r], 0.0),)
        taken = first | second
        of_left = tl.where(third & (taken == 0), dense[r], 0.0)
        of_right = tl.where((d == largest) & ((taken | third) == 0), dense[r], 0.0)
    return lefts, rights


@triton.jit
def _backward(
    x, grad, out, total, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, TAPS: tl.constexpr, BORDER: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PIECES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    n: tl.constexpr = len(TAPS)
    before: tl.constexpr = (n - 1) // 2
    last: tl.constexpr = (1 + before) // 2  # of the columns that the filter reaches, from the current one
    width: tl.constexpr = last + (n - 1 - before) // 2 + 1
    image, row, column, channel, inside = _pieces(total, H // 2, W // 2, C, ROWS, COLUMNS, PIECES, CHANNELS)
    x += image * (H * W * C)
    out += image * (H * W * C)
    grad += image * ((H // 2 + 2 * BORDER) * (W // 2 + 2 * BORDER) * C)
    top = 2 * row - 1
    left = _samples(x, top, 2 * column - 2, channel, inside, 2 * ROWS + 2, H, W, C)
    ring = ()  # columns of the gradient after the vertical half, from those that the filter reaches
    for _ in tl.static_range(width):
        ring = ring + (_zeros(left, 2 * ROWS + 1),)
    carried = _zeros(left, 2 * ROWS)  # what the windows to the left give to a column's samples
    # The columns to the left come first: their gradient fills the ring, and the last one's windows reach the piece.
    for j in range(-width, COLUMNS):
        ring = ring[1:] + (
            _spread(grad, row, column + j + last, channel, inside, H // 2, W // 2, C, TAPS, BORDER, ROWS),
        )
        if j >= -1:
            for odd in tl.static_range(2):
                at = 2 * (column + j) + odd
                right = _samples(x, top, at + 1, channel, inside, 2 * ROWS + 2, H, W, C)
                lefts, rights = _to_first(left, right, _across(ring, odd, TAPS, ROWS), ROWS)
                for i in tl.static_range(2 * ROWS):
                    place = ((2 * row + i) * W + at) * C + channel
                    tl.store(out + place, carried[i] + lefts[i], inside & (j >= 0))
                left = right
                carried = rights


def forward(x: Tensor, taps: tuple[float, ...], border: int = 0) -> Tensor:
    """Dense max, blur and every second sample on a torus, with sums in float32.

    Args:
        x: (N, C, H, W) in channels_last on a GPU, H and W even.
        taps: the filter's, at most 7.
        border: width of a circular border around the result, 0 or 1; with a border, H and W are at least 4.

    Returns:
        (N, C, H/2 + 2 border, W/2 + 2 border) in channels_last.
    """
    n, c, h, w = x.shape
    shape = (n, c, h // 2 + 2 * border, w // 2 + 2 * border)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    _launch(_forward, (x, y), x.shape, taps, border, ROWS, COLUMNS)
    return y


def backward(x: Tensor, grad: Tensor, taps: tuple[float, ...], border: int = 0) -> Tensor:
    """Gradient of :func:`forward` with respect to ``x``. Of equal samples in a window the first one receives it.

    Args:
        x, taps, border: as for :func:`forward`.
        grad: gradient with respect to its result, in channels_last.

    Returns:
        (N, C, H, W) in channels_last.
    """
    out = torch.empty_like(x)
    _launch(_backward, (x, grad, out), x.shape, taps, border, BACKWARD_ROWS, BACKWARD_COLUMNS)
    return out


def _launch(
    kernel: Any, maps: Sequence[Tensor], shape: torch.Size, taps: tuple[float, ...], border: int, most: int, wide: int
) -> None:
    n, c, h, w = shape
    constants = geometry(c, h, w, most, wide)
    pieces = n * (h // 2 // constants["ROWS"]) * (w // 2 // constants["COLUMNS"])
    programs = triton.cdiv(pieces, constants["PIECES"]), triton.cdiv(c, constants["CHANNELS"])
    with torch.cuda.device_of(maps[0]):
        kernel[programs](*maps, pieces, h, w, c, taps, border, **constants, enable_fp_fusion=True)


def geometry(c: int, h: int, w: int, most: int, wide: int) -> dict[str, int]:
    """Return a piece's rows and columns, and a program's pieces and channels, for maps (C, H, W)."""
    channels = min(CHANNELS, triton.next_power_of_2(c))
    return {
        "ROWS": gcd(h // 2, most),
        "COLUMNS": gcd(w // 2, wide),
        "PIECES": NUMBERS // channels,
        "CHANNELS": channels,
    }
