"""Images to be measured one by one: of any size, read from files on demand, with or without labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lit_shift.data.image_files import contents, decode, no_images, short_name, size_of, some
from lit_shift.data.loader import Images
from lit_shift.utils.console import say
from lit_shift.utils.errors import at_least
from lit_shift.utils.files import given_folder

UNKNOWN = -1  # label of an image of no class that is known


class Collection:
    """Images by index, with class names if they are labelled.

    Args:
        labels: (N,) indices into ``classes``, :data:`UNKNOWN` for images without a label; None if all are.
        classes: their names.
    """

    def __init__(self, labels: Sequence[int] | None, classes: Sequence[str]) -> None:
        self.labels = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
        self.classes = list(classes)

    def relabel(self, classes: Sequence[int]) -> None:
        """Replace each label by the entry of ``classes`` at that index. :data:`UNKNOWN` stays."""
        self.labels = torch.tensor([*classes, UNKNOWN])[self.labels]

    def labelled(self, place: int) -> bool:
        """True if an image has a label."""
        return self.labels is not None and int(self.labels[place]) != UNKNOWN

    def __len__(self) -> int:
        raise NotImplementedError

    def pixels(self, place: int) -> Tensor | None:
        """Return an image (3, H, W) uint8, or None if it cannot be read."""
        raise NotImplementedError

    def size(self, place: int) -> tuple[int, int] | None:
        """Return height and width of an image, or None if it cannot be read."""
        raise NotImplementedError

    def name(self, place: int) -> str:
        """Return a name for an image that tells where it is."""
        return f"test image {place}"

    def title(self, place: int) -> str:
        """Return a short name for an image, for figures."""
        return self.name(place)


class InMemory(Collection):
    """The test images of a data set that is held in memory."""

    def __init__(self, images: Images, classes: Sequence[str]) -> None:
        super().__init__(images.labels.tolist(), classes)
        self.images = images

    def __len__(self) -> int:
        return len(self.images.labels)

    def pixels(self, place: int) -> Tensor:
        return self.images.pixels[place]

    def size(self, place: int) -> tuple[int, int]:
        height, width = self.images.pixels.shape[2:]
        return height, width


class Photographs(Collection):
    """Image files of any size.

    Args:
        files: their paths.
        labels: as for :class:`Collection`.
        classes: as for :class:`Collection`.
        size: side of the square to which each is resized when read; None keeps its size.
    """

    def __init__(
        self, files: Sequence[Path], labels: Sequence[int] | None, classes: Sequence[str], size: int | None = None
    ) -> None:
        super().__init__(labels, classes)
        self.files = list(files)
        self.side = None if size is None else at_least(1, "size", size)

    @classmethod
    def found_in(cls, root: str | Path, size: int | None = None) -> "Photographs":
        """Collect the images of ``root/test``, else ``root/val``, else ``root`` itself.

        Images in subfolders, at any depth, are labelled by them. If no subfolder holds images, those directly in the
        folder are taken, without labels. Prints what is ignored.

        Raises:
            InputError: no such folder, or no image in it.
        """
        root = given_folder(root, "root", "images, or a folder of them per class")
        folder = next((root / split for split in ("test", "val") if (root / split).is_dir()), root)
        found = contents(folder)
        by_class = {name: files for name, files in found.by_class.items() if files}
        if empty := sorted(found.by_class.keys() - by_class.keys()):
            say(f"{folder} has folders without an image, which are left out: {some(empty)}.")
        if "train" in by_class and all(file.parent.parent != folder for file in by_class["train"]):
            say(f"{folder / 'train'} holds folders of images to train on, which are left out.")
            del by_class["train"]
        if by_class:
            files = [file for own in by_class.values() for file in own]
            labels = [label for label, own in enumerate(by_class.values()) for _ in own]
            if found.beside:
                beside = f"{len(found.beside)} images beside its class folders"
                say(f"{folder} holds {beside}: without a label, they are left out.")
            return cls(files, labels, list(by_class), size)
        if not found.beside:
            raise no_images(folder, "neither itself nor in folders named by class")
        return cls(found.beside, None, [], size)

    def __len__(self) -> int:
        return len(self.files)

    def pixels(self, place: int) -> Tensor | None:
        decoded = decode(self.files[place], self.side)
        return None if decoded is None else torch.from_numpy(decoded.copy()).permute(2, 0, 1)

    def size(self, place: int) -> tuple[int, int] | None:
        return (self.side, self.side) if self.side else size_of(self.files[place])

    def name(self, place: int) -> str:
        return str(self.files[place])

    def title(self, place: int) -> str:
        return short_name(self.files[place])


class Source(ABC):
    """A source of test images, as the config's ``data`` describes it. Some have images to train on too."""

    def prepare_data(self) -> None:  # noqa: B027 - most sources need nothing
        """Download what must be downloaded."""

    @abstractmethod
    def collection(self) -> Collection:
        """Return the test images."""
