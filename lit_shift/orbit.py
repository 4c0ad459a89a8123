"""Logits at every circular shift of an image, exactly, at the cost of one network without subsampling.

With circular boundaries every layer commutes with shifts but the subsampling, which keeps one of four phases. So keep
all four, stacked in the batch, at each pool: what reaches the end is the network's output at every shift. For VGG13 on
32x32 images that is 9.6 GMAC an image instead of 233 for 1,024 passes.

If ``s = (-h) mod H`` is how far the output looks ahead in the unshifted image, then subsampling at shift h sees the
phase ``s mod 2`` of an axis, displaced by ``s // 2``: the phases taken at successive pools are the bits of s, lowest
first.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lit_shift.pool import Pool, check_even
from lit_shift.shifts import draw_offsets, roll, seeded


def is_circular(model: nn.Module) -> bool:
    """Whether every boundary of the model is circular, so that :func:`orbit_logits` is exact for it."""
    pools = [module.padding for module in model.modules() if isinstance(module, Pool)]
    convolutions = [module.padding_mode for module in model.modules() if isinstance(module, nn.Conv2d)]
    return all(padding == "circular" for padding in pools + convolutions)


@torch.no_grad()
def orbit_logits(model: Any, x: Tensor) -> Tensor:
    """Logits at all circular shifts; ``out[n, h, w]`` is ``model(roll(x[n], (h, w)))`` to rounding.

    Args:
        model: in eval mode, all boundaries circular. Any network will do that has ``features``, a sequence of
            shift-equivariant layers and pools, and ``classify``, which averages over the map.
        x: (N, C, H, W)

    Returns:
        (N, H, W, K)

    Raises:
        ValueError: a boundary that is not circular, a layer other than a pool that subsamples, or a model in training
            mode.
    """
    if not is_circular(model):
        raise ValueError("All shifts at once need circular boundaries everywhere; sample shifts instead.")
    if model.training:
        raise ValueError("Batch norm mixes the shifts of a batch in training mode; call model.eval() first.")
    n, _, height, width = x.shape
    maps = x.contiguous(memory_format=torch.channels_last)
    pools = 0
    for layer in model.features:
        if isinstance(layer, Pool):
            check_even(maps)
            maps = split_phases(layer.blur(layer.dense(maps), stride=1))
            pools += 1
        else:
            maps = layer(maps)
    if (maps.shape[-2] * 2**pools, maps.shape[-1] * 2**pools) != (height, width):
        raise ValueError("A layer that is no Pool changes the size of the map; sample shifts instead.")
    logits = model.classify(maps)
    # The batch index reads (n, row bit 0, column bit 0, row bit 1, column bit 1, ...), lowest bits first.
    bits = logits.view(n, *[2] * (2 * pools), -1)
    row_bits, col_bits = (range(2 * pools - first, 0, -2) for first in (1, 0))
    stride = 2**pools
    phases = bits.permute(0, *row_bits, *col_bits, -1).reshape(n, stride, stride, -1)
    rows, cols = (-torch.arange(side, device=x.device) % stride for side in (height, width))
    return phases[:, rows[:, None], cols]


def has_exact_orbit(model: nn.Module, x: Tensor) -> bool:
    """Whether :func:`orbit_logits` is what the model itself answers, tried on images (N, C, H, W) at eight shifts.

    A boundary, a layer or a pool of one's own that does not commute with shifts makes it differ.
    """
    try:
        every = orbit_logits(model, x)
    except (ValueError, AttributeError):
        return False
    n, _, height, width = x.shape
    offsets = draw_offsets((n, 8), height, width, seeded(0))
    rows, cols = offsets.to(x.device).unbind(2)
    orbit = every[torch.arange(n, device=x.device)[:, None], rows, cols]
    tolerance = 1e-3 * orbit.abs().max().item()
    return torch.allclose(orbit, sampled_logits(model, x, offsets), rtol=0, atol=tolerance)


def split_phases(maps: Tensor) -> Tensor:
    """The four subsamplings by 2 of each map, stacked in the batch: (N, C, H, W) -> (4N, C, H/2, W/2).

    Row ``4 n + 2 p + q`` of the result is ``maps[n, :, p::2, q::2]``.
    """
    n, c, h, w = maps.shape
    split = maps.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


@torch.no_grad()
def sampled_logits(model: nn.Module, x: Tensor, offsets: Tensor) -> Tensor:
    """Logits at given circular shifts by brute force, for networks whose boundaries are not circular.

    Args:
        model: (N, C, H, W) -> (N, K), in eval mode.
        x: (N, C, H, W)
        offsets: (N, S, 2) int, S shifts for each image.

    Returns:
        (N, S, K)
    """
    return torch.stack([model(roll(x, shift)) for shift in offsets.unbind(1)], dim=1)
