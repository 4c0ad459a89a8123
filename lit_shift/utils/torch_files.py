"""What torch saves: written whole or not at all, read without running code."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_write


def write(path: Path, content: Any) -> None:
    """``torch.save`` such that a kill or a full disk leaves what was there before.

    Raises:
        OSError: it cannot be written.
    """
    in_memory = BytesIO()  # on a full disk torch.save itself stumbles, and does not say over what
    torch.save(content, in_memory)
    atomic_write(path, lambda file: file.write(in_memory.getbuffer()))


def read(path: Path, map_location: Any = "cpu") -> Any:
    """``torch.load`` with ``weights_only=True``.

    Raises:
        InputError: no such file, a truncated one, or one that torch has not saved.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        return torch.load(path, map_location, weights_only=True)
    except Exception as error:  # on arbitrary bytes the unpickler raises whatever it stumbles over
        raise InputError(
            f"{path} is truncated or not a file saved by torch, or it holds more than tensors (of a network, save the "
            "state_dict)."
        ) from error
