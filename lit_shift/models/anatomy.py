"""Size and depth of a network as in Azulay & Weiss's Table 1, and the cost of its subsampling (their section 3)."""

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lit_shift.models.layers import POOLS
from lit_shift.models.trace import Trace
from lit_shift.pools.pool import Pool, outside_pools

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)


def anatomy(net: nn.Module, example: Tensor) -> dict[str, int | float]:
    """Count parameters, depth and subsampling of a network by one forward pass.

    - ``parameters``.
    - ``depth``: convolutions and linear layers on the longest path, as in the names VGG16 and ResNet50. (The paper's
      Table 1 counts Keras layers, including norms and activations.)
    - ``subsampling``: the factor s by which the last map with more than one sample is coarser than the image, i.e. the
      product of all strides up to there. Reducing a map to a single sample loses no further shifts and does not count.
    - ``exact_share``: 1/s^2, the fraction of translations that are multiples of s in both directions. Only under these
      can invariance be exact.
    - ``copies``: s^2, the number of shifted copies of each image that augmentation would have to show.
    - ``multiplications``: those of an image in convolutions, matrix products and filters, by their definitions.

    Args:
        net: images (N, 3, H, W) -> anything, in eval mode.
        example: (N, 3, H, W), of the size the network is meant for.

    Returns:
        These by name. Only ``parameters`` if the inside of the network cannot be seen (torch.jit scripts).

    Source: Azulay & Weiss, Table 1 and section 3.
    """
    found: dict[str, int | float] = {"parameters": sum(parameter.numel() for parameter in net.parameters())}
    trace = _Anatomy(net)
    with torch.no_grad(), trace.of(net):
        net(example)
    if trace.whole:
        depth, s = trace.whole
        found |= {"depth": depth, "subsampling": s, "exact_share": 1 / s**2, "copies": s**2}
        with suppress(Exception):  # a network that cannot be copied, or makes tensors on a device of its own choice
            found["multiplications"] = multiplications(net, example[:1])
    return found


def multiplications(net: nn.Module, example: Tensor) -> int:
    """Number of multiplications for an image (1, 3, H, W), in convolutions, matrix products and filters.

    A separable filter of n taps counts n for each sample and axis, whatever the machine does instead; see
    :meth:`lit_shift.pools.pool.Pool.filter_multiplications`.
    """
    shape_only = deepcopy(net).to("meta")  # no arithmetic, and no faster kernels of a device
    counter, filters = FlopCounterMode(display=False), 0

    def count(pool: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        nonlocal filters
        filters += pool.filter_multiplications(*inputs[0].shape[1:])

    # Pools, and layers that lit_shift.surgery has given a filter.
    pools = {path: module for path, module in outside_pools(shape_only) if hasattr(module, "filter_multiplications")}
    for pool in pools.values():
        pool.register_forward_hook(count)
    with torch.no_grad(), counter:
        shape_only(example.to("meta"))
    by_path = [counter.get_flop_counts().get(f"{type(shape_only).__name__}.{path}", {}) for path in pools]
    in_pools = sum(found.get(product, 0) for found in by_path for product in (torch.ops.aten.bmm, torch.ops.aten.mm))
    return (counter.get_total_flops() - in_pools) // 2 + filters


def in_numbers(net: nn.Module, size: Sequence[int]) -> dict[str, int | float]:
    """Return :func:`anatomy` for images of the given size, keyed ``network/<name>``."""
    example = torch.zeros(1, 3, *size).to(next(net.parameters(), torch.zeros(())))
    return {f"network/{name}": value for name, value in anatomy(net.eval(), example).items()}


class _Way(NamedTuple):
    """Paths from the image to a tensor: the most weighted layers and the largest product of strides on any of them."""

    depth: int
    stride: int


class _Anatomy(Trace[_Way]):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.whole: _Way | None = None

    def noted(self, function: Any, inputs: Sequence[Tensor], output: Tensor) -> _Way:
        known = [tensor for tensor in inputs if tensor in self.notes]
        depth = max(self.notes[tensor].depth for tensor in known)
        return _Way(depth, max(self.notes[tensor].stride * _subsampled(tensor, output) for tensor in known))

    def after(self, module: nn.Module, call: int, x: Tensor, y: Tensor) -> None:
        before = self.notes[x] if x in self.notes else _Way(0, 1)
        if isinstance(module, WEIGHTED):
            factor = _stride(module, x, y) if isinstance(module, STRIDED) else 1
            self.notes[y] = _Way(before.depth + 1, before.stride * factor)
        elif isinstance(module, POOLS) or next(module.children(), None) is None:  # as a whole, whatever is inside it
            self.notes[y] = _Way(before.depth, before.stride * _stride(module, x, y))
        if module is self.net and y in self.notes:
            self.whole = self.notes[y]


def _stride(module: nn.Module, x: Tensor, y: Tensor) -> int:
    """Factor by which a module without children subsamples a map; 1 if it leaves a single sample or is not a map."""
    if x.ndim != 4 or y.ndim != 4 or y.shape[2:].numel() == 1:
        return 1
    if isinstance(module, Pool):
        return 2
    height, width = (round(before / after) for before, after in zip(x.shape[2:], y.shape[2:], strict=True))
    if isinstance(module, STRIDED) and max(height, width) > 1:  # else the layer is dense, whatever stride it declares
        stride = module.stride
        return stride if isinstance(stride, int) else max(stride)
    return height if height == width > 1 else 1


def _subsampled(x: Tensor, y: Tensor) -> int:
    """Factor by which a function subsamples: two of the last three axes equally, in either memory layout; else 1."""
    if x.ndim != 4 or y.ndim != 4 or x.shape[0] != y.shape[0] or not y.numel():
        return 1
    axes = list(zip(x.shape[1:], y.shape[1:], strict=True))
    kept = [before for before, after in axes if before == after]
    smaller = {round(before / after) for before, after in axes if before > after > 1}
    return smaller.pop() if len(kept) == 1 and len(smaller) == 1 and all(b >= a > 1 for b, a in axes if b != a) else 1
