"""What a network's tensors are made of, followed through its modules and through the functions between them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Note = TypeVar("Note")


class Trace(TorchFunctionMode, ABC, Generic[Note]):
    """Puts a note on every tensor that a network computes, by the notes on what it is computed from.

    Sums, activations and whatever else a network does by functions, in place or not, is seen as modules are. A new
    trace overrides :meth:`noted`, and :meth:`after` where modules mean something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes = _Notes[Note]()
        self.calls: Counter[nn.Module] = Counter()

    @abstractmethod
    def noted(self, function: Any, inputs: Sequence[Tensor], output: Tensor) -> Note:
        """The note on what a function, or a module, makes of tensors of which at least one has a note."""

    def start(self, images: Tensor) -> None:
        """The network begins a forward pass."""

    def after(self, module: nn.Module, call: int, x: Tensor, y: Tensor) -> None:
        """A module has made ``y`` of ``x``, the first of what it got, when it was called for the ``call``-th time."""

    def end(self) -> None:
        """The network has finished a pass."""

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
            # Where it does something that is no function of torch's.
            self._note(module, _tensors(inputs), [tensor for tensor in _tensors(output) if tensor not in self.notes])
            self.calls[module] += 1
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                self.after(module, self.calls[module], inputs[0], output)

        with ExitStack() as stack:
            stack.enter_context(net.register_forward_pre_hook(start))
            for module in net.modules():
                stack.enter_context(module.register_forward_hook(after))
            stack.enter_context(net.register_forward_hook(lambda *_: self.end()))
            stack.enter_context(self)
            yield

    def _note(self, function: Any, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        if made and any(tensor in self.notes for tensor in inputs):
            for tensor in made:
                self.notes[tensor] = self.noted(function, inputs, tensor)


class _Notes(Generic[Note]):
    """The notes of a pass, each of which lives as long as its tensor does: on the tensor itself.

    (``torch.utils.weak`` has a dictionary for it, which takes ten times as long.)
    """

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.__dict__.get("_note", (None,))[0] is self

    def __getitem__(self, tensor: Tensor) -> Note:
        return tensor.__dict__["_note"][1]

    def __setitem__(self, tensor: Tensor, note: Note) -> None:
        tensor.__dict__["_note"] = self, note


def _tensors(tree: Any) -> list[Tensor]:
    """Those in nested containers."""
    if isinstance(tree, Tensor):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for branch in branches for tensor in _tensors(branch)]
