"""A network in numbers, as in Azulay & Weiss's Table 1, and what its subsampling costs (their section 3)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_shift.models.layers import POOLS
from lit_shift.models.trace import Trace

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)


def anatomy(net: nn.Module, example: Tensor) -> dict[str, int | float]:
    """What a network is made of, by a forward pass.

    ``parameters``; ``depth``, the number of convolutions and linear layers on the longest way through it, as in the
    names of VGG16 and ResNet50 (the paper's Table 1 counts Keras's layers, norms and activations included);
    ``subsampling``, the factor s between two neighbours in the last map of more than one sample and in the image: the
    product of all strides but of what makes a map a single sample, which loses no more. Of all translations the share
    1/s^2 is by multiples of s in both directions, ``exact_share``, and only under these invariance can be exact;
    augmentation would have to show the s^2 others of each image, ``copies``.

    Args:
        net: images (N, 3, H, W) -> anything, in eval mode.
        example: (N, 3, H, W), of the size that it is meant for.

    Returns:
        those; the number of ``parameters`` alone where the network's inside cannot be seen (a script of torch.jit).

    Source: Azulay & Weiss, Table 1 and section 3.
    """
    found: dict[str, int | float] = {"parameters": sum(parameter.numel() for parameter in net.parameters())}
    trace = _Anatomy(net)
    with torch.no_grad(), trace.of(net):
        net(example)
    if trace.whole:
        depth, s = trace.whole
        found |= {"depth": depth, "subsampling": s, "exact_share": 1 / s**2, "copies": s**2}
    return found


def in_numbers(net: nn.Module, size: Sequence[int]) -> dict[str, int | float]:
    """What :func:`anatomy` says of a network for images of that size, as ``network/<name>``."""
    example = torch.zeros(1, 3, *size).to(next(net.parameters(), torch.zeros(())))
    return {f"network/{name}": value for name, value in anatomy(net.eval(), example).items()}


class _Way(NamedTuple):
    """Of the ways from the image to a tensor the most weighted layers, and the largest product of strides."""

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
        elif isinstance(module, POOLS) or next(module.children(), None) is None:  # as a whole, whatever it does inside
            self.notes[y] = _Way(before.depth, before.stride * _stride(module, x, y))
        if module is self.net and y in self.notes:
            self.whole = self.notes[y]


def _stride(module: nn.Module, x: Tensor, y: Tensor) -> int:
    """By how much a module without parts subsamples a map; 1 where it leaves a single sample, or no map."""
    if x.ndim != 4 or y.ndim != 4 or y.shape[2:].numel() == 1:
        return 1
    if isinstance(module, STRIDED):
        stride = module.stride
        return stride if isinstance(stride, int) else max(stride)
    height, width = (round(before / after) for before, after in zip(x.shape[2:], y.shape[2:], strict=True))
    return height if height == width > 1 else 1


def _subsampled(x: Tensor, y: Tensor) -> int:
    """By how much a function subsamples: two of the last three axes alike, wherever channels are; 1 otherwise."""
    if x.ndim != 4 or y.ndim != 4 or x.shape[0] != y.shape[0] or not y.numel():
        return 1
    axes = list(zip(x.shape[1:], y.shape[1:], strict=True))
    kept = [before for before, after in axes if before == after]
    smaller = {round(before / after) for before, after in axes if before > after > 1}
    return smaller.pop() if len(kept) == 1 and len(smaller) == 1 and all(b >= a > 1 for b, a in axes if b != a) else 1
