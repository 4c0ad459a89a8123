"""Pooling in three steps: a dense operation at stride 1, a blur, a subsampling by 2 (Zhang, section 3)."""

from collections.abc import Callable
from inspect import signature

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.filters import lowpass
from lit_shift.kernels import cpu_pool, gpu_pool
from lit_shift.kernels.constant import constant
from lit_shift.kernels.transforms import exported
from lit_shift.padding import PADDINGS, Padding, pad, source
from lit_shift.pools.phases import has_even_sides, shifted_to_phases, split_phases
from lit_shift.utils.errors import InputError, one_of


class Pool(nn.Module):
    """A dense operation, then a blur, then every second sample: (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2)).

    The dense operation is a 2x2 max. A new pool overrides :meth:`dense`, or :meth:`blur`, or names its filter. One that
    subsamples in another way than by keeping every second sample overrides :meth:`subsample`. Filter taps are not
    saved, so a checkpoint trained with one pool without parameters also loads into a network with another. The
    parameters of a pool that learns are saved as usual. If a pool needs to know the number of channels, it takes an
    argument ``channels``.

    Args:
        filter: one of :data:`lit_shift.filters.FILTERS`.
        padding: border handling of both the dense operation and the blur. ``circular`` needs even sides, as a torus of
            an odd side has no half.

    Attributes:
        has_dense: False if :meth:`drop_max` has taken the dense operation away.

    Raises:
        ValueError: unknown filter or padding. In the forward pass: input that is not a floating-point batch
            (N, C, H, W), or an odd height or width with circular padding.
    """

    def __init__(self, filter: str, padding: Padding = "circular") -> None:
        super().__init__()
        self.filter = filter
        self.taps: tuple[float, ...] = tuple(lowpass(filter).tolist())
        self.padding: Padding = one_of(PADDINGS, "padding", padding)
        self.has_dense = True

    def dense(self, x: Tensor) -> Tensor:
        """Apply the operation at stride 1: (N, C, H, W) -> (N, C, H, W)."""
        return dense_max(x, self.padding)

    def drop_max(self) -> None:
        """Skip the dense operation if it is the 2x2 max, because a convolution takes its place (Zhang, section 3)."""
        self.has_dense = type(self).dense is not Pool.dense

    def blur(self, x: Tensor, stride: int) -> Tensor:
        """Low-pass filter and keep every ``stride``-th sample, beginning with the first.

        (N, C, H, W) -> (N, C, ceil(H/stride), ceil(W/stride))

        For each axis, filter, border and subsampling form one small matrix. On a CPU, two matrix products on
        channels_last maps are several times faster than padding and a depthwise convolution. (For large maps
        :mod:`lit_shift.kernels.cpu_pool` is faster still.)
        """
        if len(self.taps) == 1:
            return x[:, :, ::stride, ::stride]
        return by_axes(x, *(self.matrix(size, stride, x.dtype, x.device) for size in x.shape[2:]))

    def matrix(self, size: int, stride: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Matrix that blurs and subsamples one axis: (ceil(size / stride), size)."""
        return decimation_matrix(self.taps, size, stride, self.padding, dtype, device)

    def subsample(self, maps: Tensor) -> Tensor:
        """Blur the dense maps and keep a quarter of the samples: (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2))."""
        return self.blur(maps, stride=2)

    def phases(self, maps: Tensor) -> Tensor:
        """Subsample each of the dense maps at four shifts at once: (N, C, H, W) -> (4N, C, H/2, W/2).

        Row ``4 n + 2 p + q`` of the result is ``subsample`` of ``maps[n]`` rolled by ``(-p, -q)``.
        """
        if type(self).subsample is Pool.subsample:
            return split_phases(self.blur(maps, stride=1))
        return self.subsample(shifted_to_phases(maps))

    def note_progress(self, share: float) -> None:
        """Be told, at the start of each epoch, what fraction of the training is done, from 0 to 1."""

    def before(self, x: Tensor) -> Tensor:
        """Apply the dense operation unless it is skipped."""
        return self.dense(x) if self.has_dense else x

    def forward(self, x: Tensor) -> Tensor:
        check_maps(x, self.padding)
        if self.has_dense and (fast := self.at_once(x)) is not None:
            return fast
        return self.subsample(self.before(x))

    def at_once(self, x: Tensor) -> Tensor | None:
        """Do all three steps at once, where that is faster; None where it is not."""
        return None

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        """Number of multiplications by which the filter's definition pools a map of this size.

        Convolutions of the pool count elsewhere.
        """
        if len(self.taps) == 1:
            return 0
        rows, cols = (self.matrix(size, 2, torch.float64, torch.device("cpu")) for size in (height, width))
        return channels * (int(rows.count_nonzero()) * width + len(rows) * int(cols.count_nonzero()))

    def extra_repr(self) -> str:
        return f"filter={self.filter!r}, padding={self.padding!r}"


class MaxPool(Pool):
    """Plain 2x2 max pooling: dense max, no blur. The baseline of Zhang's Table 1 (its row ``delta``)."""

    def __init__(self, padding: Padding = "circular") -> None:
        super().__init__("delta", padding)

    def at_once(self, x: Tensor) -> Tensor | None:
        if type(self) is not MaxPool:  # a subclass may have changed the dense max
            return None
        # The dense max, evaluated only where it is kept; on odd sides the last of these windows reaches beyond.
        return F.max_pool2d(x if has_even_sides(x, self.padding) else pad(x, 0, 1, self.padding), 2)


class MaxPoolBlurDS(Pool):
    """Anti-aliased max pooling: dense max, low-pass filter, subsampling (Zhang, eq. 3)."""

    def __init__(self, filter: str = "tri5", padding: Padding = "circular") -> None:
        super().__init__(filter, padding)

    def at_once(self, x: Tensor) -> Tensor | None:
        # A subclass may have changed any of the steps.
        if type(self) is MaxPoolBlurDS and self.padding == "circular":
            for fast in (gpu_pool, cpu_pool):
                if fast.applies(x):
                    return fast.max_blur(x, self.taps)
        return None


class AvgPool(Pool):
    """6x6 average pooling: a rect6 blur and nothing before it (Azulay & Weiss, section 3)."""

    def __init__(self, padding: Padding = "circular") -> None:
        super().__init__("rect6", padding)

    def dense(self, x: Tensor) -> Tensor:
        return x


def made(pool: Callable[..., nn.Module], channels: int) -> nn.Module:
    """Make a pool for maps of this many channels, which are passed to a pool that takes ``channels``."""
    return pool(channels=channels) if "channels" in signature(pool).parameters else pool()


def outside_pools(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return a network's modules with their paths, each pool as a whole, without the modules that it is made of."""
    pools = [module for module in net.modules() if isinstance(module, Pool)]
    inside = {module for pool in pools for module in pool.modules() if module is not pool}
    return [(path, module) for path, module in net.named_modules() if module not in inside]


def by_axes(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Multiply the rows of maps (N, C, H, W) by a matrix (h, H) and their columns by (w, W): (N, C, h, w)."""
    if exported():  # the general product chooses a way by sizes, which an exported program may leave open
        return F.linear(F.linear(x, cols).mT, rows).mT
    n, c, height, width = x.shape
    y = rows @ x.permute(0, 2, 3, 1).reshape(n, height, width * c)
    y = cols @ y.view(n * len(rows), width, c)
    return y.view(n, len(rows), len(cols), c).permute(0, 3, 1, 2)


def bordered(pool: nn.Module, x: Tensor, border: int) -> Tensor:
    """Pool, and give the result a circular border of this width, 0 or 1, for the next convolution."""
    known = type(pool) in (MaxPool, MaxPoolBlurDS) and pool.padding == "circular" and pool.has_dense
    if border and known and min(x.shape[2:]) >= 4 and gpu_pool.applies(x):
        check_maps(x, "circular")
        return gpu_pool.max_blur(x, pool.taps, border)
    pooled: Tensor = pool(x)
    return pad(pooled, border, border, "circular") if border else pooled


def dense_max(x: Tensor, padding: Padding) -> Tensor:
    """Max over each 2x2 window at stride 1, the window reaching down and right: (N, C, H, W) -> (N, C, H, W).

    The result cannot be modified in place.
    """
    if padding == "circular" and cpu_pool.dense_applies(x):
        return cpu_pool.dense_max(x)
    return F.max_pool2d(pad(x, 0, 1, padding), 2, stride=1)


def check_maps(x: Tensor, padding: Padding) -> None:
    """Raise a ValueError unless ``x`` is floating-point maps (N, C, H, W), with even sides if padding is circular."""
    if x.dim() != 4:
        raise InputError(f"A pool takes maps (N, C, H, W), but these have the shape {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise InputError(f"A pool takes maps of floating-point numbers, not of {x.dtype}.")
    h, w = x.shape[2:]
    if not h * w:
        raise InputError(f"A pool takes maps of one sample or more, not of {h}x{w}.")
    if padding == "circular" and (h % 2 or w % 2):
        raise InputError(
            f"With padding=circular the sides of a pool's map must be even, not {h}x{w}, because what wraps around "
            "commutes with shifts only then: give the image sides that are multiples of 2 to the power of its number "
            "of pools, or take padding=zeros or padding=reflect in pools that have it."
        )


@constant
def decimation_matrix(
    taps: tuple[float, ...], size: int, stride: int, padding: Padding, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Matrix that blurs and subsamples one axis: (ceil(size / stride), size).

    An n-tap window reaches ``(n - 1) // 2`` before its sample and ``n // 2`` after. Taps beyond the border follow
    ``padding`` and wrap or mirror as often as they must: 7 taps on a map of size 2 are no special case.
    """
    weights = torch.tensor(taps, dtype=torch.float64)
    samples = torch.arange(0, size, stride)
    reach = torch.arange(len(taps)) - (len(taps) - 1) // 2
    seen = source(samples[:, None] + reach, size, padding)
    # Taps that see zeros see none of the samples.
    matrix = ((seen[:, :, None] == torch.arange(size)) * weights[:, None]).sum(1)
    return matrix.to(device, dtype)
