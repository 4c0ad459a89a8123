"""Pools whose filter is learned: one for each group of channels, or one for each place."""

import math
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.filters import lowpass
from lit_shift.kernels.transforms import exported
from lit_shift.padding import Padding, pad
from lit_shift.pools.pool import Pool
from lit_shift.utils.errors import InputError, at_least


class LearnedPool(Pool):
    """Dense max, a learned separable low-pass filter for each group of channels, subsampling.

    A filter's taps are the softmax of free numbers, so that they are positive and sum to 1. Both axes have the same
    taps.

    Args:
        channels: of the maps.
        filter: the taps at the start, all positive.
        groups: number of groups. If it does not divide the channels, their greatest common divisor is used.

    Raises:
        ValueError: a filter with taps that are not positive.
    """

    def __init__(self, channels: int, filter: str = "tri3", padding: Padding = "circular", groups: int = 8) -> None:
        super().__init__(filter, padding)
        taps = lowpass(filter).float()
        if not (taps > 0).all():
            raise InputError(f"filter={filter} has taps that are not positive, which a softmax cannot start at.")
        self.logits = nn.Parameter(taps.log().repeat(groups_of(channels, groups), 1))

    def blur(self, x: Tensor, stride: int) -> Tensor:
        channels, taps = x.shape[1], self.logits.softmax(1)
        each = taps.repeat_interleave(channels // len(taps), 0)[:, None].to(x.dtype)  # (C, 1, taps)
        count = taps.shape[1]
        x = pad(x, (count - 1) // 2, count // 2, self.padding)
        x = F.conv2d(x, each[..., None], stride=(stride, 1), groups=channels)
        return F.conv2d(x, each[:, :, None], stride=(1, stride), groups=channels)

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        return 0  # its filters are convolutions


class DDACPool(Pool):
    """Dense max, low-pass filters predicted at each place for each group of channels, subsampling.

    The taps are softmax(norm(conv(x))). The softmax runs over the taps of one place and group, so that these sum to 1
    and a constant map stays as it is. (With one softmax over all groups, the map would shrink by their number.)

    Source: Zou et al. 2020, *Delving Deeper into Anti-aliasing in ConvNets*. Left open there: the axis of the softmax,
    and the convolution's kernel, which here has the filter's size.

    Args:
        channels: of the maps.
        size: of the filters, 3 or 5: ``size`` x ``size`` taps.
        groups: number of groups. If it does not divide the channels, their greatest common divisor is used.
    """

    def __init__(self, channels: int, padding: Padding = "circular", size: int = 3, groups: int = 8) -> None:
        super().__init__("delta", padding)
        if size not in (3, 5):
            raise InputError(f"size={size} must be 3 or 5.")
        self.size, self.groups = size, groups_of(channels, groups)
        self.conv = nn.Conv2d(channels, self.groups * size**2, size, bias=False)
        self.norm = nn.BatchNorm2d(self.groups * size**2)

    def blur(self, x: Tensor, stride: int) -> Tensor:
        around = pad(x, self.size // 2, self.size // 2, self.padding)
        logits = self.norm(F.conv2d(around, self.conv.weight, stride=stride))
        taps = logits.unflatten(1, (self.groups, -1)).softmax(2).to(x.dtype).unbind(2)  # (N, groups, h, w) each
        height, width = x.shape[2:]
        places = [(row, col) for row in range(self.size) for col in range(self.size)]
        maps = (around[:, :, row : row + height, col : col + width] for row, col in places)
        seen = [every(stride, each).unflatten(1, (self.groups, -1)) for each in maps]
        grouped = reduce(torch.add, (tap[:, :, None] * map for tap, map in zip(taps, seen, strict=True)))
        # flatten would ask whether sides that an export leaves open are 1.
        return grouped.squeeze(2) if grouped.shape[2] == 1 else grouped.flatten(1, 2)

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        return channels * math.ceil(height / 2) * math.ceil(width / 2) * self.size**2

    def extra_repr(self) -> str:
        return f"size={self.size}, groups={self.groups}, padding={self.padding!r}"


def every(stride: int, maps: Tensor) -> Tensor:
    """Every ``stride``-th sample of maps (N, C, H, W), beginning with the first.

    In an export that leaves the sides open, only a pool is known to have as many as a convolution of this stride.
    """
    return F.max_pool2d(maps, 1, stride) if exported() else maps[:, :, ::stride, ::stride]


def groups_of(channels: int, most: int) -> int:
    """Number of groups of equal size, at most ``most``."""
    return math.gcd(at_least(1, "channels", channels), at_least(1, "groups", most))
