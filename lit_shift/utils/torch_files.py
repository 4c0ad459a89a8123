"""Files saved by torch: written completely or not at all, read without running code."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_write


def write(path: Path, content: Any) -> None:
    """Like ``torch.save``, but a kill or a full disk leaves the previous file in place.

    Raises:
        OSError: the file cannot be written.
    """
    in_memory = BytesIO()  # on a full disk torch.save itself fails without naming the file
    torch.save(content, in_memory)
    atomic_write(path, lambda file: file.write(in_memory.getbuffer()))


def read(path: Path, map_location: Any = "cpu") -> Any:
    """Like ``torch.load`` with ``weights_only=True``.

    Raises:
        InputError: the file is missing, truncated or was not saved by torch.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        return torch.load(path, map_location, weights_only=True)
    except Exception as error:  # on arbitrary bytes the unpickler can raise anything
        raise InputError(
            f"{path} is truncated or not a file saved by torch, or it holds more than tensors (save only the "
            "network's state_dict)."
        ) from error
