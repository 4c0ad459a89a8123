"""The image on a canvas: moved, scaled, or placed at random."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lit_shift.data.view import View, cut, resized, whole
from lit_shift.protocols.base import Protocol
from lit_shift.protocols.fill import Fill
from lit_shift.protocols.trajectory import OnTrack
from lit_shift.shifts import draw_offsets, seeded
from lit_shift.utils.errors import InputError, at_least


class Canvas:
    """A canvas for smaller images.

    Args:
        side: of the square canvas; None takes the size of the network's input.
        fill: content around the image, see :class:`Fill`.
        seed: of the noise.
    """

    def __init__(self, side: int | None, fill: str, seed: int) -> None:
        self.side = None if side is None else at_least(1, "canvas", side)
        self.fill = Fill(fill, seed)

    def size(self, view: View) -> tuple[int, int]:
        """Height and width of the canvas."""
        return (view.height, view.width) if self.side is None else (self.side, self.side)

    def image_size(self, h: int, view: View) -> tuple[int, int]:
        """Height and width of an image of height h on the canvas, or an InputError if it does not fit."""
        height, width = self.size(view)
        w = max(1, round(h * view.width / view.height))
        if h > height or w > width:
            most = max((n for n in range(1, height + 1) if round(n * view.width / view.height) <= width), default=0)
            smaller = f"an image of {most} pixels or fewer, or " if most else ""
            raise InputError(
                f"An image of {h}x{w} pixels does not fit on a canvas of {height}x{width}, but {smaller}"
                f"canvas={max(h, w)} would do."
            )
        return h, w


class Embed(OnTrack):
    """A smaller copy of the image that moves over a canvas, together with the fill around it, as one scene.

    Args:
        size: height of the image on the canvas, in pixels; null is half the canvas.
        canvas: side of the frames; null is the network's input.
        fill: content around the image: ``black``, its ``mean`` colour, uniform ``noise``, or ``inpaint``.
        path, draws, seed: as for :class:`OnTrack`; the seed is also that of the noise.
    """

    def __init__(self, size: int | None, canvas: int | None, path: str, fill: str, draws: int, seed: int) -> None:
        super().__init__("position of the image", path, draws, seed)
        self.size = None if size is None else at_least(1, "size", size)
        self.canvas = Canvas(canvas, fill, seed)

    def positions(self, view: View) -> np.ndarray:
        (height, width), (h, w) = self.canvas.size(view), self._image_size(view)
        return self.track.positions(height - h + 1, width - w + 1)

    def frame_size(self, view: View) -> tuple[int, int]:
        return self.canvas.size(view)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        (height, width), (h, w) = self.canvas.size(view), self._image_size(view)
        room = torch.tensor([height - h, width - w])
        images = resized(whole(images, view), h, w)
        corners = room.expand(len(places), 2)
        scene = self.canvas.fill.around(images, 2 * height - h, 2 * width - w, corners, places)
        for offsets in self.track.offsets(height - h + 1, width - w + 1, places):
            yield cut(scene, room - room // 2 - offsets, height, width)

    def _image_size(self, view: View) -> tuple[int, int]:
        height, _ = self.canvas.size(view)
        return self.canvas.image_size(max(1, height // 2) if self.size is None else self.size, view)


class Scale(Protocol):
    """The image growing pixel by pixel in the middle of a canvas.

    Args:
        smallest: height of the smallest image on the canvas, in pixels; null is a quarter of the canvas.
        largest: height of the largest; null is the canvas.
        canvas: side of the frames; null is the network's input.
        fill: as for :class:`Embed`.
        seed: of the noise.
    """

    along = "size of the image in pixels"

    def __init__(self, smallest: int | None, largest: int | None, canvas: int | None, fill: str, seed: int) -> None:
        self.smallest = None if smallest is None else at_least(1, "smallest", smallest)
        self.largest = None if largest is None else at_least(1, "largest", largest)
        self.canvas = Canvas(canvas, fill, seed)

    def positions(self, view: View) -> np.ndarray:
        height, _ = self.canvas.size(view)
        smallest = max(1, height // 4) if self.smallest is None else self.smallest
        largest = height if self.largest is None else self.largest
        if smallest > largest:
            raise InputError(f"smallest={smallest} must not be above largest={largest}.")
        for size in range(smallest, largest + 1):
            self.canvas.image_size(size, view)
        return np.arange(smallest, largest + 1)

    def frame_size(self, view: View) -> tuple[int, int]:
        return self.canvas.size(view)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        height, width = self.canvas.size(view)
        images = whole(images, view)
        for size in self.positions(view).tolist():
            h, w = self.canvas.image_size(size, view)
            corners = self.corners(height - h, width - w, size, places)
            yield self.canvas.fill.around(resized(images, h, w), height, width, corners, places)

    def corners(self, rows: int, cols: int, size: int, places: Sequence[int]) -> Tensor:
        """Upper left corner of each image, given the free rows and columns: (N, 2) int64."""
        return torch.tensor([rows // 2, cols // 2]).expand(len(places), 2)


class Placement(Scale):
    """The image at several sizes, each at a random position on the canvas (Azulay & Weiss, Fig. 6).

    Args:
        sizes: number of sizes, evenly spaced between the smallest and the largest.
        smallest, largest, canvas, fill: as for :class:`Scale`.
        seed: of the positions and of the noise.
    """

    along = "size of the randomly placed image in pixels"
    ordered = False
    STREAM = 2  # random numbers independent of those of noise and random paths

    def __init__(
        self, sizes: int, smallest: int | None, largest: int | None, canvas: int | None, fill: str, seed: int
    ) -> None:
        super().__init__(smallest, largest, canvas, fill, seed)
        self.sizes = at_least(2, "sizes", sizes)
        self.seed = seed

    def positions(self, view: View) -> np.ndarray:
        every = super().positions(view)
        return np.unique(np.linspace(every[0], every[-1], self.sizes).round().astype(int))

    def corners(self, rows: int, cols: int, size: int, places: Sequence[int]) -> Tensor:
        generators = (seeded(self.seed, self.STREAM, place, size) for place in places)
        return torch.stack([draw_offsets((), rows + 1, cols + 1, generator) for generator in generators])
