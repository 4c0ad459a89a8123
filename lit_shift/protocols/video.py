"""Frames of a video as a protocol."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from lit_shift.data.image_files import contents, decode, size_of, unreadable
from lit_shift.data.sources import Photographs
from lit_shift.data.view import View, resized, too_small, whole
from lit_shift.protocols.base import Protocol
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, one_of
from lit_shift.utils.files import given_folder

RESIZES = ("squash", "crop")


class Frames(Protocol):
    """The frames of a video, ordered by name with numbers by value. The video counts as one image.

    Args:
        folder: of images.
        skip_bad: skip frames that cannot be read, rather than raise.
        resize: how frames are brought to the network's input: ``squash`` to its proportions, as in the paper's
            appendix A, which shows all of every frame; or ``crop`` the middle, as for photographs.

    Raises:
        InputError: no such folder, or fewer than two images in it; in :meth:`frames`, a frame that cannot be read.
    """

    along = "frame"

    def __init__(self, folder: str, skip_bad: bool, resize: str = "squash") -> None:
        path = given_folder(folder, "folder", "the frames of a video")
        self.resize = one_of(RESIZES, "resize", resize)
        there = contents(path)
        if deeper := sum(map(len, there.by_class.values())):
            say(f"{folder} holds {deeper} images in folders, which are left out.")
        found = sorted(there.beside, key=_by_number)
        self.files = [file for file in found if decode(file) is not None] if skip_bad else found
        self.skipped = len(found) - len(self.files)
        if len(self.files) < 2:
            raise InputError(f"{folder} holds {len(self.files)} images that can be read; a video has two or more.")

    def positions(self, view: View) -> np.ndarray:
        return np.arange(len(self.files))

    def flaw(self, size: tuple[int, int], place: int, view: View) -> str | None:
        for file in self.files:
            found = size_of(file)
            if found is None:
                return str(unreadable(str(file)))
            if self.resize == "crop" and (flaw := too_small(*found, view)):
                return f"{file}: {flaw} resize=squash takes any size."
        return None

    def seen(self, images: Tensor, view: View) -> Tensor:
        return whole(images, view) if self.resize == "crop" else resized(images, view.height, view.width)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        video = Photographs(self.files, None, [])
        for place in range(len(video)):
            pixels = video.pixels(place)
            if pixels is None:
                raise unreadable(video.name(place))
            yield self.seen(pixels[None].to(images) / 255, view)


def _by_number(file: Path) -> list[str | int]:
    """Sort key that puts 2.png before 10.png."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)]
