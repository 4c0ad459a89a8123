"""Files: which are input and as what text they read; written whole or not at all; folders that can be written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from lit_shift.utils.errors import InputError


def hidden(name: str) -> bool:
    """Whether a file or folder is never input: ``.ipynb_checkpoints``, ``.DS_Store`` and ``._a.xml`` are of tools."""
    return name.startswith(".")


def visible(folder: Path) -> list[Path]:
    """What is in a folder, in order of names, without what is hidden."""
    return sorted(child for child in folder.iterdir() if not hidden(child.name))


def encoding(start: bytes) -> str:
    """The Unicode encoding of a text, of which four bytes or more tell it: UTF-8 where neither a byte-order mark nor
    zeros say UTF-16 or UTF-32."""
    return json.detect_encoding(start)


def decode(content: bytes, path: Path | str, known: str | None = None) -> str:
    """The text of a file, in the encoding that is known or that it shows by itself.

    Raises:
        InputError: there is no such encoding, or the bytes are not of it, with the line.
    """
    name = known or encoding(content)
    try:
        return content.decode(name)
    except LookupError as error:
        raise InputError(f"{path} says that its encoding is {name!r}, which is none that is known.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(name, "replace").count("\n") + 1
        shown = name.removesuffix("-sig").upper()
        raise InputError(f"{path}, line {line} is not {shown} text ({error.reason}): save it as UTF-8.") from error


def read_text(path: Path) -> str:
    """A text file in any of Unicode's encodings, without its byte-order mark.

    Raises:
        OSError: it cannot be read.
        InputError: it is not such text.
    """
    return decode(path.read_bytes(), path)


def atomic_write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let ``write`` fill a file that takes the place of ``path`` once it is whole and on the disk.

    Raises:
        OSError: it cannot be written; what was at ``path`` before is untouched.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:  # that of a full disk does not say where
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def atomic_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    atomic_write(path, lambda file: file.write(text.encode()))


def given(path: object) -> Path:
    """A path as a user names it, on a command line, in a config or in a call: ``~`` is the home folder.

    Raises:
        InputError: the home of a user that there is not.
    """
    try:
        return Path(str(path)).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no such user, whose home ~ would mean.") from error


def given_folder(path: object, key: str, holds: str) -> Path:
    """A folder that a user names by the config's ``key``; an InputError that says what such a one ``holds``."""
    folder = given(path)
    if not folder.is_dir():
        raise InputError(f"{key}={folder} is no folder: name one that holds {holds}.")
    return folder


def split_folders(root: object) -> tuple[Path, Path]:
    """The folders ``train`` and ``test`` of a data set that a user names; an InputError where one is not there."""
    root = given(root)
    for split in ("train", "test"):
        if not (root / split).is_dir():
            raise InputError(
                f"data.root={root} has no folder {split!r}: images are expected at {root}/train/<class>/ and "
                f"{root}/test/<class>/."
            )
    return root / "train", root / "test"


def make_folder(folder: Path, switch: str) -> None:
    """A folder that can be written; an InputError that names the config's ``switch`` where there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # which has no name that another process could trip over
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written ({error.strerror}): say {switch}=FOLDER.") from error
