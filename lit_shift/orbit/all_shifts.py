"""Logits and layers of a network at all circular shifts of images, or at some of them by brute force."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lit_shift.models.layers import Call, Layers
from lit_shift.orbit.subsampling import INSTEAD, SeeDense, check_boundaries, every_phase, in_steps, subsamplings_before
from lit_shift.pools.pool import Pool
from lit_shift.shifts import roll
from lit_shift.utils.errors import InputError

BATCH = 128  # shifted images per forward pass, when measuring by brute force


@torch.no_grad()
def orbit_logits(model: nn.Module, x: Tensor) -> Tensor:
    """Logits at all circular shifts: ``out[n, h, w]`` equals ``model(roll(x[n], (h, w)))`` up to rounding.

    Args:
        model: (N, C, H, W) -> (N, K), in eval mode: any network whose layers commute with shifts, which needs circular
            boundaries, except that pools of lit_shift and ``nn.Conv2d``, ``nn.MaxPool2d`` and ``nn.AvgPool2d`` of
            stride 2 may subsample. Whether the layers do commute is for :func:`obstacle` to try.
        x: (N, C, H, W)

    Returns:
        (N, H, W, K)

    Raises:
        InputError: a layer has another boundary or changes the size in another way, no layer subsamples, the model is
            in training mode, or an odd map would have to be halved.
    """
    with all_shifts(model, x):
        logits = model(x)
    phases = by_phase(_checked(logits), len(x))
    rows, cols = (-torch.arange(side, device=x.device) % phases.shape[1] for side in x.shape[-2:])
    return phases[:, rows[:, None], cols, :, 0, 0]


@contextmanager
def all_shifts(model: nn.Module, x: Tensor, see_dense: SeeDense | None = None) -> Iterator[None]:
    """While open, ``model(x)`` gives its outputs at all shifts, stacked; errors as for :func:`orbit_logits`."""
    check_boundaries(model)
    if model.training:
        raise InputError("Batch norm mixes the shifts of a batch in training mode; call model.eval() first.")
    height, width = x.shape[-2:]
    with every_phase(model, height, width, len(x), see_dense):
        yield


def _checked(logits: Any) -> Tensor:
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(f"All shifts at once need a network that returns logits (N, K). {INSTEAD}")
    return logits[:, :, None, None]


def by_phase(maps: Tensor, n: int) -> Tensor:
    """Reorder maps of n images, (N S S, C, h, w), stacked by successive subsamplings, to (N, S, S, C, h, w)."""
    # The batch index reads (n, row bit 0, column bit 0, row bit 1, column bit 1, ...), lowest bits first.
    pools = subsamplings_before(maps, n)
    bits = maps.reshape(n, *[2] * (2 * pools), *maps.shape[1:])
    row_bits, col_bits = (range(2 * pools - first, 0, -2) for first in (1, 0))
    stride = 2**pools
    return bits.permute(0, *row_bits, *col_bits, -3, -2, -1).reshape(n, stride, stride, *maps.shape[1:])


class LayersAtAllShifts:
    """The layers of a network at every circular shift: ``pixels, conv1_2, pool1_dense, pool1_ds, ... softmax``.

    Layers are those of :class:`lit_shift.models.layers.Layers`, with its names. A pool counts as two layers: its dense
    map, which is its input if it has no dense operation, and its blurred and subsampled output. In a ResNet it counts
    as one. The last two layers are the logits, ``classifier``, and the probabilities.

    Args:
        model: as for :func:`orbit_logits`, with the same errors.
        example: (N, C, H, W), like the images to come.
        every: include all layers, not only those followed by a pool (those of Zhang's Fig. 4).

    Attributes:
        names: of these layers, in order. One that the network does not show at every shift is left out.
    """

    def __init__(self, model: nn.Module, example: Tensor, every: bool = False) -> None:
        check_boundaries(model)
        self.model, self.layers = model, Layers(model, example[:1])
        self.names, self.of_pools = ["pixels"], dict[Call, str]()
        found = list(zip(self.layers.names, self.layers.calls, self.layers.pools, strict=True))
        for (name, call, is_pool), (_, _, pool_follows) in pairwise([*found, ("", (model, 1), False)]):
            if is_pool:
                self.of_pools[call] = name
                steps = isinstance(call[0], Pool) and call[0].has_dense and in_steps(call[0])
                self.names += [*([f"{name}_dense"] if steps else []), f"{name}_ds"]
            elif every or pool_follows:
                self.names.append(name)
        self.names += ["classifier", "softmax"]

    @torch.no_grad()
    def measure(self, x: Tensor, see: Callable[[str, Tensor], object]) -> None:
        """Call ``see(name, phases)`` for each of these layers of images (N, C, H, W), as soon as it is computed.

        The phases are (N, S, S, C, h, w), where S is the layer's total stride. ``[n, r, c]`` is the map of ``x[n]``
        rolled by ``(-r, -c)``. Shifting further by multiples of S only rolls this map.
        """

        def seen(name: str, maps: Tensor) -> None:
            if name in self.names:
                see(name, by_phase(maps, len(x)))

        def seen_layer(name: str, maps: Tensor) -> None:
            seen(f"{name}_ds" if name in self.of_pools.values() else name, maps)

        def seen_dense(pool: Pool, maps: Tensor) -> None:
            calls[pool] += 1
            seen(f"{self.of_pools.get((pool, calls[pool]))}_dense", maps)

        calls: Counter[Pool] = Counter()
        seen("pixels", x)
        with (
            all_shifts(self.model, x, seen_dense),
            self.layers.watch(seen_layer, stacked=True),
        ):
            logits = _checked(self.model(x))
        seen("classifier", logits)
        seen("softmax", logits.double().softmax(1))


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
