"""The in-memory batch loader: whole batches of uint8 images, shuffled and augmented on the device that holds them."""

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
        """The images at ``index``, (n,) int64."""
        return Images(self.pixels[index], self.labels[index])


class Batch(NamedTuple):
    """A batch of images. ``places`` (N,) say where among the loader's images they are: per-image draws go by it."""

    pixels: Tensor
    labels: Tensor
    places: Tensor


@dataclass(frozen=True)
class Augmentation:
    """What training changes about an image, drawn anew every epoch.

    Args:
        flip: mirror left to right, half of the time.
        shift: with circular ``padding`` a circular shift, uniform over all offsets; otherwise a crop of the padded
            image, up to an eighth of its side away (4 pixels of 32) in each direction.
        padding: what lies beyond the border.
    """

    flip: bool
    shift: bool
    padding: Padding = "circular"

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """(n, 3) int64: whether to flip, and the offset ``(h, w)``."""
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
        """Images (N, C, H, W) changed as their rows of ``draws`` say."""
        if self.flip:
            pixels = torch.where(draws[:, 0, None, None, None] == 1, pixels.flip(3), pixels)
        if self.shift:
            pixels = shift(pixels, draws[:, 1:], self.padding)
        return pixels


class BatchLoader:
    """This process's share of each batch of images; iterating is one epoch.

    A batch is divided between the processes, so that its images and their augmentation do not depend on how many
    there are. Training reshuffles by seed and epoch and leaves out what the processes cannot share equally of the last
    batch; evaluation keeps the order and every image.

    Nothing drawn depends on earlier draws, so a training stopped within an epoch continues with the same batches:
    Lightning saves :meth:`state_dict`, and calls ``sampler.set_epoch`` before every epoch.

    Args:
        images: all images, on the device where batches are wanted.
        batch_size: images of a batch over all processes.
        augmentation: for training; None evaluates.
        seed: of shuffling and augmentation.
        rank: this process, of ``world_size``.
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
        # The last batch counts if this process gets an image of it, and in training if every process does.
        needed = self.world_size if self.augmentation else self.rank + 1
        return whole + (rest >= needed)

    def __iter__(self) -> Iterator[Batch]:
        n, _, height, width = self.images.pixels.shape
        generator = seeded(self.seed, self.epoch)
        device = self.images.pixels.device
        order = torch.randperm(n, generator=generator) if self.augmentation else torch.arange(n)
        draws = self.augmentation.draw(n, height, width, generator) if self.augmentation else order
        order, draws = order.to(device), draws.to(device)
        start, self._start = self._start, 0
        for batch in range(start, len(self)):
            first, last = batch * self.batch_size, min((batch + 1) * self.batch_size, n)
            if self.augmentation:
                last -= (last - first) % self.world_size
            share = slice(first + self.rank, last, self.world_size)
            places = order[share]
            pixels, labels = self.images.select(places)
            if self.augmentation:
                pixels = self.augmentation.apply(pixels, draws[share])
            self.delivered = batch + 1
            yield Batch(pixels, labels, places)

    batch_sampler = None

    @property
    def sampler(self) -> "BatchLoader":
        """What Lightning calls ``set_epoch`` on, as it would on that of a ``DataLoader``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        return {"delivered": self.delivered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = state["delivered"] % len(self)
