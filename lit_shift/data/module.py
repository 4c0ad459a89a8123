"""Base of all data sets: the split, the pixel statistics, the loaders."""

import math
from abc import abstractmethod
from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from sklearn.model_selection import train_test_split
from torch import Tensor

from lit_shift.data.chunks import ChunkLoader
from lit_shift.data.loader import Augmentation, BatchLoader, Images
from lit_shift.data.sources import Collection, InMemory, Source
from lit_shift.padding import PADDINGS, Padding
from lit_shift.shifts import seeded
from lit_shift.utils.errors import InputError, at_least, one_of, true_or_false

MEMORY = 40 * 2**20  # bytes for all shifts of a 32x32 image in VGG13 of width 64, which took 29 to 31 MiB on a CPU
MOST = 128  # images whose shifts keep a large GPU busy


class Dataset(NamedTuple):
    """Training images, test images, class names and, if they come from files, the names of the test images."""

    train: Images
    test: Images
    classes: list[str]
    names: Sequence[str] = ()


class ImageDataModule(LightningDataModule, Source):
    """A data set held in memory. A new one overrides :meth:`read`.

    Args:
        batch_size: training images per batch, over all processes.
        eval_batch_size: likewise in evaluation; for one GPU see :func:`fitting`.
        aug: random shifts in training; see :class:`lit_shift.data.loader.Augmentation`.
        flip: random horizontal flips in training.
        padding: border handling of these shifts.
        val_size: number of training images held out by a stratified split; 0 trains on all, as the paper does.
        seed: of the split, the shuffling and the augmentation.

    Attributes:
        batches_at_once: batches that the training takes at a time, as a :class:`~lit_shift.data.chunks.Chunk` if there
            are several. A training that can do so sets it.
    """

    def __init__(
        self,
        batch_size: int,
        eval_batch_size: int,
        aug: bool,
        flip: bool,
        padding: Padding,
        val_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.batch_size = at_least(1, "batch_size", batch_size)
        self.eval_batch_size = at_least(1, "eval_batch_size", eval_batch_size)
        one_of(PADDINGS, "padding", padding)
        self.augmentation = Augmentation(true_or_false("flip", flip), true_or_false("aug", aug), padding)
        self.val_size = at_least(0, "val_size", val_size)
        self.seed = at_least(0, "seed", seed)
        self.batches_at_once = 1
        self._ready = False

    @abstractmethod
    def read(self) -> Dataset:
        """Read the data set into CPU memory."""

    def collection(self) -> Collection:
        """Return the test images one by one."""
        self.setup()
        return InMemory(self.test, self.classes)

    def setup(self, stage: str | None = None) -> None:
        """Read the data, split it and compute its statistics, once.

        Sets ``train``, ``val`` (None if ``val_size`` is 0), ``test``, ``classes`` and ``names``, and the ``mean`` and
        ``std`` of the training pixels scaled to [0, 1], (3,) float32 each.
        """
        if self._ready:
            return
        self.train, self.test, self.classes, self.names = self.read()
        if len(self.classes) < 2:
            raise InputError(f"There is only one class, {self.classes[0]!r}; a classifier needs two.")
        self.val = None
        if self.val_size:
            self.train, self.val = self._split()
        pixels = self.train.pixels.transpose(0, 1).flatten(1)
        # A histogram gives both moments exactly, without a float copy of all pixels.
        counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in pixels]).double()
        levels = torch.arange(256, dtype=torch.float64) / 255
        weights = counts / counts.sum(1, keepdim=True)
        mean = weights @ levels
        self.mean = mean.float()
        self.std = (weights @ levels.square() - mean.square()).clamp(min=1e-12).sqrt().float()
        self._ready = True

    def relabel(self, outputs: Sequence[int], classes: Sequence[str]) -> None:
        """Label the images by a trained network's outputs, which take the names of the present classes.

        Args:
            outputs: the network's output for each of the present classes.
            classes: names of all outputs.
        """
        names = dict(zip(outputs, self.classes, strict=True))
        output = torch.tensor(outputs)
        self.train, self.test = (images._replace(labels=output[images.labels]) for images in (self.train, self.test))
        if self.val:
            self.val = self.val._replace(labels=output[self.val.labels])
        self.classes = [names.get(place, name) for place, name in enumerate(classes)]

    def _split(self) -> tuple[Images, Images]:
        labels = self.train.labels
        if not len(self.classes) <= self.val_size <= len(labels) - len(self.classes):
            raise InputError(
                f"val_size={self.val_size} does not leave an image of each of the {len(self.classes)} classes "
                f"on both sides of the split; there are {len(labels)} training images."
            )
        index = np.arange(len(labels))
        kept, held_out = train_test_split(index, test_size=self.val_size, stratify=labels, random_state=self.seed)
        return tuple(self.train.select(torch.from_numpy(np.sort(part))) for part in (kept, held_out))  # type: ignore[return-value]

    def train_dataloader(self) -> BatchLoader:
        return self._loader(self.train, self.augmentation)

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        return self._loader(self.val) if self.val else []

    def test_dataloader(self) -> BatchLoader:
        return self._loader(self.test)

    @property
    def image_size(self) -> list[int]:
        """Height and width of the images."""
        return list(self.train.pixels.shape[2:])

    @property
    def held_out(self) -> Images:
        """Images to measure during training: the held-out images if there are any, else the test images.

        The measurements never select a model.
        """
        return self.val or self.test

    def subset_dataloader(
        self, images: Images, size: int | None, seed: int, without: Container[int] = ()
    ) -> BatchLoader:
        """Loader for a fixed random subset of ``images``, or all if ``size`` is None, without those at ``without``.

        The order is random, so that neighbours are random pairs.
        """
        drawn = torch.randperm(len(images.labels), generator=seeded(seed))[:size]
        chosen = drawn[[place not in without for place in drawn.tolist()]]
        return self._loader(images.select(chosen))

    def _loader(self, images: Images, augmentation: Augmentation | None = None) -> BatchLoader:
        """Return a loader for training with an augmentation, or for evaluation."""
        rank, world_size, batch_size = 0, 1, self.batch_size if augmentation else self.eval_batch_size
        if self.trainer is not None:
            device = self.trainer.strategy.root_device
            images = Images(*(tensor.to(device) for tensor in images))
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
            if device.type == "cuda" and world_size == 1 and augmentation is None:  # several may have different memory
                free, _ = torch.cuda.mem_get_info(device)
                batch_size = fitting(free, self.image_size)
        if world_size > min(batch_size, len(images.labels)):
            raise InputError(
                f"{world_size} processes cannot share batches of {batch_size} of {len(images.labels)} images: "
                "each needs one of every batch."
            )
        if augmentation and self.batches_at_once > 1:
            return ChunkLoader(self.batches_at_once, images, batch_size, augmentation, self.seed)
        return BatchLoader(images, batch_size, augmentation, self.seed, rank, world_size)


def fitting(free: int, size: Sequence[int]) -> int:
    """Number of images, of this height and width, whose outputs at all shifts a GPU computes at once.

    Args:
        free: bytes of free memory, of which half is used.
    """
    each = MEMORY * math.prod(size) // 32**2
    return max(1, min(MOST, free // 2 // each))


def to_images(pixels: "np.ndarray | Tensor", labels: "np.ndarray | list[int]") -> Images:
    """Convert (N, H, W, 3) uint8 pixels and (N,) integer labels."""
    return Images(
        torch.as_tensor(pixels).permute(0, 3, 1, 2).contiguous(),
        torch.as_tensor(labels, dtype=torch.int64),
    )
