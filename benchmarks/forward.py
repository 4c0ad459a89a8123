"""Forward pass of VGG13 with each pool, beside Zhang's Table 2: ``python -m benchmarks.forward``.

Candidates take turns. A ratio is the median, with quartiles, of the time relative to the baseline in the same round.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.timing import Options, describe, network, positive, quartiles, take_turns
from lit_shift.pools.pool import MaxPool, MaxPoolBlurDS, Pool
from lit_shift.published import load


class DensePool(MaxPool):
    """Plain max pooling with its dense max evaluated everywhere, then subsampled without a blur."""

    def forward(self, x: Tensor) -> Tensor:
        # A strided view is not channels_last, and would slow down the next convolutions.
        return Pool.forward(self, x).contiguous(memory_format=torch.channels_last)


# One filter of each length, under Table 2's names.
FILTERS = {f"dense_pool_filter{name[-1]}": name for name in ("rect2", "tri3", "rect4", "tri5", "rect6", "tri7")}
POOLS: dict[str, Callable[[], Pool]] = {"baseline": MaxPool, "dense_pool": DensePool}
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

    x = torch.randn(options.batch, 3, 32, 32, device=options.device)
    models = {name: network(pool, options.width, options.device) for name, pool in POOLS.items()}
    torch.testing.assert_close(models["dense_pool"](x), models["baseline"](x))
    passes = {name: partial(model, x) for name, model in models.items()}
    times = take_turns(passes, options.rounds, options.device, "forward passes")

    table = Table(
        *("model", "filter"),
        title=f"Forward pass of VGG13, width {options.width}, batch {options.batch}, 32x32, float32, "
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
