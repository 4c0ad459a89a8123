"""Survey of a network: every subsampling in a forward pass, and which module does it."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lit_shift.pools.pool import Pool
from lit_shift.surgery.steps import LAYERS, pair

aten: Any = torch.ops.aten
ADAPTIVE = (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d)
ATTENTION = (
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_cudnn_attention,
    aten._scaled_dot_product_attention_math,
    aten._native_multi_head_attention,
    aten._transformer_encoder_layer_fwd,
)


@dataclass(eq=False)
class Subsampling:
    """One operation that makes a map coarser.

    Attributes:
        kind: ``convolution``, ``max pooling``, ``average pooling``, ``slicing``, ``adaptive pooling`` or ``resizing``.
        module: the innermost module that is active.
        path: its name in the network.
        caller: the module around it, None for the network itself.
        strides: of rows and columns.
        window: height and width of the window, 1 for slicing.
        shape: of its input, (N, C, H, W).
        made: shape of its output.
        dense: height and width that the output would have at stride 1.
        pool: the pool of lit_shift in which it happens, if any.
        multiplications: number for an image.
        fixed: True for a convolution whose weights are no parameters.
    """

    kind: str
    module: nn.Module
    path: str
    caller: nn.Module | None
    strides: tuple[int, int]
    window: tuple[int, int]
    shape: torch.Size
    made: torch.Size
    dense: tuple[int, int]
    pool: Pool | None = None
    multiplications: int = 0
    fixed: bool = False

    @property
    def is_layer(self) -> bool:
        """True if the module is a convolution or a pool itself, False if its forward calls a function."""
        return isinstance(self.module, LAYERS)


@dataclass
class Survey:
    """Findings of a forward pass.

    Attributes:
        subsamplings: in order of execution.
        callers: for each module, the modules that call it.
        attends: True if the network uses attention.
    """

    subsamplings: list[Subsampling] = field(default_factory=list)
    callers: dict[nn.Module, set[nn.Module]] = field(default_factory=lambda: defaultdict(set))
    attends: bool = False


@torch.no_grad()
def survey(net: nn.Module, example: Tensor) -> Survey:
    """Run a network in eval mode on example images (N, C, H, W) and note its subsamplings."""
    found = Survey()
    with _Watch(found).of(net):
        net(example)
    return found


class _Watch(TorchDispatchMode):
    """Watch the operations that modules and functions come down to, and the stack of active modules."""

    def __init__(self, found: Survey) -> None:
        super().__init__()
        self.found = found
        self.active: list[tuple[str, nn.Module]] = []

    @contextmanager
    def of(self, net: nn.Module) -> Iterator[None]:
        def enter(module: nn.Module, inputs: Any) -> None:
            if self.active:
                self.found.callers[module].add(self.active[-1][1])
            self.active.append((paths[module], module))

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self.active.pop()

        paths = {module: path for path, module in net.named_modules()}
        with ExitStack() as stack:
            for module in paths:
                if not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                    stack.enter_context(module.register_forward_pre_hook(enter))
                    stack.enter_context(module.register_forward_hook(leave))
            stack.enter_context(self)
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in ATTENTION or (packet is aten._softmax and _is_square(args[0])):
            self.found.attends = True
        elif packet is aten.convolution:
            self._note_convolution(output, *args)
        elif packet is aten.max_pool2d_with_indices:
            self._note("max pooling", args[0], output[0], _stride(*args), args[1], *args[3:5])
        elif packet is aten.avg_pool2d:
            self._note("average pooling", args[0], output, _stride(*args), args[1], *args[3:4])
        elif packet is aten.slice and len(args) > 4 and args[4] > 1:
            self._note_slice(output, *args)
        elif packet in ADAPTIVE or packet.__name__.startswith("upsample"):
            kind = "adaptive pooling" if packet in ADAPTIVE else "resizing"
            made = output[0] if isinstance(output, tuple) else output
            factors = [round(before / after) for before, after in zip(args[0].shape[2:], made.shape[2:], strict=True)]
            if len(factors) == 2 and made.shape[2:].numel() > 1 and args[0].shape[2:] > made.shape[2:]:
                self._note(kind, args[0], made, (max(factors[0], 2), max(factors[1], 2)))
        return output

    def _note_convolution(self, output: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> None:
        _, stride, padding, dilation, transposed, _, _ = rest
        multiplications = output.numel() // len(output) * weight[0].numel()
        if x.ndim == 4 and not transposed:
            fixed = not isinstance(weight, nn.Parameter) and not any(True for _ in self.active[-1][1].parameters())
            window, stride = pair(weight.shape[2:]), pair(stride)
            self._note("convolution", x, output, stride, window, padding, dilation, multiplications, fixed)

    def _note_slice(self, output: Tensor, x: Tensor, axis: int, start: int, end: int, step: int) -> None:
        if x.ndim != 4:
            return
        before = self.found.subsamplings[-1] if self.found.subsamplings else None
        strides = (step, 1) if axis == 2 else (1, step) if axis == 3 else (0, 0)
        if before and before.kind == "slicing" and before.made == x.shape and axis == 3:  # rows, then columns
            before.made, before.strides = output.shape, (before.strides[0], step)
        else:
            self._note("slicing", x, output, strides)

    def _note(
        self,
        kind: str,
        x: Tensor,
        output: Tensor,
        strides: tuple[int, int],
        window: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplications: int = 0,
        fixed: bool = False,
    ) -> None:
        if max(strides) == 1 or x.shape[2:].numel() == 1:
            return
        pool = next((module for _, module in self.active if isinstance(module, Pool)), None)
        path, module = self.active[-1]
        caller = self.active[-2][1] if len(self.active) > 1 else None
        sizes = zip(x.shape[2:], pair(window), pair(padding), pair(dilation), strict=True)
        height, width = (max(1, side + 2 * border - space * (reach - 1)) for side, reach, border, space in sizes)
        self.found.subsamplings.append(
            Subsampling(
                *(kind, module, path, caller, strides, pair(window), x.shape, output.shape),
                *((height, width), pool, multiplications, fixed),
            )
        )


def _stride(x: Tensor, window: Any, stride: Any = None, *rest: Any) -> tuple[int, int]:
    """Strides of a pool's rows and columns; it strides by its window unless told otherwise."""
    return pair(stride or window)


def _is_square(scores: Tensor) -> bool:
    """True if these may be the scores of tokens for each other."""
    return scores.ndim >= 3 and scores.shape[-1] == scores.shape[-2] > 1
