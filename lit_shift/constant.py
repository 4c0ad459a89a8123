"""Results that are made once and then stay what they are."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

import torch

Made = TypeVar("Made")


def constant(make: Callable[..., Made]) -> Callable[..., Made]:
    """Have a function make its result once for the same arguments, which are positional and can be hashed.

    What is first made under ``inference_mode`` serves in training too, and ``torch.compile`` takes it as it is; of a
    function that is only cached it would make the result anew at every step.
    """

    @cache
    def made(*arguments: Any) -> Made:
        with torch.inference_mode(False), torch.no_grad():
            return make(*arguments)

    @torch.compiler.assume_constant_result
    @wraps(make)
    def taken(*arguments: Any) -> Made:
        return made(*arguments)

    return taken
