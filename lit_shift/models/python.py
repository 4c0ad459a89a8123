"""A network to be trained that a function of the user makes."""

from collections.abc import Callable
from typing import Any

from torch import nn

from lit_shift.pools.pool import made
from lit_shift.utils.errors import InputError
from lit_shift.utils.imports import function


def from_function(target: str, pool: Callable[..., nn.Module], num_classes: int, **options: Any) -> nn.Module:
    """Make a network by ``module:function``, called with ``pool``, ``num_classes`` and options of its own.

    Args:
        target: the function, in the current folder or installed.
        pool: called for each pool, with ``channels`` if it takes them; see :func:`lit_shift.pools.pool.made`.
        num_classes: number of outputs.
        options: whatever else the function takes.

    Raises:
        InputError: no such function, or what it returns is no network or has none of these pools.
    """
    net = function(target)(pool=pool, num_classes=num_classes, **options)
    if not isinstance(net, nn.Module):
        raise InputError(f"target={target} returns a {type(net).__name__}, not a torch.nn.Module.")
    kind = type(made(pool, channels=8))
    if not any(isinstance(module, kind) for module in net.modules()):
        raise InputError(
            f"target={target} returns a network without the pool {kind.__name__}: it must call its argument pool for "
            "each of its pools."
        )
    return net
