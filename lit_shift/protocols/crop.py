"""A window that moves over the image."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lit_shift.data.annotations import Outline, largest_boxes
from lit_shift.data.image_files import some
from lit_shift.data.view import View, cut, resized, scaled, scaled_size
from lit_shift.protocols.trajectory import OnTrack
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, at_least
from lit_shift.utils.files import given


class Crop(OnTrack):
    """A window that moves over the unchanged image, so that nothing needs to be filled in.

    Every window contains a box, and the path is centred within the positions where it does.

    Args:
        window: side of the window, in pixels of the image at the network's scale. If it differs from the network's
            input, the window's content is resized. Null is the input, or 7/8 of it if images are scaled to no more
            than the input.
        windows: number of windows along the path; null is as many as contain the box in the smallest image that
            fills the input (a square one if the input is square).
        box: left, top, right and bottom of the box, in fractions of the image; null is the middle of the image, half
            as high and wide as a window, which exists in every image.
        path, draws, seed: as for :class:`OnTrack`.
        boxes: annotations with a box for each image, see :func:`lit_shift.boxes.read`. The largest box of an image
            counts; an image without one uses ``box``.
        skip_bad: skip faulty annotations, rather than raise.
    """

    def __init__(
        self,
        window: int | None,
        windows: int | None,
        box: Sequence[float] | None,
        path: str,
        draws: int,
        seed: int,
        boxes: str | None = None,
        skip_bad: bool = False,
    ) -> None:
        super().__init__("position of the window", path, draws, seed)
        self.window = None if window is None else at_least(1, "window", window)
        self.windows = None if windows is None else at_least(1, "windows", windows)
        self.box = None if box is None else _checked(box)
        self.boxes = None if boxes is None else given(boxes, "boxes")
        self.skip_bad = skip_bad
        self.own: dict[int, Outline] = {}

    def positions(self, view: View) -> np.ndarray:
        return self.track.positions(*self._room(view))

    def meet(self, names: Sequence[str]) -> None:
        if self.boxes is None:
            return
        flaws: list[str] = []
        self.own = largest_boxes(self.boxes, names, flaws.append if self.skip_bad else None)
        if flaws:
            say(f"{len(flaws)} boxes of {self.boxes} are left out: {flaws[0]}")
        if missing := [name for place, name in enumerate(names) if place not in self.own]:
            without = f"{len(missing)} of {len(names)} images have no box in {self.boxes} ({some(missing)})"
            say(f"{without}: {'the middle' if self.box is None else 'the box of all images'} is used instead.")

    def flaw(self, size: tuple[int, int], place: int, view: View) -> str | None:
        if flaw := super().flaw(size, place, view):
            return flaw
        size, sizes = scaled_size(*size, view), self._sizes(view)
        held = [max(0, high - low + 1) for low, high in self._ranges(size, sizes, place)]
        still = {"horizontal": 0, "vertical": 1}.get(self.track.path)
        asked = [1 if axis == still else room for axis, room in enumerate(self._room(view))]
        short = next((axis for axis in (0, 1) if held[axis] < asked[axis]), None)
        if short is None:
            return None
        box = max(math.ceil(last) - math.floor(first) for first, last in self._edges(size, sizes, place))
        least = 1 if self.box is None and place not in self.own else box  # the default box shrinks with the window
        remedy = "no window would do"
        if min(held) > 0:
            remedy = f"windows={min(held[axis] for axis in (0, 1) if axis != still)} would do"
        elif least <= min(size):
            remedy = f"windows=1 with a window from {least} to {min(size)} would do"
        return (
            f"In an image of {size[0]}x{size[1]} pixels, {held[short]} windows of {sizes[0]}x{sizes[1]} along an axis "
            f"hold the box, but {asked[short]} are asked for: {remedy}."
        )

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        height, width = images.shape[2:]
        for place in places:
            if flaw := self.flaw((height, width), place, view):
                raise InputError(flaw)
        images = scaled(images, view)
        size, sizes = (images.shape[2], images.shape[3]), self._sizes(view)
        middle = [[(low + high) // 2 for low, high in self._ranges(size, sizes, place)] for place in places]
        for offsets in self.track.offsets(*self._room(view), places):
            yield resized(cut(images, torch.tensor(middle) + offsets, *sizes), view.height, view.width)

    def _sizes(self, view: View) -> tuple[int, int]:
        """Height and width of a window."""
        if self.window is not None:
            return self.window, self.window
        if view.resize is not None and view.resize > max(view.height, view.width):
            return view.height, view.width
        return max(1, 7 * view.height // 8), max(1, 7 * view.width // 8)

    def _room(self, view: View) -> tuple[int, int]:
        """Number of windows along each axis."""
        if self.windows is not None:
            return self.windows, self.windows
        smallest = max(view.height, view.resize or 0), max(view.width, view.resize or 0)
        rows, cols = (max(1, high - low + 1) for low, high in self._ranges(smallest, self._sizes(view)))
        return rows, cols

    def _ranges(
        self, size: tuple[int, int], sizes: tuple[int, int], place: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """First and last position along each axis of a window that contains the box, in an image of this size."""
        for (first, last), side, window in zip(self._edges(size, sizes, place), size, sizes, strict=True):
            yield max(0, math.ceil(last) - window), min(side - window, math.floor(first))

    def _edges(self, size: tuple[int, int], sizes: tuple[int, int], place: int | None) -> list[tuple[float, float]]:
        """Start and end of the box along each axis. Without a ``place``, annotations of single images are ignored."""
        outline = None if self.box is None else Outline(*self.box, 1, 1)
        if place in self.own:
            outline = self.own[place]
        if outline is None:
            half = [(side, window // 2) for side, window in zip(size, sizes, strict=True)]
            return [((side - part) // 2, (side - part) // 2 + part) for side, part in half]
        height, width = size
        return [
            (height * outline.top / outline.height, height * outline.bottom / outline.height),
            (width * outline.left / outline.width, width * outline.right / outline.width),
        ]


def _checked(box: Sequence[float]) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = box
        if 0 <= left < right <= 1 and 0 <= top < bottom <= 1:
            return left, top, right, bottom
    except (TypeError, ValueError):
        pass
    raise InputError(f"box={box} must be left, top, right, bottom in fractions of the image, such as [.2,.1,.8,.9].")
