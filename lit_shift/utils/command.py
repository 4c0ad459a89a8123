"""Parsing and quoting of command lines in Hydra's grammar. Needs no torch."""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType
from hydra.errors import HydraException

from lit_shift.utils.errors import InputError

# Hydra's options that take a value, and their short forms.
WITH_VALUE = {"--config-dir": "-cd", "--config-path": "-cp", "--config-name": "-cn", "--package": "-p", "--cfg": "-c"}
FORM = "Arguments are of the form name=value, without spaces, and lists quoted, as 'a=[b,c]'"


def called(name: str) -> str:
    """Return the text that calls a command: ``lit-shift train``, or ``python train.py`` in a checkout."""
    if (
        Path(sys.argv[0]).parent.name == "commands" or name == "remedies"
    ):  # the former is set by lit_shift.commands.main
        return f"lit-shift {name}"
    return f"python {name}.py" if name in ("train", "eval") else f"python -m lit_shift.{name}"


def split(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split a command's arguments into Hydra's own options and the words ``name=value``.

    Returns:
        The options: ``config_dir`` (a path or None), ``multirun``, and ``shows``, True if the command only prints, as
        with ``--help``; and the words.

    Raises:
        InputError: a word with a dash before it.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag, short in WITH_VALUE.items():
        parser.add_argument(flag, short)
    parser.add_argument("--info", "-i", nargs="?", const="all")
    parser.add_argument("--multirun", "-m", action="store_true")
    for argument in arguments:
        dashed = re.match(r"(-+[\w./@-]+)=", argument)
        if dashed and dashed[1] not in {*WITH_VALUE, *WITH_VALUE.values(), "--info", "-i"}:
            raise InputError(f"{argument}: a switch has no dash, type {shlex.quote(argument.lstrip('-'))}")
    options, rest = parser.parse_known_args(arguments)
    words = [word for word in rest if not word.startswith("-")]
    options.shows = bool(options.cfg or options.info or len(words) < len(rest))
    return options, words


def parsed(words: Sequence[str]) -> list[Override]:
    """Parse ``name=value`` words.

    Raises:
        InputError: a word does not follow the grammar. The message says what to type instead.
    """
    parser = OverridesParser.create()
    overrides = []
    for word in words:
        try:
            overrides.append(parser.parse_override(word))
        except HydraException as error:
            raise misspelt(word, words) from error
    return overrides


def each(override: Override) -> list[str]:
    """Return the word itself or, for a sweep, one word per run; none for a glob parsed without a config."""
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP and override.config_loader is None:
        return []
    if not override.is_discrete_sweep():
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={text}" for text in override.sweep_string_iterator()]


def values(override: Override) -> list[Any]:
    """Return the value that a word gives its name in each run of a sweep."""
    return [run.value() for run in parsed(each(override))]


def typed(key: str, value: str | Path) -> str:
    """Return the word that sets a key to a text, quoted where Hydra's grammar or the shell requires it.

    >>> print(typed("ckpt", "runs/a/last.ckpt"), typed("ckpt", "lr=0.1/last.ckpt"))
    ckpt=runs/a/last.ckpt 'ckpt="lr=0.1/last.ckpt"'
    """
    plain = f"{key}={value}"
    try:
        as_it_is = OverridesParser.create().parse_override(plain).value() == str(value)
    except HydraException:
        as_it_is = False
    return shlex.quote(plain if as_it_is else f"{key}={QuotedString(str(value), Quote.double).with_quotes()}")


def misspelt(word: str, words: Sequence[str]) -> InputError:
    """Return the error for a word that does not follow the grammar.

    Args:
        word: as typed.
        words: the whole command. A shell may have split this word from the previous one at a space.
    """
    if word.startswith("-"):
        return InputError(f"{word}: a switch has no dash, type {shlex.quote(word.lstrip('-'))}")
    key, equal, value = word.partition("=")  # the grammar says nothing about a word it cannot parse
    before = words[words.index(word) - 1] if word in words[1:] else ""
    if equal and value.strip(" ,") == value and not value.startswith(("[", "{")) and _is_key(key):
        return InputError(
            f"{word}: some of its characters have a special meaning, so the value must be quoted: type "
            f"{typed(key, value)}"
        )
    key, equal_before, value = before.partition("=")
    if not equal and equal_before and value and _is_key(key) and "=" not in words:  # as in a = b
        return InputError(
            f"{word!r} is not of the form name=value. If it belongs to the word before it, type "
            f"{typed(key, f'{value} {word}')}"
        )
    return InputError(f"{FORM}.")


def _is_key(key: str) -> bool:
    try:
        return OverridesParser.create().parse_override(f"{key}=0").key_or_group != ""
    except HydraException:
        return False
