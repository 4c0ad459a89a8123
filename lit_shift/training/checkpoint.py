"""Lightning checkpoints that are written atomically and read without running code."""

from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from lit_shift.utils import torch_files
from lit_shift.utils.errors import InputError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint IO, except that a kill or a full disk leaves the previous checkpoint in place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        torch_files.write(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        try:
            return load(Path(path), map_location)
        except InputError as error:
            raise InputError(f"{error} If it is deleted, the run starts over.") from error


class BackgroundCheckpointIO(AtomicCheckpointIO):
    """Checkpoint IO that copies a checkpoint on its device, and writes the copy while the training goes on.

    A GPU copies its own memory much faster than a file is written. There is one write at a time. If it fails, the next
    one raises the error, or :meth:`teardown`, which waits for the last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread = ThreadPoolExecutor(1)
        self.writing: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.teardown()
        copy, copied = deepcopy(checkpoint), None
        if torch.cuda.is_available():
            copied = torch.cuda.Event()
            copied.record()
        self.writing = self.thread.submit(self._write, copy, Path(path), copied)

    def _write(self, checkpoint: dict[str, Any], path: Path, copied: torch.cuda.Event | None) -> None:
        aside = torch.cuda.Stream() if copied else None  # the GPU's own work need not wait for this
        with torch.cuda.stream(aside):
            if copied:
                copied.wait()
            super().save_checkpoint(checkpoint, path)

    def teardown(self) -> None:
        writing, self.writing = self.writing, None
        if writing:
            writing.result()


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Load a checkpoint of a training.

    Raises:
        InputError: the file is missing, truncated or not a checkpoint.
    """
    checkpoint = torch_files.read(path, map_location)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise InputError(f"{path} is not a checkpoint of a training: it has no 'state_dict'.")
    return checkpoint


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a checkpoint's weights into a module that has a ``net``. Entries that the module lacks are ignored.

    Raises:
        InputError: as :func:`load`, or weights of another architecture. Names the first mismatch.
    """
    own, saved_state = module.state_dict(), load(path)["state_dict"]
    try:
        module.load_state_dict({name: v for name, v in saved_state.items() if name in own or name.startswith("net.")})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise InputError(f"{path} has another architecture than its config.yaml describes: {first}") from error
