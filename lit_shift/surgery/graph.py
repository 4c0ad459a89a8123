"""The activation behind a convolution: where it is in its caller's forward pass, and how a blur is put behind it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn

from lit_shift.shifts import seeded
from lit_shift.surgery.altered import Altered, alter
from lit_shift.utils.errors import InputError

SIDE = 5  # of the maps on which functions are tried


class _OneLevel(fx.Tracer):
    """Trace the forward pass of one module, but not of those that it calls."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return True


def traced(module: nn.Module, name: str) -> fx.Graph:
    """Return a module's forward pass as a graph of the modules and functions that it calls.

    Raises:
        InputError: it depends on the values of tensors, or uses them in another way that cannot be traced.
    """
    try:
        return _OneLevel().trace(module)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"The forward pass of {name or 'the network'} ({type(module).__name__}) cannot be traced ({reason}), so "
            "what follows its strided convolution is not known: say order=blur_first, which does not need that."
        ) from error


def calls(graph: fx.Graph, owner: nn.Module, module: nn.Module) -> list[fx.Node]:
    """Return the nodes of an owner's graph that call a module."""
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    return [node for node in nodes if owner.get_submodule(str(node.target)) is module]


@torch.no_grad()
def behind(node: fx.Node, owner: nn.Module, channels: int, like: Tensor) -> tuple[fx.Node, bool]:
    """Return the last of the pointwise functions behind a convolution, and whether all of them are linear.

    These are norms, activations, dropout: whatever has no convolution and, in evaluation, computes each sample of a map
    from that sample alone. They end at a sum of maps, or at a map used twice.

    Args:
        node: the convolution.
        owner: the module whose graph it is in.
        channels: of the convolution's output.
        like: a tensor of the network's dtype and device.
    """
    maps = torch.randn(2, channels, SIDE, SIDE, generator=seeded(0)).to(like)
    linear = True
    while len(node.users) == 1:
        (after,) = node.users
        function = _of_one_map(after, node, owner)
        if function is None or (result := _pointwise(function, maps)) is None:
            break
        linear &= _affine(function, maps)
        node, maps = after, result
    return node, linear


def _of_one_map(node: fx.Node, before: fx.Node, owner: nn.Module) -> Callable[[Tensor], Any] | None:
    """Return what a node computes as a function of the one before it; None if it takes anything else from the graph."""
    if node.all_input_nodes != [before] or node.op not in ("call_module", "call_function", "call_method"):
        return None
    if node.op == "call_module":
        module = owner.get_submodule(str(node.target))
        if any(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules()):
            return None

    def function(x: Tensor) -> Any:
        args = fx.node.map_arg(node.args, lambda _: x)
        kwargs = fx.node.map_arg(node.kwargs, lambda _: x)
        if node.op == "call_module":
            return owner.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    return function


def _pointwise(function: Callable[[Tensor], Any], maps: Tensor) -> Tensor | None:
    """Return the function's result if a change of one sample changes that sample alone, else None."""
    changed = maps.clone()
    place = SIDE // 2
    changed[..., place, place] += 1
    try:
        result, other = function(maps.clone()), function(changed)
    except Exception:
        return None
    if not isinstance(result, Tensor) or result.ndim != 4 or result.shape[2:] != maps.shape[2:]:
        return None
    differs = (result != other).flatten(0, 1).any(0)
    differs[place, place] = False
    return None if differs.any() else result


def _affine(function: Callable[[Tensor], Any], maps: Tensor) -> bool:
    """True if the function of a sum is the sum of the functions, but for a constant."""
    other = maps.flip(0)
    both, zero = function(maps + other), function(torch.zeros_like(maps))
    return torch.allclose(both + zero, function(maps.clone()) + function(other.clone()), rtol=1e-3, atol=1e-3)


class Rewritten(Altered):
    """Alteration of a module whose forward pass is rewritten.

    Attributes:
        sources: its forward pass in evaluation and in training, each as Python code and the names that it uses.
    """

    sources: ClassVar[dict[bool, tuple[str, dict[str, Any]]]]
    passes: ClassVar[dict[bool, Callable[..., Any]]]

    def __init_subclass__(cls) -> None:
        if "sources" in cls.__dict__:
            cls.passes = {training: _function(*source) for training, source in cls.sources.items()}

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.passes[self.training](self, *inputs, **options)


def rewrite(module: nn.Module, graphs: Mapping[bool, fx.Graph]) -> None:
    """Let a module, in place, compute what graphs say, for training and for evaluation."""
    sources = {}
    for training, graph in graphs.items():
        code = graph.python_code("self")
        names = {
            name: value.__name__ if isinstance(value, ModuleType) else value for name, value in code.globals.items()
        }
        sources[training] = code.src, names
    alter(module, Rewritten, sources=sources)


def _function(source: str, names: dict[str, Any]) -> Callable[..., Any]:
    """Return the function ``forward`` that Python code defines, as GraphModules of torch.fx do."""
    known: dict[str, Any] = {
        name: import_module(value) if isinstance(value, str) else value for name, value in names.items()
    }
    exec(compile(source, "<antialiased forward>", "exec"), known)
    function: Callable[..., Any] = known["forward"]
    return function
