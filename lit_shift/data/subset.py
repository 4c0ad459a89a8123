"""DataModule with a test loader for each of several collections of images."""

from collections.abc import Collection as Places
from collections.abc import Iterator, Sequence

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.strategies import Strategy
from torch import Tensor

from lit_shift.data.image_files import unreadable
from lit_shift.data.loader import Batch
from lit_shift.data.sources import Collection
from lit_shift.shifts import seeded
from lit_shift.utils.errors import InputError


class Collections(LightningDataModule):
    """A random subset of each of several collections, fixed by the seed.

    Args:
        collections: to be tested on, one after the other.
        images: size of the subset; None takes all.
        seed: of the subset.
        shown: indices of images whose pictures are kept, in the subset or not; if empty, one from the subset.
        batch_sizes: for each collection, the number of images measured together.
        skip_bad: skip images that cannot be read, rather than raise.
        by_label: leave out images without a label, before the subset is drawn.
        unfit: for each collection, indices of images to leave out; None leaves out none.
    """

    def __init__(
        self,
        collections: Sequence[Collection],
        images: int | None,
        seed: int,
        shown: Sequence[int],
        batch_sizes: Sequence[int],
        skip_bad: bool,
        by_label: bool = False,
        unfit: Sequence[Places[int]] | None = None,
    ) -> None:
        super().__init__()
        self.collections = collections
        self.images = images
        self.seed = seed
        self.shown = shown
        self.batch_sizes = batch_sizes
        self.skip_bad = skip_bad
        self.by_label = by_label
        self.unfit = unfit or [()] * len(collections)

    def test_dataloader(self) -> list["CollectionLoader"]:
        every = zip(self.collections, self.batch_sizes, self.unfit, strict=True)
        return [self._loader(*one) for one in every]

    def chosen(self, collection: Collection) -> list[int]:
        """Indices of a collection's subset, in random order."""
        drawn = torch.randperm(len(collection), generator=seeded(self.seed)).tolist()
        return [place for place in drawn if self._counts(collection, place)][: self.images]

    def asked(self, collection: Collection) -> list[int]:
        """Indices of the images requested as ``shown``, without those beyond the end or left out."""
        return [place for place in self.shown if place < len(collection) and self._counts(collection, place)]

    def _counts(self, collection: Collection, place: int) -> bool:
        return not self.by_label or collection.labelled(place)

    def _loader(self, collection: Collection, batch_size: int, unfit: Places[int]) -> "CollectionLoader":
        rank, world_size = self.trainer.global_rank, self.trainer.world_size  # type: ignore[union-attr]
        chosen = self.chosen(collection)
        fit = [place for place in chosen if place not in unfit]
        shown = [place for place in self.asked(collection) if place not in unfit] or fit[:1]
        loader = CollectionLoader(collection, fit, shown, batch_size, self.skip_bad, rank, world_size)
        loader.unfit = len(chosen) - len(fit)
        loader.goes_on = world_size == 1 and len(self.collections) > 1
        return loader


class CollectionLoader:
    """This process's share of the chosen images of a collection, as lists of batches: one batch per image size.

    ``skipped`` collects the indices of images that cannot be read, and of those that the measurement leaves out;
    ``unfit`` counts others that are left out. Errors are raised, unless there are several loaders and ``goes_on`` is
    set: then the error is kept as ``failure`` and this loader ends, so that the other collections are still measured.

    Args:
        collection: the images.
        chosen: their indices, in order.
        shown: indices of images whose pictures are kept.
        batch_size: images per list.
        skip_bad: skip images that cannot be read, rather than raise.
        rank: number of this process, out of ``world_size``.
    """

    def __init__(
        self,
        collection: Collection,
        chosen: Sequence[int],
        shown: Sequence[int],
        batch_size: int,
        skip_bad: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if world_size > len(chosen):
            raise InputError(f"{world_size} processes cannot share {len(chosen)} images: each needs one.")
        self.collection = collection
        self.shown = shown
        self.total = len(chosen)
        self.chosen = list(chosen)[rank::world_size]
        self.batch_size = batch_size
        self.skip_bad = skip_bad
        self.skipped: list[int] = []
        self.unfit = 0
        self.goes_on = False  # stays so if processes share the work, since the others would wait for this one
        self.failure: Exception | None = None

    def __len__(self) -> int:
        return -(-len(self.chosen) // self.batch_size)

    def __iter__(self) -> Iterator[list[Batch]]:
        self.skipped, self.failure = [], None
        try:
            yield from self._batches()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Record an error with these images, or raise it."""
        if not self.goes_on:
            raise error
        self.failure = self.failure or error

    def _batches(self) -> Iterator[list[Batch]]:
        for first in range(0, len(self.chosen), self.batch_size):
            if self.failure:
                return
            by_size: dict[torch.Size, dict[int, Tensor]] = {}
            for place in self.chosen[first : first + self.batch_size]:
                pixels = self.collection.pixels(place)
                if pixels is None:
                    self._skip(place)
                else:
                    by_size.setdefault(pixels.shape, {})[place] = pixels
            if len(self.skipped) == len(self.chosen):
                share = "" if len(self.chosen) == self.total else " of this process's share; fewer processes may do"
                raise InputError(f"None of the {len(self.chosen)} images can be read{share}.")
            yield [self._batch(images) for images in by_size.values()]

    def completeness(self, measured: float, strategy: Strategy) -> dict[str, float]:
        """Return ``skipped``, a count over all processes, and ``complete``, 1 if all other images were measured."""
        own = torch.tensor(float(len(self.skipped)), device=strategy.root_device)
        unread = float(strategy.reduce(own, reduce_op="sum"))
        return {"skipped": unread + self.unfit, "complete": float(measured + unread == self.total)}

    def one(self, place: int) -> Batch | None:
        """Return a batch of a single image, or None if it cannot be read."""
        pixels = self.collection.pixels(place)
        return None if pixels is None else self._batch({place: pixels})

    def _skip(self, place: int) -> None:
        if not self.skip_bad:
            raise unreadable(self.collection.name(place))
        self.skipped.append(place)

    def _batch(self, images: dict[int, Tensor]) -> Batch:
        places = torch.tensor(list(images))
        labels = self.collection.labels
        known = torch.full_like(places, -1) if labels is None else labels[places]
        return Batch(torch.stack(list(images.values())), known, places)
