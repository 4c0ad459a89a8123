"""Batch norm, ReLU and circular border on VGG13's maps, ours and step by step: ``python -m benchmarks.norm``.

Candidates take turns; a GPU replays CUDA graphs. A figure is the median, with quartiles, of the time of a forward and a
backward pass relative to the step-by-step way (``nn.BatchNorm2d``, ReLU, circular pad) in the same round. The memory
floor is the time, at the speed of copying the input, to read the input and write the output, and to read it again with
the gradient of the output and write that of the input.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.pool import SHAPES, forward_backward
from benchmarks.timing import Options, describe, quartiles, take_turns
from lit_shift.kernels import gpu_norm
from lit_shift.padding import pad

FLOOR = 2.5  # relative to a copy, which reads and writes the input once


def by_steps(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise, apply ReLU and pad, as on a CPU."""
    return pad(F.relu(norm(x), inplace=True), 1, 1, "circular")


def plainly(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Do the same in PyTorch's own operations, for its compiler."""
    return F.pad(F.relu(norm(x)), (1, 1, 1, 1), mode="circular")


def main() -> None:
    parser = Options(__doc__, rounds=20)
    parser.add_maps()
    options = parser.parse_args()
    batch, rounds = (2, 1) if options.tiny else (options.batch, options.rounds)
    how = f"batch {batch}, rounds {rounds}, {options.dtype}, {describe(options.device)}"
    table = Table("norm, ReLU and border, forward + backward", title=f"relative to step by step, {how}")
    cells: dict[str, list[str]] = {}
    for channels, side in SHAPES:
        table.add_column(f"{channels} x {side} x {side}", justify="right")
        x = torch.randn(batch, channels, side, side, device=options.device, dtype=getattr(torch, options.dtype))
        x, norm = x.contiguous(memory_format=torch.channels_last), nn.BatchNorm2d(channels).to(options.device)
        ways: dict[str, Callable[[Tensor], Tensor]] = {"step by step": partial(by_steps, norm)}
        if gpu_norm.applies(norm, x):
            ways["ours"] = partial(gpu_norm.norm_relu, norm, border=1)
            torch.compiler.reset()
            ways["compiled"] = torch.compile(partial(plainly, norm), dynamic=False, fullgraph=True)
        works: dict[str, Callable[[], object]] = {name: partial(forward_backward, way, x) for name, way in ways.items()}
        works["copy"] = partial(torch.clone, x)
        times = take_turns(works, rounds, options.device, f"{channels} x {side} x {side}")
        times["memory floor"] = FLOOR * times.pop("copy")
        for name, measured in times.items():
            cells.setdefault(name, []).append(quartiles(measured / times["step by step"], ".2f"))
    for name, row in cells.items():
        table.add_row(name, *row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
