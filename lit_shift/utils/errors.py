"""User errors, each explained in one sentence."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TypeVar

Name = TypeVar("Name", bound=str)


class InputError(ValueError):
    """Invalid input. The message is one sentence that says what to do. Commands print it without a traceback."""


def install(extra: str) -> str:
    """Return, as part of a sentence, the commands that install one of the package's optional extras."""
    return f"install it with 'uv sync --extra {extra}' or \"pip install 'lit-shift[{extra}]'\""


def unknown(kind: str, name: str, choices: Iterable[str]) -> InputError:
    """Return the error for a name that is not in ``choices``. It suggests the closest one and lists all."""
    choices = list(choices)
    near = get_close_matches(str(name), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"Unknown {kind} {name!r}.{hint} Choices: {', '.join(choices)}.")


def at_least(least: int, name: str, value: int) -> int:
    """Return ``value`` if it is a whole number of at least ``least``, else raise an InputError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}={value} must be a whole number, {least} or more.")
    return value


def true_or_false(name: str, value: bool) -> bool:
    """Return ``value`` if it is a bool, else raise an InputError."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={value} must be true or false.")
    return value


def at_least_or_all(least: int, name: str, value: int | str) -> int | None:
    """Like :func:`at_least`, but return None for ``all``."""
    return None if value == "all" else at_least(least, name, value)  # type: ignore[arg-type]


def places(images: Sequence[int] | None) -> list[int]:
    """Return the test images named by ``images=``, or raise an InputError if it is not a list of indices."""
    if isinstance(images, int | str):
        raise InputError(f"images={images} must be a list of indices into the test set, such as 'images=[3,7]'.")
    return [at_least(0, "images", place) for place in images or ()]


def check_places(images: Sequence[int], total: int) -> None:
    """Raise an InputError if an index is beyond the end of the test set."""
    if max(images, default=0) >= total:
        raise InputError(f"images={list(images)}: the {total} test images are numbered from 0 to {total - 1}.")


def number(name: str, value: float, least: float = -math.inf) -> float:
    """Return ``value`` if it is a number of at least ``least``, else raise an InputError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= least:
        raise InputError(f"{name}={value} must be a number{'' if least == -math.inf else f', {least:g} or more'}.")
    return value


def one_of(choices: Collection[Name], name: str, value: Name) -> Name:
    """Return ``value`` if it is one of the choices, else raise an InputError that lists them."""
    if value not in choices:
        raise unknown(name, value, choices)
    return value


@contextmanager
def as_typed(names: Mapping[str, str]) -> Iterator[None]:
    """Name options as the user types them in InputErrors from classes, which know them by the names of their arguments.

    >>> with as_typed({"size": "data.size"}):
    ...     at_least(1, "size", 0)
    Traceback (most recent call last):
    lit_shift.utils.errors.InputError: data.size=0 must be a whole number, 1 or more.
    """
    try:
        yield
    except InputError as error:
        arguments = "|".join(map(re.escape, names)) or "(?!)"
        named = rf"(?<![\w./-])(?:{arguments})(?==)|(?<=Unknown )(?:{arguments})(?= ')"
        raise InputError(re.sub(named, lambda found: names[found[0]], str(error))) from error
