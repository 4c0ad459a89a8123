"""What a user did that cannot work, in one sentence."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input. Its message is one sentence that says what to do; a command prints it without a traceback."""


def unknown(kind: str, name: str, choices: Iterable[str]) -> InputError:
    """The error for a name that is not among ``choices``: names the nearest one and lists all."""
    choices = list(choices)
    near = get_close_matches(str(name), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"Unknown {kind} {name!r}.{hint} Choices: {', '.join(choices)}.")


def at_least(least: int, name: str, value: int) -> int:
    """``value``, or the error of a whole number that is none or too small."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}={value} must be a whole number, {least} or more.")
    return value


def true_or_false(name: str, value: bool) -> bool:
    """``value``, or the error of what is neither."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={value} must be true or false.")
    return value


def at_least_or_all(least: int, name: str, value: int | str) -> int | None:
    """As :func:`at_least`, or None for ``all``."""
    return None if value == "all" else at_least(least, name, value)  # type: ignore[arg-type]


def places(images: Sequence[int] | None) -> list[int]:
    """The test images that ``images=`` names, or the error of what is no list of places."""
    if isinstance(images, int | str):
        raise InputError(f"images={images} must be a list of places in the test set, as 'images=[3,7]'.")
    return [at_least(0, "images", place) for place in images or ()]


def check_places(images: Sequence[int], total: int) -> None:
    """The error of a place that the test set has not."""
    if max(images, default=0) >= total:
        raise InputError(f"images={list(images)}: the {total} test images are numbered from 0 to {total - 1}.")


def number(name: str, value: float, least: float = -math.inf) -> float:
    """``value``, or the error of what is no number or too small a one."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= least:
        raise InputError(f"{name}={value} must be a number{'' if least == -math.inf else f', {least:g} or more'}.")
    return value
