"""Outputs and features of a network at every circular shift of an image, exactly, at the cost of one dense network.

With circular boundaries every layer commutes with shifts except subsampling, which keeps one of four phases. So keep
all four at each pool, stacked in the batch: the result at the end is the network's output at every shift. For VGG13 on
32x32 images that is 9.6 GMAC per image instead of 233 for 1,024 passes.

If ``s = (-h) mod H`` is how far the output looks ahead in the unshifted image, then along an axis subsampling at shift
h sees the phase ``s mod 2``, displaced by ``s // 2``: the phases taken at successive pools are the bits of s, lowest
first.
"""

from collections.abc import Container, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lit_shift.functional import finite
from lit_shift.pools.pool import Pool, check_maps
from lit_shift.shifts import draw_offsets, roll, seeded
from lit_shift.utils.errors import InputError

BATCH = 128  # shifted images per forward pass, when measuring by brute force


def is_circular(model: nn.Module) -> bool:
    """True if every boundary of the model is circular, as :func:`orbit_logits` requires."""
    pools = [module.padding for module in model.modules() if isinstance(module, Pool)]
    convolutions = [
        module.padding_mode
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)  # 1x1 sees no boundary
    ]
    return all(padding == "circular" for padding in pools + convolutions)


def layer_names(model: Any, every: bool = False) -> list[str]:
    """Names of the layers of Zhang's Fig. 4 in order: ``pixels, conv1_2, pool1_dense, pool1_ds, ... softmax``.

    A pool counts as two layers: its dense operation, and its blurred and subsampled output.

    Args:
        model: has ``features``, a sequence of named layers and pools, and ``classify``.
        every: include all layers, not only those followed by a pool.
    """
    children = list(model.features.named_children())
    names = ["pixels"]
    for (name, layer), (_, following) in pairwise([*children, ("classifier", None)]):
        if isinstance(layer, Pool):
            names += [f"{name}_dense", f"{name}_ds"]
        elif every or isinstance(following, Pool):
            names.append(name)
    return [*names, "classifier", "softmax"]


@torch.no_grad()
def layer_phases(model: Any, x: Tensor, layers: Container[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer's map at all circular shifts, layer by layer.

    Args:
        model: in eval mode, with circular boundaries only. Any network works that has ``features``, a sequence of
            shift-equivariant layers and pools, and ``classify``, which averages over the map.
        x: (N, C, H, W)
        layers: the names wanted, from :func:`layer_names`.

    Yields:
        The name of a layer and its phases (N, S, S, C, h, w), where S is its total stride. ``[n, r, c]`` is the map of
        ``x[n]`` rolled by ``(-r, -c)``. Shifting further by multiples of S only rolls this map.

    Raises:
        ValueError: a boundary is not circular, a layer other than a pool changes the size, the model is in training
            mode, or the pools cannot halve the images.
    """
    if not is_circular(model):
        raise ValueError("All shifts at once need circular boundaries everywhere; sample shifts instead.")
    if model.training:
        raise ValueError("Batch norm mixes the shifts of a batch in training mode; call model.eval() first.")
    stride = 2 ** sum(isinstance(layer, Pool) for layer in model.features.children())
    height, width = x.shape[-2:]
    if height % stride or width % stride:
        raise InputError(
            f"Each pool halves the image, so its sides must be multiples of {stride}, not {height}x{width}."
        )
    n = len(x)
    maps = x.contiguous(memory_format=torch.channels_last)
    pools = 0
    if "pixels" in layers:
        yield "pixels", _by_phase(maps, n, pools)
    for name, layer in model.features.named_children():
        if isinstance(layer, Pool):
            check_maps(maps)
            maps = layer.dense(maps)
            if f"{name}_dense" in layers:
                yield f"{name}_dense", _by_phase(maps, n, pools)
            maps = split_phases(layer.blur(maps, stride=1))
            pools += 1
            name = f"{name}_ds"
        else:
            maps = layer(maps)
        if name in layers:
            yield name, _by_phase(maps, n, pools)
    if (maps.shape[-2] * 2**pools, maps.shape[-1] * 2**pools) != x.shape[-2:]:
        raise ValueError("A layer other than a Pool changes the size of the map; sample shifts instead.")
    logits = model.classify(maps)[:, :, None, None]
    if "classifier" in layers:
        yield "classifier", _by_phase(logits, n, pools)
    if "softmax" in layers:
        yield "softmax", _by_phase(logits.double().softmax(1), n, pools)


def _by_phase(maps: Tensor, n: int, pools: int) -> Tensor:
    """Reorder (N S S, C, h, w), stacked by successive pools, to (N, S, S, C, h, w)."""
    # The batch index reads (n, row bit 0, column bit 0, row bit 1, column bit 1, ...), lowest bits first.
    bits = maps.reshape(n, *[2] * (2 * pools), *maps.shape[1:])
    row_bits, col_bits = (range(2 * pools - first, 0, -2) for first in (1, 0))
    stride = 2**pools
    return bits.permute(0, *row_bits, *col_bits, -3, -2, -1).reshape(n, stride, stride, *maps.shape[1:])


def orbit_logits(model: Any, x: Tensor) -> Tensor:
    """Logits at all circular shifts: ``out[n, h, w]`` equals ``model(roll(x[n], (h, w)))`` up to rounding.

    Args:
        model: as for :func:`layer_phases`, with the same errors.
        x: (N, C, H, W)

    Returns:
        (N, H, W, K)
    """
    ((_, phases),) = layer_phases(model, x, ["classifier"])
    stride = phases.shape[1]
    rows, cols = (-torch.arange(side, device=x.device) % stride for side in x.shape[-2:])
    return phases[:, rows[:, None], cols, :, 0, 0]


def has_exact_orbit(model: nn.Module, x: Tensor) -> bool:
    """True if :func:`orbit_logits` agrees with the model itself, tested on images (N, C, H, W) and on noise.

    A boundary, layer or custom pool that does not commute with shifts causes a difference at one of eight random shifts
    of an image that varies. Noise always varies; it is normal, like normalised pixels. Images with outputs that are not
    finite are ignored.
    """
    noise = torch.randn(1, *x.shape[1:], generator=seeded(1)).to(x)
    x = torch.cat([x, noise])
    n, _, height, width = x.shape
    offsets = draw_offsets((n, 8), height, width, seeded(0))
    rows, cols = offsets.to(x.device).unbind(2)
    try:
        # One image at a time, since all its shifts take the memory of a batch.
        every = torch.cat([orbit_logits(model, image) for image in x.split(1)])
    except (ValueError, AttributeError):
        return False
    orbit = every[torch.arange(n, device=x.device)[:, None], rows, cols]
    found = sampled_logits(model, x, offsets)
    told = finite(orbit) | finite(found)
    size = orbit[told].abs().amax((1, 2), keepdim=True)
    return bool(told.any()) and bool(((orbit - found)[told].abs() <= 1e-3 * size).all())


def split_phases(maps: Tensor) -> Tensor:
    """The four subsamplings by 2 of each map, stacked in the batch: (N, C, H, W) -> (4N, C, H/2, W/2).

    Row ``4 n + 2 p + q`` of the result is ``maps[n, :, p::2, q::2]``.
    """
    n, c, h, w = maps.shape
    split = maps.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


@torch.no_grad()
def sampled_logits(model: nn.Module, x: Tensor, offsets: Tensor) -> Tensor:
    """Logits at given circular shifts by brute force, for networks with other than circular boundaries.

    Args:
        model: (N, C, H, W) -> (N, K), in eval mode.
        x: (N, C, H, W)
        offsets: (N, S, 2) int, S shifts per image.

    Returns:
        (N, S, K)
    """
    at_once = max(1, BATCH // len(x))
    return torch.cat(
        [
            model(roll(x.repeat_interleave(some.shape[1], 0), some.flatten(0, 1))).unflatten(0, some.shape[:2])
            for some in offsets.split(at_once, dim=1)
        ],
        dim=1,
    )
