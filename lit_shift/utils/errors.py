"""User errors, each explained in one sentence."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException, ValidationError


class InputError(ValueError):
    """Invalid input. The message is one sentence that says what to do. Commands print it without a traceback."""


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


@contextmanager
def typed_as(schema: type, values: Mapping[str, object] | DictConfig) -> Iterator[None]:
    """Re-raise OmegaConf's errors about values for the fields of a dataclass as an InputError."""
    try:
        yield
    except ValidationError as error:
        name = str(error.full_key)
        (kind,) = (field.type for field in fields(schema) if field.name == name)
        words = "true or false" if kind is bool else "a whole number" if kind in (int, int | None) else "a single value"
        raise InputError(f"{name}={values[name]} must be {words}.") from error
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key!s}: {str(error.msg).splitlines()[0]}.") from error
