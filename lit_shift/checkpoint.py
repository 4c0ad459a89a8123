"""Checkpoints: written whole or not at all, read without running code."""

import pickle
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lit_shift.errors import InputError
from lit_shift.files import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, such that a kill or a full disk leaves the previous one in place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        atomic_write(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        return load(Path(path), map_location)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A Lightning checkpoint, with ``weights_only=True``.

    Raises:
        InputError: no such file, a truncated one, or no checkpoint.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}.")
    try:
        checkpoint = torch.load(path, map_location, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise InputError(f"{path} is truncated or not a checkpoint.") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise InputError(f"{path} is not a checkpoint of a training run: it has no 'state_dict'.")
    return checkpoint


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Put a checkpoint's weights into a module.

    Raises:
        InputError: as :func:`load`, or weights of another architecture; names the first mismatch.
    """
    try:
        module.load_state_dict(load(path)["state_dict"])
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise InputError(f"{path} is of another architecture than its config.yaml describes: {first}") from error
