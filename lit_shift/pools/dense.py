"""Pools with another dense operation than max, blurred like it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.padding import Padding, pad
from lit_shift.pools.pool import Pool
from lit_shift.utils.errors import at_least


class L2PoolBlurDS(Pool):
    """Root mean square over 2x2 in place of max, low-pass filter, subsampling.

    Source: Zhang's rule (section 3) applied to the L2 pooling of Henaff & Simoncelli 2016, who take the root of the
    blurred squares. The square root's gradient is 0 where a whole window is 0.
    """

    def __init__(self, filter: str = "tri5", padding: Padding = "circular") -> None:
        super().__init__(filter, padding)

    def dense(self, x: Tensor) -> Tensor:
        precise = x.to(torch.promote_types(x.dtype, torch.float32))  # squares leave the range of float16
        mean = F.avg_pool2d(pad(precise, 0, 1, self.padding).square(), 2, stride=1)
        return mean.where(mean != 0, 1).sqrt().where(mean != 0, 0).to(x.dtype)


class ConvBlurDS(Pool):
    """A learned 3x3 convolution at stride 1, batch norm and ReLU, then low-pass filter, subsampling.

    Source: Zhang's rule (section 3) for a strided convolution, which here takes the pool's place as in Springenberg et
    al. 2014 (*Striving for Simplicity*).

    Args:
        channels: of the maps, before and after.
    """

    def __init__(self, channels: int, filter: str = "tri5", padding: Padding = "circular") -> None:
        super().__init__(filter, padding)
        at_least(1, "channels", channels)
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def dense(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(pad(x, 1, 1, self.padding))))
