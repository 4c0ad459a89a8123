"""Circular convolution of small maps: Fourier basis against direct: ``python -m benchmarks.convolution``.

Candidates take turns. A figure is the median, with quartiles, of the time in the Fourier basis relative to the direct
time in the same round. Below 1 the Fourier basis is faster; :func:`lit_shift.kernels.fourier_conv.is_faster` is based
on these figures.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.timing import Options, describe, positive, quartiles, take_turns
from lit_shift.kernels.fourier_conv import convolve
from lit_shift.padding import pad

# Channels in and out as multiples of the width, side of the map, and number of its phases in an orbit.
LAYERS = {"conv3_1": (2, 4, 8, 16), "conv3_2": (4, 4, 8, 16), "conv4_1": (4, 8, 4, 64), "conv4_2": (8, 8, 4, 64)}
LAYERS |= {"conv5": (8, 8, 2, 256)}


def direct(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve directly, as all other layers do."""
    return F.conv2d(pad(x, 1, 1, "circular"), weight)


def forward(way: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> None:
    """Run a forward pass."""
    with torch.no_grad():
        way(x, weight)


def forward_backward(way: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> None:
    """Run a forward and a backward pass."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = way(x, weight)
    y.backward(torch.ones_like(y))


def main() -> None:
    parser = Options(__doc__, rounds=20)
    parser.add_argument("--widths", type=positive, nargs="*", default=[16, 32, 64], help="16, 32 and 64 by default")
    parser.add_device()
    options = parser.parse_args()
    device = options.device
    rounds, widths, batch, images = (1, [4], 2, 1) if options.tiny else (options.rounds, options.widths, 128, 4)
    table = Table(
        *("layer", "channels", "map"),
        title=f"Fourier basis relative to direct, float32, rounds {rounds}, {describe(device)}",
    )
    for column in (f"training, batch {batch}", f"all shifts, {images} images"):
        table.add_column(column, justify="right")
    for width in widths:
        for name, (before, after, side, phases) in LAYERS.items():
            c, k = before * width, after * width
            weight = torch.randn(k, c, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
            cells = []
            for n, work in ((batch, forward_backward), (images * phases, forward)):
                x = torch.randn(n, c, side, side, device=device).contiguous(memory_format=torch.channels_last)
                torch.testing.assert_close(convolve(x, weight), direct(x, weight), rtol=1e-3, atol=1e-3 * c**0.5)
                works = {way.__name__: partial(work, way, x, weight) for way in (direct, convolve)}
                times = take_turns(works, rounds, device, f"{name}, width {width}")
                cells.append(quartiles(times["convolve"] / times["direct"], ".2f"))
            table.add_row(name, f"{c} to {k}", f"{side}x{side}", *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
