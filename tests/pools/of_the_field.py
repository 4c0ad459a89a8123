"""Every pool of the package, with parameters that are not those of its start."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from lit_shift.padding import PADDINGS, Padding
from lit_shift.pools import (
    APSPool,
    ASAPPool,
    AvgPool,
    ConvBlurDS,
    DDACPool,
    FLCPool,
    IdealPool,
    L2PoolBlurDS,
    LearnedPool,
    LPSPool,
    MaxPool,
    MaxPoolBlurDS,
    TIPSPool,
)
from lit_shift.pools.pool import made

POOLS = {
    "max": MaxPool,
    "blur": MaxPoolBlurDS,
    "avg": AvgPool,
    "aps": APSPool,
    "aps-tri3": partial(APSPool, filter="tri3"),
    "lps": LPSPool,
    "lps-rect2": partial(LPSPool, filter="rect2"),
    "ddac": DDACPool,
    "ddac5": partial(DDACPool, size=5),
    "tips": TIPSPool,
    "learned": LearnedPool,
    "learned-tri7": partial(LearnedPool, filter="tri7"),
    "ideal": IdealPool,
    "flc": FLCPool,
    "asap": ASAPPool,
    "l2": L2PoolBlurDS,
    "conv": ConvBlurDS,
}
EVERY_SHIFT = ("aps", "aps-tri3", "lps", "lps-rect2")  # commute with odd shifts, too
SPECTRAL = ("ideal", "flc", "asap")


def trained(net: nn.Module) -> nn.Module:
    """Give a network or pool parameters and batch norms that are not trivial, in float64 and evaluation mode."""
    torch.manual_seed(1)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(3 / layer.weight[0].numel()) ** 0.5)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.bias, std=0.3)
        if isinstance(layer, LearnedPool):
            nn.init.normal_(layer.logits)
    return net.double().eval()


def paddings_of(name: str) -> tuple[Padding, ...]:
    """Names of the paddings that a pool takes."""
    return PADDINGS[:1] if name in SPECTRAL else PADDINGS


class Every(nn.Module):
    """All pools that take a padding, or those named: what they make of the same maps (N, 4, H, W), by name."""

    def __init__(self, padding: Padding, names: Iterable[str] = POOLS) -> None:
        super().__init__()
        names = [name for name in names if padding in paddings_of(name)]
        self.pools = nn.ModuleDict({name: pool_of(name, 4, padding=padding).float() for name in names})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: pool(x) for name, pool in self.pools.items()}


def pool_of(name: str, channels: int, **options: str) -> nn.Module:
    """Make a trained pool by its name, the same each time."""
    torch.manual_seed(1)
    return trained(made(partial(POOLS[name], **options), channels))
