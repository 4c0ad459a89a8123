"""Follow tensors through a network's modules and the functions between them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lit_shift.pools.pool import outside_pools

Note = TypeVar("Note")


class Trace(TorchFunctionMode, ABC, Generic[Note]):
    """Attach a note to every tensor that a network computes, derived from the notes on its inputs.

    Functions (sums, activations, in place or not) are followed like modules, and a pool is followed as a whole. A new
    trace overrides :meth:`noted`, and :meth:`after` if it treats some modules specially.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes = _Notes[Note]()
        self.calls: Counter[nn.Module] = Counter()

    @abstractmethod
    def noted(self, function: Any, inputs: Sequence[Tensor], output: Tensor) -> Note:
        """Return the note for the output of a function or module, at least one of whose inputs has a note."""

    def start(self, images: Tensor) -> None:
        """Note that the network begins a forward pass."""

    def after(self, module: nn.Module, call: int, x: Tensor, y: Tensor) -> None:
        """Note that a module has computed ``y`` from its first input ``x``, in its ``call``-th call of this pass."""

    def end(self) -> None:
        """Note that the network has finished a forward pass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if made := _tensors(output):
            self._note(func, [*_tensors(args), *_tensors(kwargs)], made)
        return output

    @contextmanager
    def of(self, net: nn.Module) -> Iterator[None]:
        """While open, follow the forward passes of a network."""

        def start(net: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.notes, self.calls = _Notes(), Counter()
            self.start(inputs[0])

        def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            # Covers modules that use more than torch functions.
            self._note(module, _tensors(inputs), [tensor for tensor in _tensors(output) if tensor not in self.notes])
            self.calls[module] += 1
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                self.after(module, self.calls[module], inputs[0], output)

        with ExitStack() as stack:
            stack.enter_context(net.register_forward_pre_hook(start))
            for _, module in outside_pools(net):
                stack.enter_context(module.register_forward_hook(after))
            stack.enter_context(net.register_forward_hook(lambda *_: self.end()))
            stack.enter_context(self)
            yield

    def _note(self, function: Any, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        if made and any(tensor in self.notes for tensor in inputs):
            for tensor in made:
                self.notes[tensor] = self.noted(function, inputs, tensor)


class _Notes(Generic[Note]):
    """The notes of one pass, each stored on its tensor, so that it lives exactly as long.

    (The dictionary of ``torch.utils.weak`` takes ten times as long.)
    """

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.__dict__.get("_note", (None,))[0] is self

    def __getitem__(self, tensor: Tensor) -> Note:
        return tensor.__dict__["_note"][1]

    def __setitem__(self, tensor: Tensor, note: Note) -> None:
        tensor.__dict__["_note"] = self, note


def _tensors(tree: Any) -> list[Tensor]:
    """Return all tensors in nested containers."""
    if isinstance(tree, Tensor):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for branch in branches for tensor in _tensors(branch)]
