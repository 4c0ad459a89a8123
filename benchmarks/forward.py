"""Forward pass of VGG13 with each pool, beside Zhang's Table 2: ``python -m benchmarks.forward``.

The baseline is PyTorch's own ``nn.MaxPool2d``. Candidates take turns. A ratio is the median, with quartiles, of the
time relative to the baseline in the same round. A GPU replays a CUDA graph of each pass, in float32 without TF32 and in
bfloat16.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.timing import Options, describe, network, positive, quartiles, take_turns
from lit_shift.classifiers.classifier import full_precision
from lit_shift.pools.pool import MaxPool, MaxPoolBlurDS, Pool
from lit_shift.published import load


class DensePool(MaxPool):
    """Plain max pooling with its dense max evaluated everywhere, then subsampled without a blur."""

    def forward(self, x: Tensor) -> Tensor:
        # A strided view is not channels_last, and would slow down the next convolutions.
        return Pool.forward(self, x).contiguous(memory_format=torch.channels_last)


# One filter of each length, under Table 2's names.
FILTERS = {f"dense_pool_filter{name[-1]}": name for name in ("rect2", "tri3", "rect4", "tri5", "rect6", "tri7")}
POOLS: dict[str, Callable[[], Any]] = {"baseline": partial(nn.MaxPool2d, 2), "ours": MaxPool, "dense_pool": DensePool}
POOLS |= {model: partial(MaxPoolBlurDS, name) for model, name in FILTERS.items()}


@torch.no_grad()
def main() -> None:
    parser = Options(__doc__, rounds=20)
    parser.add_argument("--batch", type=positive, default=100, help="images, 100 by default")
    parser.add_argument("--width", type=positive, default=64, help="channels of the first block, 64 by default")
    parser.add_device()
    options = parser.parse_args()
    if options.tiny:
        options.batch, options.width, options.rounds = 2, 4, 1

    on_gpu = options.device.type == "cuda"
    for dtype in (torch.float32, torch.bfloat16) if on_gpu else (torch.float32,):
        with full_precision(options.device):
            compare(options, dtype)


def compare(options: Namespace, dtype: torch.dtype) -> None:
    """Time all pools with one type of numbers, and print the table."""
    x = torch.randn(options.batch, 3, 32, 32, device=options.device, dtype=dtype)
    models = {name: network(pool, options.width, options.device).to(dtype) for name, pool in POOLS.items()}
    if dtype == torch.float32:
        torch.testing.assert_close(models["dense_pool"](x), models["baseline"](x))
    passes = {name: partial(model, x) for name, model in models.items()}
    times = take_turns(passes, options.rounds, options.device, "forward passes")

    table = Table(
        *("model", "filter"),
        title=f"Forward pass of VGG13, width {options.width}, batch {options.batch}, 32x32, {str(dtype)[6:]}, "
        f"rounds {options.rounds}, {describe(options.device)}",
    )
    for column in ("ms", "ratio to the baseline", "added %", "published %"):
        table.add_column(column, justify="right")
    published = {row["model"]: row["added_percent"] for row in load("zhang_table2")}
    for name, measured in times.items():
        ratios = measured / times["baseline"]
        table.add_row(
            *(name, FILTERS.get(name, ""), f"{1000 * np.median(measured):.2f}", quartiles(ratios, ".3f")),
            *(f"{100 * np.median(ratios) - 100:.1f}", published.get(name, "")),
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
