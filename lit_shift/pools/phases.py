"""The four phases of subsampling by 2, and the four shifts that bring each of them first."""

import torch
from torch import Tensor

from lit_shift.kernels.transforms import exported
from lit_shift.padding import Padding, pad

OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))  # row and column of each phase, in the order of every stack of four


def split_phases(maps: Tensor) -> Tensor:
    """The four subsamplings by 2 of each map, stacked in the batch: (N, C, H, W) -> (4N, C, H/2, W/2), H and W even.

    Row ``4 n + 2 p + q`` of the result is ``maps[n, :, p::2, q::2]``.
    """
    n, c, h, w = maps.shape
    split = maps.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


def padded_phases(maps: Tensor, padding: Padding) -> Tensor:
    """The four phases of maps with sides of any length: (N, C, H, W) -> (4N, C, ceil(H/2), ceil(W/2)).

    Of an odd side the second phase is one sample shorter. It ends with the sample that is seen beyond the border.
    """
    if has_even_sides(maps, padding):
        return split_phases(maps)
    h, w = maps.shape[2:]
    around = pad(maps, 0, 1, padding)
    return torch.stack([around[:, :, p : p + h : 2, q : q + w : 2] for p, q in OFFSETS], dim=1).flatten(0, 1)


def has_even_sides(maps: Tensor, padding: Padding) -> bool:
    """True if sides are known to be even, as they are with circular padding. An exported program takes both."""
    return padding == "circular" or not (exported() or any(side % 2 for side in maps.shape[2:]))


def shifted_to_phases(maps: Tensor) -> Tensor:
    """Each map at the four shifts that bring one of its phases to the front: (N, C, H, W) -> (4N, C, H, W).

    Row ``4 n + 2 p + q`` of the result is ``maps[n]`` rolled by ``(-p, -q)``.
    """
    return torch.stack([maps.roll((-p, -q), (2, 3)) for p, q in OFFSETS], dim=1).flatten(0, 1)
