"""Dense, blur, subsample: the three steps that take the place of a strided function."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lit_shift.padding import Padding, pad
from lit_shift.pools.pool import Pool
from lit_shift.surgery.altered import Altered, alter

Arguments = dict[str, Any]
CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
MAX = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
AVERAGE = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
NAMES: Mapping[Any, tuple[str, ...]] = {
    F.conv2d: CONVOLUTION,
    F.max_pool2d: MAX,
    torch.max_pool2d: MAX,
    F.avg_pool2d: AVERAGE,
}
LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
DENSE_FIRST, BLUR_FIRST = ORDERS = ("dense_first", "blur_first")


class BlurDS(Pool):
    """Low-pass filter and subsampling of maps of any size: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)).

    On an odd side a circular border commutes with no shift, but the layer that this one helps to replace takes it too.
    """

    def __init__(self, filter: str, padding: Padding) -> None:
        super().__init__(filter, padding)
        self.has_dense = False

    def forward(self, x: Tensor) -> Tensor:
        return self.subsample(x)


class Steps(TorchFunctionMode):
    """Mode in which strided convolutions, strided pools and slicing by a power of 2 are done in steps.

    Args:
        filter: of :data:`lit_shift.filters.FILTERS`.
        padding: of the blur.
        order: ``dense_first``; ``blur_first``, the blur at stride 1 and then the strided function itself; or ``dense``,
            at stride 1 without blur and subsampling, which are left to another layer.
        pointwise: True for a 1x1 convolution with nothing nonlinear behind it: subsampling it is subsampling its input.
        wrap: True where a window that is no longer than its stride has no border of its own, but the network is
            circular: dense windows then reach across the border.
    """

    def __init__(self, filter: str, padding: Padding, order: str, pointwise: bool = False, wrap: bool = False) -> None:
        super().__init__()
        self.blur, self.order, self.pointwise, self.wrap = BlurDS(filter, padding), order, pointwise, wrap

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__getitem__:
            whole, step = without_step(args[1])
            return self.subsampled(args[0], step, lambda x: x[whole], lambda x: x[args[1]]) if step > 1 else func(*args)
        if func not in NAMES:
            return func(*args, **(kwargs or {}))
        arguments = dict(zip(NAMES[func], args, strict=False)) | (kwargs or {})
        x, stride = arguments.pop("input"), strides(arguments)
        if stride[0] != stride[1] or not is_power_of_2(stride[0]) or arguments.get("return_indices"):
            return func(x, **arguments)

        def dense(x: Tensor) -> Tensor:
            if self.wrap:
                x = wrapped(x, stride[0], arguments)
            return at_stride_1(func, x, arguments)

        return self.subsampled(x, stride[0], dense, lambda x: func(x, **arguments))

    def subsampled(
        self, x: Tensor, stride: int, dense: Callable[[Tensor], Tensor], strided: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Do the steps in the chosen order."""
        if self.order == "dense":
            return dense(x)
        if len(self.blur.taps) == 1:
            return strided(x)
        if self.pointwise:
            return dense(self._halved(x, stride))
        if self.order == BLUR_FIRST:
            return strided(self.blur.blur(x, stride=1))
        return self._halved(dense(x), stride)

    def _halved(self, x: Tensor, stride: int) -> Tensor:
        for _ in range(stride.bit_length() - 1):
            x = self.blur(x)
        return x

    def multiplications(self, stride: int, channels: int, made: int, height: int, width: int) -> int:
        """Number of multiplications by which a layer's input (channels, height, width) or output is blurred.

        Args:
            stride: of the layer.
            channels: of its input.
            made: channels of its output.
            height: of its input.
            width: of its input.
        """
        if self.order == "dense" or len(self.blur.taps) == 1:
            return 0
        if self.order == BLUR_FIRST and not self.pointwise:
            return channels * 2 * len(self.blur.taps) * height * width
        total = 0
        for _ in range(stride.bit_length() - 1):
            total += self.blur.filter_multiplications(channels if self.pointwise else made, height, width)
            height, width = -(-height // 2), -(-width // 2)
        return total


def is_power_of_2(stride: int) -> bool:
    """True for 2, 4, 8 and so on."""
    return stride > 1 and stride & (stride - 1) == 0


def strides(arguments: Arguments) -> tuple[int, int]:
    """Strides of a function's rows and columns; pools stride by their window unless told otherwise."""
    stride = arguments.get("stride") or arguments.get("kernel_size", 1)
    return pair(stride)


def pair(value: Any) -> tuple[int, int]:
    """Return a size of both axes: PyTorch allows one number, alone or in a list, for both."""
    first, *rest = value if isinstance(value, list | tuple) else [value]
    return first, rest[0] if rest else first


def without_step(index: Any) -> tuple[Any, int]:
    """Split ``[:, :, ::2, ::2]`` into the index without steps and the step of both axes, 1 if they have none."""
    parts = index if isinstance(index, tuple) else (index,)
    parts = parts if Ellipsis not in parts[:1] else (slice(None), slice(None), *parts[1:])
    if len(parts) != 4 or not all(isinstance(part, slice) for part in parts):
        return index, 1
    row, col = (part.step or 1 for part in parts[2:])
    if row != col or not is_power_of_2(row):
        return index, 1
    return (*parts[:2], *(slice(part.start, part.stop) for part in parts[2:])), row


def wrapped(x: Tensor, stride: int, arguments: Arguments) -> Tensor:
    """Extend maps circularly by what a window reaches beyond its first sample; leave out what the strides leave out."""
    height, width = (side - side % stride for side in x.shape[2:])
    reach = max(window(arguments)) - 1
    return pad(x[:, :, :height, :width], 0, reach, "circular")


def window(arguments: Arguments) -> tuple[int, int]:
    """Height and width of a function's window."""
    return pair(tuple(arguments["weight"].shape[2:]) if "weight" in arguments else arguments["kernel_size"])


def at_stride_1(func: Any, x: Tensor, arguments: Arguments) -> Tensor:
    """Evaluate a strided function at every sample, so that the strided one keeps some of these samples, from the first.

    With ``ceil_mode`` a pool's last window may reach beyond the border; it sees as much there as the strided one.
    """
    plain = arguments | {"stride": 1}
    if not arguments.get("ceil_mode"):
        return func(x, **plain)
    missing = [
        _missing(side, *sizes)
        for side, *sizes in zip(
            x.shape[2:],
            pair(arguments["kernel_size"]),
            strides(arguments),
            pair(arguments.get("padding", 0)),
            pair(arguments.get("dilation", 1)),
            strict=True,
        )
    ]
    beyond = (0, missing[1], 0, missing[0])
    plain["ceil_mode"] = False
    if NAMES[func] == MAX:
        return func(F.pad(x, beyond, value=-torch.inf), **plain)
    # The mean is over what lies within the border, or within the padded one.
    counted = torch.ones_like(x[:1, :1])
    if arguments.get("count_include_pad", True):
        rows, cols = pair(arguments.get("padding", 0))
        x, counted = (F.pad(maps, (cols, cols, rows, rows), value=value) for maps, value in ((x, 0.0), (counted, 1.0)))
        plain["padding"] = 0
    plain["divisor_override"] = 1
    sums, counts = (func(F.pad(maps, beyond), **plain) for maps in (x, counted))
    return sums / (arguments.get("divisor_override") or counts)


def _missing(side: int, window: int, stride: int, padding: int, dilation: int) -> int:
    """Number of samples beyond the padded border that the last window of a pool with ``ceil_mode`` reaches."""
    reach = dilation * (window - 1) + 1
    last = -(-(side + 2 * padding - reach) // stride) * stride
    if last >= side + padding:  # a window may not begin beyond the border
        last -= stride
    return max(0, last + reach - side - 2 * padding)


class Stepped(Altered):
    """Alteration of a layer, or of a module that calls functions, which are then done in :class:`Steps`."""

    steps: Steps

    def forward(self, x: Tensor, *others: Any, **options: Any) -> Any:
        steps = self.steps
        if steps.order == BLUR_FIRST and not steps.pointwise and isinstance(self, LAYERS):
            return super().forward(steps.blur.blur(x, stride=1), *others, **options)  # before it gets its border
        with steps:
            return super().forward(x, *others, **options)

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        """Number of multiplications by which maps of this size are blurred."""
        stride = strides({key: value for key, value in vars(self).items() if key in ("stride", "kernel_size")})[0]
        made = getattr(self, "out_channels", channels)
        return self.steps.multiplications(stride, channels, made, height, width)

    def extra_repr(self) -> str:
        steps = self.steps
        words = "dense" if steps.order == "dense" else f"{steps.order}: {steps.blur.extra_repr()}"
        return ", ".join(part for part in (super().extra_repr(), words) if part)


class Blurred(Altered):
    """Alteration of a layer whose result is blurred and subsampled."""

    blur: nn.Module

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.blur(super().forward(*inputs, **options))


def stepped(module: nn.Module, steps: Steps) -> None:
    """Alter a module, in place, to be evaluated in steps."""
    alter(module, Stepped)
    module.__dict__["steps"] = steps


def blurred(module: nn.Module, blur: nn.Module) -> None:
    """Alter a module, in place, to blur and subsample its result."""
    alter(module, Blurred)
    module.blur = blur
