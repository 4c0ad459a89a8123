"""Batches that are made where and when a training step needs them, so that the step can be replayed as a CUDA graph."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_shift.data.loader import Batch, BatchLoader


class Chunk(NamedTuple):
    """Consecutive batches of an epoch, which ``loader.take`` makes one after another.

    ``labels`` (M,) are the labels of all their images; ``sizes`` are the numbers of images of the batches.
    """

    labels: Tensor
    sizes: Sequence[int]
    loader: "ChunkLoader"


class ChunkLoader(BatchLoader):
    """The same batches as :class:`~lit_shift.data.loader.BatchLoader`'s, for one process, ``at_once`` at a time.

    The epoch's order and draws, and how far it has come, lie on the device in tensors that stay where they are.

    Args:
        at_once: batches of a chunk.
        *args, **kwargs: as for ``BatchLoader``, with an augmentation.
    """

    def __init__(self, at_once: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at_once = at_once
        n, device = len(self.images.labels), self.images.labels.device
        self.order = torch.zeros(n, dtype=torch.int64, device=device)
        self.draws = torch.zeros(n, 3, dtype=torch.int64, device=device)
        self.taken = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def batches(self) -> int:
        """Number of batches of an epoch."""
        return super().__len__()

    def __len__(self) -> int:
        return -(-self.batches // self.at_once)

    def __iter__(self) -> Iterator[Chunk]:  # type: ignore[override]
        order, draws = self._draw()
        self.order.copy_(order)
        self.draws.copy_(draws)
        start, self._start = self._start, 0
        for first in range(start, self.batches, self.at_once):
            self.delivered = min(first + self.at_once, self.batches)
            bounds = [min(batch * self.batch_size, len(order)) for batch in range(first, self.delivered + 1)]
            self.taken.fill_(bounds[0])
            sizes = [after - before for before, after in pairwise(bounds)]
            yield Chunk(self.images.labels[self.order[bounds[0] : bounds[-1]]], sizes, self)

    def take(self, size: int) -> Batch:
        """Make the next batch, of ``size`` images, by operations on the device alone."""
        share = self.taken + torch.arange(size, device=self.taken.device)
        batch = self._batch(self.order[share], self.draws[share])
        self.taken += size
        return batch

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = state["delivered"] % self.batches
