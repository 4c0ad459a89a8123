"""Work that a GPU repeats without Python between its operations."""

from collections.abc import Callable
from typing import Any

import torch


class Replay:
    """A piece of work that, on a GPU, becomes a CUDA graph after a few calls. Elsewhere it is called as it is.

    The work reads and writes tensors that stay where they are, uses the same operations in every call, and neither
    waits for the device nor returns anything. The first calls run as they are: PyTorch and its libraries choose
    algorithms and allocate workspaces in them.

    Args:
        work: called without arguments.
        device: where its tensors are.
        pool: memory that graphs share which never run at the same time; see ``torch.cuda.graph_pool_handle``.
    """

    FIRST_CALLS = 3

    def __init__(self, work: Callable[[], None], device: torch.device, pool: Any = None) -> None:
        self.work = work
        self.device = device
        self.pool = pool
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        # For the first calls and the capture, which must not be on the default stream.
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self) -> None:
        if self.device.type != "cuda":
            self.work()
        elif self.graph:
            self.graph.replay()
        elif self.calls < self.FIRST_CALLS:
            self.calls += 1
            self._aside()
        else:
            self.graph = torch.cuda.CUDAGraph()
            # Other threads, such as one that writes a checkpoint, may use the GPU meanwhile.
            with torch.cuda.graph(self.graph, self.pool, self.stream, capture_error_mode="thread_local"):
                self.work()
            self.graph.replay()

    def _aside(self) -> None:
        """Call the work on its stream, after what the current one does and before what it will do."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)  # type: ignore[union-attr]
        with torch.cuda.stream(self.stream):
            self.work()
        current.wait_stream(self.stream)  # type: ignore[arg-type]
