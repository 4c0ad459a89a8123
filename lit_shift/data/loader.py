"""In-memory batch loader: whole batches of uint8 images, shuffled and augmented on the device that holds them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_shift.padding import Padding
from lit_shift.shifts import draw_offsets, seeded, shift


class Images(NamedTuple):
    """Images held in memory.

    ``pixels`` (N, 3, H, W) uint8, ``labels`` (N,) int64.
    """

    pixels: Tensor
    labels: Tensor

    def select(self, index: Tensor) -> "Images":
        """Return the images at ``index``, (n,) int64."""
        return Images(self.pixels[index], self.labels[index])


class Batch(NamedTuple):
    """A batch of images. ``places`` (N,) are their indices among the loader's images, which seed per-image draws."""

    pixels: Tensor
    labels: Tensor
    places: Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images, drawn anew every epoch.

    Args:
        flip: mirror left to right with probability 1/2.
        shift: with circular ``padding``, a circular shift, uniform over all offsets; otherwise a crop of the padded
            image, displaced by up to an eighth of its side (4 pixels of 32) in each direction.
        padding: border handling of the shift.
    """

    flip: bool
    shift: bool
    padding: Padding = "circular"

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Draw (n, 3) int64: 1 to flip and 0 not to, then the offset ``(h, w)``."""
        draws = torch.zeros(n, 3, dtype=torch.int64)
        if self.flip:
            draws[:, 0] = torch.randint(2, (n,), generator=generator)
        if self.shift and self.padding == "circular":
            draws[:, 1:] = draw_offsets((n,), height, width, generator)
        elif self.shift:
            rows, cols = height // 8, width // 8
            draws[:, 1:] = draw_offsets((n,), 2 * rows + 1, 2 * cols + 1, generator) - torch.tensor([rows, cols])
        return draws

    def apply(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """Change images (N, C, H, W) according to their rows of ``draws``."""
        if self.flip:
            pixels = torch.where(draws[:, 0, None, None, None] == 1, pixels.flip(3), pixels)
        if self.shift:
            pixels = shift(pixels, draws[:, 1:], self.padding)
        return pixels


class BatchLoader:
    """This process's share of each batch of images. Iterating once is one epoch.

    Every batch is divided among the processes, so its images and their augmentation do not depend on their number.
    Training reshuffles by seed and epoch, and drops those images of the last batch that the processes cannot share
    equally. Evaluation keeps the order and every image.

    Draws of an epoch depend only on seed and epoch, so a training stopped within an epoch continues with the same
    batches: Lightning saves :meth:`state_dict`, and calls ``sampler.set_epoch`` before every epoch.

    Args:
        images: all images, on the device where batches are wanted.
        batch_size: images per batch, over all processes.
        augmentation: for training; None for evaluation.
        seed: of shuffling and augmentation.
        rank: number of this process, out of ``world_size``.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.delivered = 0
        self._start = 0

    def __len__(self) -> int:
        images = len(self.images.labels)
        whole, rest = divmod(images, self.batch_size)
        # The last batch counts if this process gets an image of it; in training, if every process does.
        needed = self.world_size if self.augmentation else self.rank + 1
        return whole + (rest >= needed)

    def __iter__(self) -> Iterator[Batch]:
        order, draws = self._draw()
        n, start, self._start = len(order), self._start, 0
        for batch in range(start, len(self)):
            first, last = batch * self.batch_size, min((batch + 1) * self.batch_size, n)
            if self.augmentation:
                last -= (last - first) % self.world_size
            share = slice(first + self.rank, last, self.world_size)
            self.delivered = batch + 1
            yield self._batch(order[share], draws[share])

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Draw the epoch's order of the images, (N,), and their augmentation, (N, 3) or meaningless.

        They are drawn on the CPU, so that every device has the same.
        """
        n, _, height, width = self.images.pixels.shape
        generator = seeded(self.seed, self.epoch)
        device = self.images.pixels.device
        order = torch.randperm(n, generator=generator) if self.augmentation else torch.arange(n)
        draws = self.augmentation.draw(n, height, width, generator) if self.augmentation else order
        return order.to(device), draws.to(device)

    def _batch(self, places: Tensor, draws: Tensor) -> Batch:
        """Return the images at ``places``, augmented according to ``draws``."""
        pixels, labels = self.images.select(places)
        if self.augmentation:
            pixels = self.augmentation.apply(pixels, draws)
        return Batch(pixels, labels, places)

    batch_sampler = None

    @property
    def sampler(self) -> "BatchLoader":
        """The object whose ``set_epoch`` Lightning calls, as with the sampler of a ``DataLoader``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        return {"delivered": self.delivered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = state["delivered"] % len(self)
