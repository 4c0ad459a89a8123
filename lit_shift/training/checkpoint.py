"""Lightning's checkpoints, safe to write and safe to read."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from lit_shift.utils import torch_files
from lit_shift.utils.errors import InputError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, such that a kill or a full disk leaves the previous one in place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        torch_files.write(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        try:
            return load(Path(path), map_location)
        except InputError as error:
            raise InputError(f"{error} Where it is deleted, or with fresh=true, the run starts over.") from error


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint of a training.

    Raises:
        InputError: no such file, a truncated one, or no checkpoint.
    """
    checkpoint = torch_files.read(path, map_location)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise InputError(f"{path} is not a checkpoint of a training: it has no 'state_dict'.")
    return checkpoint


def load_weights(module: nn.Module, path: Path) -> None:
    """Put a checkpoint's weights into a module that has a ``net``; what else the module has not is left aside.

    Raises:
        InputError: as :func:`load`, or weights of another architecture; names the first mismatch.
    """
    own, saved_state = module.state_dict(), load(path)["state_dict"]
    try:
        module.load_state_dict({name: v for name, v in saved_state.items() if name in own or name.startswith("net.")})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise InputError(f"{path} is of another architecture than its config.yaml describes: {first}") from error
