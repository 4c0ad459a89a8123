"""Feature maps of any network: those of every convolution and pool, as the next of them receives it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_shift.models.trace import Trace
from lit_shift.pools.pool import Pool

POOLS = (Pool, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.FractionalMaxPool2d)
JOINS = (torch.cat, torch.concat, torch.concatenate)

Call = tuple[nn.Module, int]  # a module and the number of its call within a pass


class Layers:
    """The convolutions and pools that an image passes in a network.

    A layer's map is what the next convolution or pool sees: its output after everything in between, whether done by
    modules or by functions (norms, activations, the addition at the end of a residual block). When maps are added, the
    sum belongs to the layer with the most convolutions behind it; the other summands (a convolution on the shortcut)
    are not layers. When maps are concatenated, each layer keeps its own channels. If later functions change the shape,
    the last map with the layer's original shape counts.

    A pool is one of :data:`POOLS`, or any module without children and parameters that makes a map smaller, keeps its
    channels and leaves more than one sample, such as a third-party blur. Pools written as functions are not found. Also
    left out are 1x1 convolutions of a single sample (squeeze and excitation) and maps without one entry per image.

    Args:
        net: images (N, 3, H, W) -> anything. It is put into eval mode.
        example: (N, 3, H, W), of the size ``net`` is meant for, used in a first pass to find the layers.

    Attributes:
        names: of the layers, by depth, then by order of execution. A name is the layer's path in ``net`` without the
            part that all share (``conv1_1``), unless that leaves a number (``features.0``). ``conv#2`` is the second
            call of ``conv``.
        calls: for each layer, the convolution or pool itself and the number of its call.
        depths: for each layer, the number of convolutions on the longest path up to and including it.
        pools: for each layer, True if it is a pool.
    """

    def __init__(self, net: nn.Module, example: Tensor) -> None:
        self.net = net.eval()
        paths = {module: path for path, module in net.named_modules()}
        found: list[_Layer] = []
        with torch.no_grad(), _Pass(lambda layer, map: found.append(layer)).of(net):
            net(example.clone())
        found.sort(key=lambda layer: layer.rank)
        short = shortened([paths[layer.call[0]].split(".") for layer in found])
        self.names = [
            path if layer.call[1] == 1 else f"{path}#{layer.call[1]}" for path, layer in zip(short, found, strict=True)
        ]
        self.calls = [layer.call for layer in found]
        self.depths = [layer.depth for layer in found]
        self.pools = [layer.pool for layer in found]
        self._names = {layer.call: name for layer, name in zip(found, self.names, strict=True)}

    @contextmanager
    def watch(self, see: Callable[[str, Tensor], object], stacked: bool = False) -> Iterator[None]:
        """While open, call ``see(name, map)`` for each layer in each forward pass, map (N, C, h, w).

        The map is the network's own tensor, which may be overwritten once ``see`` returns. A layer is reported when the
        next one begins; with parallel branches this order may differ from ``names``.

        Args:
            see: the function to call.
            stacked: see the maps of :func:`lit_shift.orbit.subsampling.every_phase`, 4^k of each image.
        """
        with _Pass(lambda layer, map: see(self._names[layer.call], map), stacked).of(self.net):
            yield


@dataclass(eq=False)
class _Layer:
    call: Call
    rank: tuple[int, int]  # its depth, then its index in order of execution
    pool: bool
    shape: torch.Size  # of its map, (C, h, w)
    map: tuple[Tensor, slice] | None = None  # the latest of that shape and its channels; kept until it is shown
    seen: bool = False

    @property
    def depth(self) -> int:
        return self.rank[0]


class _Origin(NamedTuple):
    """Origin of a tensor: the layers that its channels come from, and the convolutions on the longest path to it."""

    channels: dict[_Layer, slice]
    depth: int

    @property
    def last(self) -> _Layer:
        return max(self.channels, key=lambda layer: layer.rank)


class _Pass(Trace[_Origin]):
    """Report each layer with its map as soon as the next layer has received it."""

    def __init__(self, see: Callable[[_Layer, Tensor], object], stacked: bool = False) -> None:
        super().__init__()
        self.see = see
        self.stacked = stacked

    def start(self, images: Tensor) -> None:
        self.images = images.shape[0]
        self.layers: list[_Layer] = []

    def noted(self, function: Any, inputs: Sequence[Tensor], output: Tensor) -> _Origin:
        origins = [(tensor, self.notes[tensor]) for tensor in inputs if tensor in self.notes]
        alike = [origin for tensor, origin in origins if tensor.shape == output.shape]
        if function in JOINS and output.ndim == 4 and output.shape[1] == sum(tensor.shape[1] for tensor in inputs):
            channels = self._joined(inputs)
        elif alike:
            channels = max(alike, key=lambda origin: origin.last.rank).channels
            for layer in {layer for origin in alike for layer in origin.channels} - channels.keys():
                layer.map = None  # only a summand
        else:
            last = max((origin.last for _, origin in origins), key=lambda layer: layer.rank)
            channels = {last: slice(None)}
        for layer, part in channels.items():
            if not layer.seen and self._is_of(layer, output, part):
                layer.map = output, part
        return _Origin(channels, max(origin.depth for _, origin in origins))

    def _joined(self, inputs: Sequence[Tensor]) -> dict[_Layer, slice]:
        channels, first = {}, 0
        for tensor in inputs:
            if tensor in self.notes:
                for layer, part in self.notes[tensor].channels.items():
                    start, stop, _ = part.indices(tensor.shape[1])
                    channels[layer] = slice(first + start, first + stop)
            first += tensor.shape[1]
        return channels

    def after(self, module: nn.Module, call: int, x: Tensor, y: Tensor) -> None:
        if not self._is_map(x) or not self._is_map(y):
            return
        convolution = _is_convolution(module, x)
        if not convolution and not _is_pool(module, x, y):
            return
        origin = self.notes[x] if x in self.notes else _Origin({}, 0)
        for layer, part in origin.channels.items():
            if self._is_of(layer, x, part):
                layer.map = x, part
            self._show(layer)
        rank = origin.depth + convolution, len(self.layers)
        layer = _Layer((module, call), rank, not convolution, y.shape[1:], (y, slice(None)))
        self.layers.append(layer)
        self.notes[y] = _Origin({layer: slice(None)}, layer.depth)

    def end(self) -> None:
        for layer in self.layers:
            self._show(layer)

    def _show(self, layer: _Layer) -> None:
        if not layer.seen and layer.map:
            map, part = layer.map
            layer.seen, layer.map = True, None
            self.see(layer, map[:, part])

    def _is_map(self, tensor: Tensor) -> bool:
        return tensor.ndim == 4 and (
            tensor.shape[0] == self.images or (self.stacked and not tensor.shape[0] % self.images)
        )

    def _is_of(self, layer: _Layer, tensor: Tensor, part: slice) -> bool:
        """True if these channels of a tensor have the shape of a layer's map."""
        return self._is_map(tensor) and tensor[:, part].shape[1:] == layer.shape


def _is_convolution(module: nn.Module, x: Tensor) -> bool:
    linear = x.shape[2:].numel() == 1 and getattr(module, "kernel_size", None) == (1, 1)
    return isinstance(module, nn.Conv2d) and not linear


def _is_pool(module: nn.Module, x: Tensor, y: Tensor) -> bool:
    if isinstance(module, POOLS):
        return True
    plain = next(module.children(), None) is None and next(module.parameters(), None) is None
    return plain and x.shape[1] == y.shape[1] and 1 < y.shape[2:].numel() < x.shape[2:].numel()


def shortened(paths: list[list[str]]) -> list[str]:
    """Drop the leading parts that all dotted paths share, unless one would then begin with a number."""
    shared = min(map(len, paths), default=1) - 1
    while shared and any(path[:shared] != paths[0][:shared] or path[shared].isdecimal() for path in paths):
        shared -= 1
    return [".".join(path[shared:]) for path in paths]
