"""Results that are made once and then stay what they are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


def constant(make: Callable[..., Made]) -> Callable[..., Made]:
    """Have a function make its result once for the same arguments, which are positional and can be hashed.

    It is made in a thread of its own, as PyTorch's modes are of a thread: what is first made while a network is traced
    or exported, under ``inference_mode``, ``vmap``, autocast or another default device is what it is elsewhere.
    ``torch.compile`` takes it as it is; of a function that is only cached it would make the result anew at every step.
    """

    @cache
    def made(*arguments: Any) -> Made:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(make, *arguments).result()

    @torch.compiler.allow_in_graph
    @wraps(make)
    def taken(*arguments: Any) -> Made:
        return _lifted(made(*arguments))

    return taken


def _lifted(made: Any) -> Any:
    """A tensor, or a named tuple of tensors, as the mode sees it in which it is taken; without one as it is."""
    if isinstance(made, Tensor):
        return torch.ops.aten.lift_fresh(made)
    return made._make(map(_lifted, made)) if isinstance(made, tuple) else made  # type: ignore[attr-defined]
