"""Forward and backward of one pool on VGG13's five shapes: ``python -m benchmarks.pool``.

Candidates take turns within one run, since machines are shared and their speed drifts. A figure is the median, with
quartiles, of the time relative to the literal way in the same round: circular ``F.pad``, max at stride 1, circular
``F.pad``, depthwise convolution at stride 2.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.timing import Options, describe, positive, quartiles, take_turns
from lit_shift.filters import lowpass
from lit_shift.pool import MaxPool, MaxPoolBlurDS

SHAPES = [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)]


def literal(x: Tensor) -> Tensor:
    """MaxPoolBlurDS with tri5, as its definition reads."""
    taps = lowpass("tri5").to(x.dtype)
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 5, 5)
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="circular"), kernel, stride=2, groups=x.shape[1])


CANDIDATES: dict[str, tuple[Callable[[Tensor], Tensor], torch.memory_format]] = {
    "literal": (literal, torch.contiguous_format),
    "literal, channels_last": (literal, torch.channels_last),
    "MaxPoolBlurDS, NCHW": (MaxPoolBlurDS("tri5"), torch.contiguous_format),
    "MaxPoolBlurDS, channels_last": (MaxPoolBlurDS("tri5"), torch.channels_last),
    "MaxPool, NCHW": (MaxPool(), torch.contiguous_format),
    "MaxPool, channels_last": (MaxPool(), torch.channels_last),
}


def forward_backward(pool: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """One forward and backward pass."""
    x = x.detach().requires_grad_()
    y = pool(x)
    y.backward(torch.ones_like(y))


def main() -> None:
    parser = Options(__doc__, rounds=20)
    parser.add_argument("--batch", type=positive, default=128, help="images, 128 by default")
    options = parser.parse_args()
    batch, rounds = (2, 2) if options.tiny else (options.batch, options.rounds)

    cpu = torch.device("cpu")
    title = f"time relative to the literal way, batch {batch}, rounds {rounds}, float32, {describe(cpu)}"
    table = Table("forward + backward", title=title)
    cells: dict[str, list[str]] = {name: [] for name in CANDIDATES}
    for channels, side in SHAPES:
        table.add_column(f"{channels} x {side} x {side}", justify="right")
        x = torch.randn(batch, channels, side, side)
        inputs = {name: x.contiguous(memory_format=layout) for name, (_, layout) in CANDIDATES.items()}
        for name in ("MaxPoolBlurDS, NCHW", "MaxPoolBlurDS, channels_last"):
            torch.testing.assert_close(CANDIDATES[name][0](inputs[name]), literal(x))
        passes = {name: partial(forward_backward, pool, inputs[name]) for name, (pool, _) in CANDIDATES.items()}
        times = take_turns(passes, rounds, cpu, f"{channels} x {side} x {side}")
        for name, measured in times.items():
            cells[name].append(quartiles(measured / times["literal"], ".2f"))
    for name, row in cells.items():
        table.add_row(name, *row)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
