"""Subsampling that gives its results at four shifts at once, in any network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from lit_shift.pools.choosing import ChoosingPool
from lit_shift.pools.phases import shifted_to_phases
from lit_shift.pools.pool import Pool, outside_pools
from lit_shift.utils.errors import InputError

STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
IMAGES = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, Pool)  # whose maps are (N, C, H, W)
INSTEAD = "lit_shift.orbit.sampled_logits measures a sample of shifts instead."

SeeDense = Callable[[Pool, Tensor], object]


def check_boundaries(model: nn.Module) -> None:
    """Raise an InputError unless all boundaries are circular and some layer subsamples by 2. It names the layer."""
    layers = outside_pools(model)
    for name, module in layers:
        if padding := _other_padding(module):
            raise InputError(
                f"All shifts at once need circular boundaries everywhere, but {name} ({type(module).__name__}) has "
                f"{padding}. {INSTEAD}"
            )
    if not any(_subsamples(module) for _, module in layers):
        raise InputError(
            "The network has no layer that is known to subsample by 2 (a pool of lit_shift, or nn.Conv2d, nn.MaxPool2d "
            f"or nn.AvgPool2d of stride 2), so there is nothing to take at all shifts at once. {INSTEAD}"
        )


def _other_padding(module: nn.Module) -> str:
    """Describe a boundary that is not circular; empty if there is none."""
    if isinstance(module, Pool):
        return "" if module.padding == "circular" else f"padding={module.padding}"
    if not isinstance(module, STRIDED):
        return ""
    padding: Any = module.padding  # numbers, or the words "same" and "valid"
    if padding == "valid" or not any(_pair(padding)):
        return ""
    if isinstance(module, nn.Conv2d):
        return f"padding_mode={module.padding_mode!r}" if module.padding_mode != "circular" else ""
    return f"padding={padding}"


def _subsamples(module: nn.Module) -> bool:
    return isinstance(module, Pool) or (isinstance(module, STRIDED) and _pair(module.stride) == (2, 2))


@contextmanager
def every_phase(
    model: nn.Module, height: int, width: int, images: int, see_dense: SeeDense | None = None
) -> Iterator[None]:
    """While open, each subsampling in the model's forward pass gives its results at four shifts, stacked in the batch.

    Args:
        model: in eval mode.
        height: of the images.
        width: of the images.
        images: number of images in the batch.
        see_dense: called with each pool that has a dense operation, and the dense maps.

    Raises:
        InputError: in the forward pass, for an odd map that would have to be halved, or from a layer that changes the
            size of its map in another way.
    """

    def check_size(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[2:].numel() == 1:
            return
        h, w = output.shape[2:]
        stride = 2 ** subsamplings_before(output, images)
        # Other modules that keep a shape may have any axes, such as a LayerNorm with the channels last.
        kept = not isinstance(module, IMAGES) and any(getattr(x, "shape", ())[1:] == output.shape[1:] for x in inputs)
        if (h * stride, w * stride) != (height, width) and not kept:
            raise InputError(
                f"All shifts at once need layers that keep the size of a map, or halve it by a stride of 2, but {name} "
                f"({type(module).__name__}) makes it {h}x{w} where {height // stride}x{width // stride} was expected. "
                f"{INSTEAD}"
            )

    with ExitStack() as stack:
        for name, module in outside_pools(model):
            if not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                stack.enter_context(module.register_forward_hook(partial(check_size, name)))
            if _subsamples(module):
                stack.enter_context(_replaced(module, _stacking(name, module, see_dense)))
        yield


@contextmanager
def _replaced(module: nn.Module, methods: dict[str, Callable[..., Tensor]]) -> Iterator[None]:
    own = {key: module.__dict__[key] for key in methods if key in module.__dict__}
    module.__dict__ |= methods
    try:
        yield
    finally:
        for key in methods:
            del module.__dict__[key]
        module.__dict__ |= own


def _stacking(name: str, layer: nn.Module, see_dense: SeeDense | None) -> dict[str, Callable[..., Tensor]]:
    """Return the methods with which a layer gives its results at four shifts."""
    forward = layer.forward

    def even(x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        if h % 2 or w % 2:
            raise InputError(f"{name} halves the map, so its height and width must be even, not {h}x{w}.")
        return x

    def dense(pool: Pool, x: Tensor) -> Tensor:
        maps = pool.before(even(x))
        if see_dense and pool.has_dense:
            see_dense(pool, maps)
        return maps

    if isinstance(layer, ChoosingPool) and in_steps(layer):
        choose, keep = layer.choose, layer.keep

        def choice(x: Tensor) -> Tensor:
            return choose(shifted_to_phases(layer.before(even(x))))

        def pool(x: Tensor, choice: Tensor | None = None) -> Tensor:
            maps = shifted_to_phases(dense(layer, x))
            return keep(maps, choose(maps) if choice is None else choice)

        return {"forward": pool, "choice": choice}
    if isinstance(layer, Pool) and in_steps(layer):
        return {"forward": lambda x: layer.phases(dense(layer, x))}
    return {"forward": lambda x, *more: forward(shifted_to_phases(even(x)), *more)}


def in_steps(pool: Pool) -> bool:
    """True if a pool is its dense operation followed by a subsampling, and not a forward pass of its own."""
    if isinstance(pool, ChoosingPool):
        return (
            type(pool).forward is ChoosingPool.forward
            and type(pool).subsample is ChoosingPool.subsample
            and "forward" not in pool.__dict__
        )
    return type(pool).forward is Pool.forward and "forward" not in pool.__dict__


def subsamplings_before(maps: Tensor, images: int) -> int:
    """Number of subsamplings by which maps were stacked in the batch: k for 4^k maps of each image."""
    return ((len(maps) // images).bit_length() - 1) // 2
