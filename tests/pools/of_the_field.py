"""Every pool of the package, with parameters that are not those of its start."""

from functools import partial

import torch
from torch import nn

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


def pool_of(name: str, channels: int, **options: str) -> nn.Module:
    """Make a trained pool by its name."""
    return trained(made(partial(POOLS[name], **options), channels))
