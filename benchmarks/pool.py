"""Pools on VGG13's five map sizes, ours and published ones: ``python -m benchmarks.pool``.

All blur with the same five binomial taps (``pascal5``). Candidates take turns within one run, since machines are shared
and their speed drifts. A figure is the median, with quartiles, of the time relative to the literal method in the same
round: circular ``F.pad``, max at stride 1, circular ``F.pad``, depthwise convolution at stride 2. The memory floor is
the time, at the speed of copying the input, to read the input and write the output; in the backward pass also to read
one gradient and write the other. There is no figure where a reflecting border would be wider than the map.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.plain import literal
from benchmarks.timing import Options, describe, quartiles, take_turns
from lit_shift.pools.pool import MaxPool, MaxPoolBlurDS
from lit_shift.training.memory import keep_freed_memory

SHAPES = [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)]
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
TAPS = 5
FLOOR = {"forward": 0.625, "forward + backward": 1.25}  # relative to a copy, which reads and writes the whole input


def published(channels: int) -> nn.Module:
    """Pool of antialiased-cnns. Its border reflects, and its max drops one row and column."""
    from antialiased_cnns import BlurPool

    return nn.Sequential(nn.MaxPool2d(2, stride=1), BlurPool(channels, filt_size=TAPS, stride=2))


def published_circular(channels: int) -> nn.Module:
    """Pool of antialiased-cnns with circular boundaries."""
    from antialiased_cnns import BlurPool

    blur = BlurPool(channels, filt_size=TAPS, stride=2)
    blur.pad = nn.CircularPad2d(2)
    return nn.Sequential(nn.CircularPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, stride=1), blur)


def timm(channels: int) -> nn.Module:
    """Dense max with timm's blur, whose border reflects."""
    from timm.layers import BlurPool2d

    return nn.Sequential(nn.MaxPool2d(2, stride=1), BlurPool2d(channels, TAPS, stride=2))


def kornia(channels: int) -> Callable[[Tensor], Tensor]:
    """Pool of kornia."""
    from kornia.filters import max_blur_pool2d

    return partial(max_blur_pool2d, kernel_size=TAPS)


class StepByStep(MaxPoolBlurDS):
    """MaxPoolBlurDS without its kernels, which subclasses do not use."""


def compiled(channels: int) -> Callable[[Tensor], Tensor]:
    """MaxPoolBlurDS compiled by ``torch.compile`` for one shape."""
    torch.compiler.reset()
    return torch.compile(StepByStep("pascal5"), dynamic=False, fullgraph=True)


# Functions that make a pool for a number of channels, by name.
CANDIDATES: dict[str, Callable[[int], Callable[[Tensor], Tensor]]] = {
    "literal": lambda channels: partial(literal, filter="pascal5"),
    "MaxPoolBlurDS": lambda channels: MaxPoolBlurDS("pascal5"),
    "MaxPool": lambda channels: MaxPool(),
    "antialiased-cnns": published,
    "antialiased-cnns, circular": published_circular,
    "kornia": kornia,
    "timm": timm,
    "nn.MaxPool2d": lambda channels: nn.MaxPool2d(2),
}
# Added where MaxPoolBlurDS uses its own GPU kernels.
ON_GPU: dict[str, Callable[[int], Callable[[Tensor], Tensor]]] = {
    "MaxPoolBlurDS, step by step": lambda channels: StepByStep("pascal5"),
    "MaxPoolBlurDS, compiled": compiled,
}
# The packages that others need.
PACKAGES = {"antialiased-cnns": "antialiased_cnns", "antialiased-cnns, circular": "antialiased_cnns"}
PACKAGES |= {"kornia": "kornia", "timm": "timm"}
REFLECTING = ("antialiased-cnns", "timm")
ALIKE = ("MaxPoolBlurDS", "antialiased-cnns, circular")  # modules that must agree with the literal method


def forward(pool: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Run a forward pass."""
    with torch.no_grad():
        pool(x)


def forward_backward(pool: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Run a forward and a backward pass."""
    x = x.detach().requires_grad_()
    y = pool(x)
    y.backward(torch.ones_like(y))


WORKS = {"forward": forward, "forward + backward": forward_backward}


def candidates(device: torch.device) -> dict[str, Callable[[int], Callable[[Tensor], Tensor]]]:
    """Return all candidates that run on a device, without those whose package is not installed."""
    every = CANDIDATES | (ON_GPU if device.type == "cuda" else {})
    return {name: make for name, make in every.items() if name not in PACKAGES or find_spec(PACKAGES[name])}


def works(work: Callable[[Callable[[Tensor], Tensor], Tensor], None], x: Tensor) -> dict[str, partial[None]]:
    """Return the work of every candidate in every layout, and of a copy."""
    found = {"copy": partial(forward, torch.clone, x)}
    for candidate, make in candidates(x.device).items():
        pool = make(x.shape[1])
        if isinstance(pool, nn.Module):
            pool = pool.to(x)
        if candidate in REFLECTING and x.shape[2] <= TAPS // 2:
            continue
        for layout, memory_format in LAYOUTS.items():
            found[f"{candidate}, {layout}"] = partial(work, pool, x.contiguous(memory_format=memory_format))
    return found


def main() -> None:
    parser = Options(__doc__, rounds=20)
    parser.add_maps()
    options = parser.parse_args()
    batch, rounds = (2, 2) if options.tiny else (options.batch, options.rounds)
    dtype = getattr(torch, options.dtype)
    keep_freed_memory()  # as in training

    how = f"batch {batch}, rounds {rounds}, {options.dtype}, {describe(options.device)}"
    tables = {name: Table(name, title=f"relative to the literal way, {how}") for name in WORKS}
    cells: dict[str, dict[str, list[str]]] = {name: {} for name in WORKS}
    for channels, side in SHAPES:
        x = torch.randn(batch, channels, side, side, device=options.device, dtype=dtype)
        for candidate in filter(candidates(options.device).get, ALIKE):
            pool = CANDIDATES[candidate](channels)
            assert isinstance(pool, nn.Module)
            tolerance = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(pool.to(x)(x), literal(x, "pascal5"), **tolerance)
        for name, work in WORKS.items():
            tables[name].add_column(f"{channels} x {side} x {side}", justify="right")
            title, turns = f"{name}, {channels} x {side} x {side}", works(work, x)
            # kornia copies its taps to the GPU in each call, which no graph can hold.
            eager = [way for way in turns if way.startswith("kornia")]
            times = take_turns(turns, rounds, options.device, title, eager)
            times["memory floor"] = FLOOR[name] * times.pop("copy")
            rows = [f"{candidate}, {layout}" for candidate in candidates(options.device) for layout in LAYOUTS]
            for candidate in [*rows, "memory floor"]:
                ratios = times[candidate] / times["literal, NCHW"] if candidate in times else None
                cells[name].setdefault(candidate, []).append("-" if ratios is None else quartiles(ratios, ".2f"))
    if left_out := [name for name in CANDIDATES if name not in candidates(options.device)]:
        print(f"Left out, because the packages are not installed: {'; '.join(left_out)}.")
    for name, table in tables.items():
        for candidate, row in cells[name].items():
            table.add_row(candidate, *row)
        Console(width=150).print(table)


if __name__ == "__main__":
    main()
