"""Functions of the user's, by name."""

import os
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from lit_shift.utils.errors import InputError


def function(target: str) -> Callable[..., Any]:
    """Import the function that ``target=module:function`` names, from the current folder or installed.

    Raises:
        InputError: another form, no such module, or no such function in it.
    """
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", target):
        raise InputError(f"target={target} must be of the form module:function.")
    module, _, name = target.partition(":")
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # the user's module imports another one that is missing
            raise
        raise InputError(f"target={target}: there is no module {module!r} in {os.getcwd()}, nor installed.") from error
    if not callable(found):
        raise InputError(f"target={target}: module {module!r} has no function {name!r}.")
    return found
