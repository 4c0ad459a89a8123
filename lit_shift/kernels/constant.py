"""Results that are computed once and then never change."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


def constant(make: Callable[..., Made]) -> Callable[..., Made]:
    """Decorate a function so that it computes its result once per tuple of hashable positional arguments.

    The result is computed in a separate thread, because PyTorch's modes are thread-local: it comes out the same even
    when first needed while a network is traced or exported, or under ``inference_mode``, ``vmap``, autocast or another
    default device. ``torch.compile`` treats it as a constant; with a plain cache it would recompute it at every step.

    If a size among the arguments is left open by ``torch.export`` or ``torch.compile``, the function becomes a part of
    the program instead.
    """

    @cache
    def made(*arguments: Any) -> Made:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(make, *arguments).result()

    @torch.compiler.allow_in_graph
    @wraps(make)
    def taken(*arguments: Any) -> Made:
        if any(isinstance(argument, torch.SymInt) for argument in arguments):
            return make(*arguments)
        # torch.jit.trace holds sizes in tensors, each of which would be another key.
        return _lifted(made(*(int(each) if isinstance(each, Tensor) else each for each in arguments)))

    return taken


def _lifted(made: Any) -> Any:
    """Return a tensor, or named tuple of tensors, as the current mode sees it; unchanged if no mode is active."""
    if isinstance(made, Tensor):
        return torch.ops.aten.lift_fresh(made)
    return made._make(map(_lifted, made)) if isinstance(made, tuple) else made  # type: ignore[attr-defined]
