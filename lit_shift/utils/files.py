"""Files: find input and decode its text, write a file completely or not at all, create writable folders."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from lit_shift.utils.errors import InputError


def hidden(name: str) -> bool:
    """True for files that are never input, created by tools: ``.ipynb_checkpoints``, ``.DS_Store``, ``._a.xml``."""
    return name.startswith(".")


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder sorted by name, without hidden ones."""
    return sorted(child for child in folder.iterdir() if not hidden(child.name))


def encoding(start: bytes) -> str:
    """Detect the Unicode encoding of a text from its first four or more bytes.

    It is UTF-8 unless a byte-order mark or zero bytes indicate UTF-16 or UTF-32.
    """
    return json.detect_encoding(start)


def decode(content: bytes, path: Path | str, known: str | None = None) -> str:
    """Decode the content of a file, in the ``known`` encoding or else the detected one.

    Raises:
        InputError: unknown encoding, or bytes invalid in it; names the line.
    """
    name = known or encoding(content)
    try:
        return content.decode(name)
    except LookupError as error:
        raise InputError(f"{path} declares the encoding {name!r}, which is unknown.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(name, "replace").count("\n") + 1
        shown = name.removesuffix("-sig").upper()
        raise InputError(f"{path}, line {line} is not {shown} text ({error.reason}): save it as UTF-8.") from error


def read_text(path: Path) -> str:
    """Read a text file in any Unicode encoding, without its byte-order mark.

    Raises:
        OSError: the file cannot be read.
        InputError: the file is not Unicode text.
    """
    return decode(path.read_bytes(), path)


def atomic_write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call ``write`` on a temporary file, which replaces ``path`` once it is complete and on disk.

    Raises:
        OSError: the file cannot be written. Whatever was at ``path`` is untouched.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:  # on a full disk the error does not name the file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def atomic_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    atomic_write(path, lambda file: file.write(text.encode()))


def given(path: object, name: str = "path") -> Path:
    """Convert a path given by the user (command line, config or call), expanding ``~`` to the home folder.

    Args:
        path: as given. A number other than a whole one was typed as text that looks like it: ``1.50`` would be lost.
        name: name of the option.

    Raises:
        InputError: not a path, or ``~user`` names a user who does not exist.
    """
    if isinstance(path, float | bool | list | dict):
        raise InputError(f"{name}={path} is not a path: quote one that looks like a number, as '{name}=\"1.50\"'.")
    if path == "":
        raise InputError(f"{name}= names nothing: type {name}=PATH.")
    try:
        return Path(str(path)).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: ~ names a user who does not exist.") from error


def given_folder(path: object, key: str, holds: str) -> Path:
    """Return the folder given as the config's ``key``. If it is no folder, the InputError says what it must hold."""
    folder = given(path, key)
    if not folder.is_dir():
        raise InputError(f"{key}={folder} is no folder: name one that holds {holds}.")
    return folder


def make_folder(folder: Path, name: str) -> None:
    """Create a folder and check that it is writable. The InputError names the option that chooses it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # unnamed, so that processes cannot collide
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written ({error.strerror}): say {name}=FOLDER.") from error
