"""Any folder of images, decoded once and cached."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import track

from lit_shift.data.image_files import DECODING, contents, decode, no_images, short_name, some
from lit_shift.data.loader import Images
from lit_shift.data.module import Dataset, ImageDataModule, to_images
from lit_shift.data.sources import Photographs
from lit_shift.utils import torch_files
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, at_least
from lit_shift.utils.files import given


class ImageFolder(ImageDataModule):
    """Images in ``root/train/<class>/`` and ``root/test/<class>/``, at any depth below these.

    Prints which files are ignored. Decoded images are cached beside ``train`` and ``test``, or in the user's cache
    folder if that is not writable, and decoded again when a file is added, removed or changed.

    Args:
        root: the folder.
        size: side to which every image is resized; None keeps their size, which must be the same for all.
    """

    def __init__(self, root: str, size: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = given(root, "root")
        self.size = None if size is None else at_least(1, "size", size)

    def collection(self) -> Photographs:
        """Return the test images, of any size, read on demand; see :meth:`Photographs.found_in`.

        There need be no training images.
        """
        return Photographs.found_in(self.root, self.size)

    def read(self) -> Dataset:
        """Return images and classes, from the cache if it is up to date.

        Raises:
            InputError: ``train`` or ``test`` is missing, their classes differ, there are no images, some are
                unreadable, or they have several sizes.
        """
        folders = _split_folders(self.root)
        train, test = (contents(folder) for folder in folders)
        classes = list(train.by_class)
        if differ := sorted(train.by_class.keys() ^ test.by_class.keys()):
            raise InputError(f"The classes of {folders[0]} and {folders[1]} differ: {some(differ)}.")
        for folder, split in zip(folders, (train, test), strict=True):
            if not any(split.by_class.values()):
                raise no_images(folder, "which must be in folders named by class")
            if split.beside:
                say(f"{folder} holds {len(split.beside)} images beside its class folders, which are left out.")
            if empty := [name for name, files in split.by_class.items() if not files]:
                say(f"{folder} holds no image of {some(empty)}.")
        files = [[file for found in split.by_class.values() for file in found] for split in (train, test)]
        labels = [
            label for split in (train, test) for label, found in enumerate(split.by_class.values()) for _ in found
        ]

        names = [short_name(file) for file in files[1]]
        fingerprint = self._fingerprint(files[0] + files[1], classes)
        name = ".lit_shift_cache.pt"
        per_user = user_cache_path("lit_shift") / hashlib.sha256(bytes(self.root.resolve())).hexdigest()[:16]
        for cache in (self.root / name, per_user / name):
            with suppress(InputError):  # no cache, or a broken one
                stored = torch_files.read(cache)
                if stored["fingerprint"] == fingerprint:
                    return Dataset(Images(*stored["train"]), Images(*stored["test"]), classes, names)
        decoded = dict(zip(("train", "test"), self._decode(files, labels), strict=True))
        content = {"fingerprint": fingerprint} | {split: tuple(part) for split, part in decoded.items()}
        for cache in (self.root / name, per_user / name):
            try:
                torch_files.write(cache, content)
                say(f"The decoded images are cached in {cache} ({cache.stat().st_size / 1e6:,.0f} MB).")
                break
            except OSError as error:  # for instance a read-only data folder
                reason = error
        else:
            say(f"The decoded images cannot be cached ({reason}); the next run will decode them again.")
        return Dataset(decoded["train"], decoded["test"], classes, names)

    def _fingerprint(self, files: list[Path], classes: list[str]) -> str:
        digest = hashlib.sha256(f"{DECODING} {self.size} {classes}".encode())
        for file in files:
            stat = file.stat()
            digest.update(f"{file.relative_to(self.root)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _decode(self, files: list[list[Path]], labels: list[int]) -> list[Images]:
        """Decode each file of both splits once. ``labels`` are those of all files, training first."""
        every = files[0] + files[1]
        console = Console(stderr=True)
        with ThreadPoolExecutor() as pool:
            decoded = list(
                track(
                    pool.map(partial(decode, size=self.size), every),
                    f"Decoding {self.root}",
                    total=len(every),
                    console=console,
                    disable=not console.is_terminal,
                )
            )
        bad = [str(file) for file, pixels in zip(every, decoded, strict=True) if pixels is None]
        if bad:
            raise InputError(f"{len(bad)} of {len(every)} images cannot be read: {some(bad)}.")
        pixels: list[np.ndarray] = [image for image in decoded if image is not None]
        sizes = Counter(image.shape[:2] for image in pixels)
        if len(sizes) > 1:
            shown = [f"{width}x{height}" for (height, width), _ in sizes.most_common()]
            raise InputError(f"The images of {self.root} have {len(sizes)} sizes ({some(shown)}): say size=32.")
        split = len(files[0])
        return [to_images(np.stack(pixels[part]), labels[part]) for part in (slice(split), slice(split, None))]


def _split_folders(root: Path) -> tuple[Path, Path]:
    """Return the folders ``train`` and ``test``, or raise an InputError if one is missing."""
    for split in ("train", "test"):
        if not (root / split).is_dir():
            raise InputError(
                f"root={root} has no folder {split!r}: images are expected at {root}/train/<class>/ and "
                f"{root}/test/<class>/."
            )
    return root / "train", root / "test"
