"""The four phases of subsampling by 2, and the four shifts that bring each of them first."""

import torch
from torch import Tensor

OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))  # row and column of each phase, in the order of every stack of four


def split_phases(maps: Tensor) -> Tensor:
    """The four subsamplings by 2 of each map, stacked in the batch: (N, C, H, W) -> (4N, C, H/2, W/2).

    Row ``4 n + 2 p + q`` of the result is ``maps[n, :, p::2, q::2]``.
    """
    n, c, h, w = maps.shape
    split = maps.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


def shifted_to_phases(maps: Tensor) -> Tensor:
    """Each map at the four shifts that bring one of its phases to the front: (N, C, H, W) -> (4N, C, H, W).

    Row ``4 n + 2 p + q`` of the result is ``maps[n]`` rolled by ``(-p, -q)``.
    """
    return torch.stack([maps.roll((-p, -q), (2, 3)) for p, q in OFFSETS], dim=1).flatten(0, 1)
