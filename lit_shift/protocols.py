"""From an image to an ordered stack of slightly transformed ones, frame by frame (Azulay & Weiss, section 2).

Images and frames have values in [0, 1], before any normalisation. A batch of images goes through a protocol together;
its frames are made when they are asked for, on the device that holds the images.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_shift.console import say
from lit_shift.data.annotations import Outline, largest_boxes
from lit_shift.data.files import contents, decode, size_of, some, unreadable
from lit_shift.data.photographs import Photographs
from lit_shift.errors import InputError, at_least, unknown
from lit_shift.files import given, given_folder
from lit_shift.fill import Fill
from lit_shift.shifts import draw_offsets, fourier_shift, roll, seeded
from lit_shift.track import Track
from lit_shift.view import View, resized, scaled, scaled_size, too_small, whole

RESIZES = ("squash", "crop")


class Protocol(ABC):
    """A way to transform images step by step.

    ``along`` says what changes from frame to frame. ``ordered`` says whether neighbouring frames differ by one small
    step, so that it means something how often the answer changes.
    """

    along: str
    ordered = True
    skipped = 0  # frames that are left out, as they cannot be read

    @abstractmethod
    def positions(self, view: View) -> np.ndarray:
        """Where each of the S frames is on the path, in units of ``along``: (S,).

        Raises:
            InputError: what is asked does not fit, whatever the image.
        """

    def frame_size(self, view: View) -> tuple[int, int]:
        """Height and width of the frames."""
        return view.height, view.width

    def meet(self, names: Sequence[str]) -> None:  # noqa: B027 - most need not know
        """Look up what there is to know of images, by what each is called."""

    def flaw(self, size: tuple[int, int], place: int, view: View) -> str | None:
        """Why the image at a place, of this height and width, cannot be used, and what would work; None if it can."""
        return too_small(*size, view)

    def seen(self, images: Tensor, view: View) -> Tensor:
        """The images as the network sees them before anything is done to them: (N, 3, height, width)."""
        return whole(images, view)

    @abstractmethod
    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        """The S frames of each image, one step after the other.

        Args:
            images: (N, 3, H, W), all of one size.
            places: of the N images among all; random draws go by them, and not by the batch.
            view: the input of the network that is to see the frames.

        Yields:
            (N, 3, h, w)

        Raises:
            InputError: an image cannot be used, see :meth:`flaw`.
        """


class OnTrack(Protocol):
    """A protocol that moves something along a path.

    Args:
        what: is moved, in words.
        path: see :class:`Track`.
        draws: number of random positions.
        seed: of those.
    """

    def __init__(self, what: str, path: str, draws: int, seed: int) -> None:
        self.track = Track(path, draws, seed)
        self.along = self.track.along(what)
        self.ordered = self.track.ordered


class Canvas:
    """What an image, made smaller, is put on.

    Args:
        side: of the square; None is the network's input.
        fill: what is around the image, see :class:`Fill`.
        seed: of noise.
    """

    def __init__(self, side: int | None, fill: str, seed: int) -> None:
        self.side = None if side is None else at_least(1, "protocol.canvas", side)
        self.fill = Fill(fill, seed)

    def size(self, view: View) -> tuple[int, int]:
        """Height and width."""
        return (view.height, view.width) if self.side is None else (self.side, self.side)

    def image_size(self, h: int, view: View) -> tuple[int, int]:
        """Height and width of an image of height h; an InputError where it does not fit."""
        height, width = self.size(view)
        w = max(1, round(h * view.width / view.height))
        if h > height or w > width:
            most = max((n for n in range(1, height + 1) if round(n * view.width / view.height) <= width), default=0)
            smaller = f"an image of {most} pixels or fewer, or " if most else ""
            raise InputError(
                f"An image of {h}x{w} pixels does not fit on a canvas of {height}x{width}, but {smaller}"
                f"protocol.canvas={max(h, w)} would do."
            )
        return h, w


class Embed(OnTrack):
    """The image, made smaller, moves over a canvas: it and what is filled in around it move as one scene.

    Args:
        size: of the image on the canvas, in pixels; null is half of the canvas.
        canvas: side of the frames; null is the network's input.
        fill: what is around the image: ``black``, its ``mean`` colour, uniform ``noise``, or ``inpaint``.
        path, draws, seed: as for :class:`OnTrack`; the seed is that of the noise too.
    """

    def __init__(self, size: int | None, canvas: int | None, path: str, fill: str, draws: int, seed: int) -> None:
        super().__init__("position of the image", path, draws, seed)
        self.size = None if size is None else at_least(1, "protocol.size", size)
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
            yield _cut(scene, room - room // 2 - offsets, height, width)

    def _image_size(self, view: View) -> tuple[int, int]:
        height, _ = self.canvas.size(view)
        return self.canvas.image_size(max(1, height // 2) if self.size is None else self.size, view)


class Scale(Protocol):
    """The image grows pixel by pixel in the middle of a canvas.

    Args:
        smallest: height of the image on the canvas, in pixels; null is a quarter of the canvas.
        largest: likewise; null is the canvas.
        canvas: side of the frames; null is the network's input.
        fill: as for :class:`Embed`.
        seed: of the noise.
    """

    along = "size of the image in pixels"

    def __init__(self, smallest: int | None, largest: int | None, canvas: int | None, fill: str, seed: int) -> None:
        self.smallest = None if smallest is None else at_least(1, "protocol.smallest", smallest)
        self.largest = None if largest is None else at_least(1, "protocol.largest", largest)
        self.canvas = Canvas(canvas, fill, seed)

    def positions(self, view: View) -> np.ndarray:
        height, _ = self.canvas.size(view)
        smallest = max(1, height // 4) if self.smallest is None else self.smallest
        largest = height if self.largest is None else self.largest
        if smallest > largest:
            raise InputError(f"protocol.smallest={smallest} must not be above protocol.largest={largest}.")
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
        """Where each image is, with so much room: (N, 2) int64."""
        return torch.tensor([rows // 2, cols // 2]).expand(len(places), 2)


class Placement(Scale):
    """The image at several sizes, at a random place of the canvas each time (their Fig. 6).

    Args:
        sizes: how many, evenly spaced between the smallest and the largest.
        smallest, largest, canvas, fill: as for :class:`Scale`.
        seed: of the places and of the noise.
    """

    along = "size of the randomly placed image in pixels"
    ordered = False
    STREAM = 2  # of random numbers, apart from those of noise and of random paths

    def __init__(
        self, sizes: int, smallest: int | None, largest: int | None, canvas: int | None, fill: str, seed: int
    ) -> None:
        super().__init__(smallest, largest, canvas, fill, seed)
        self.sizes = at_least(2, "protocol.sizes", sizes)
        self.seed = seed

    def positions(self, view: View) -> np.ndarray:
        every = super().positions(view)
        return np.unique(np.linspace(every[0], every[-1], self.sizes).round().astype(int))

    def corners(self, rows: int, cols: int, size: int, places: Sequence[int]) -> Tensor:
        generators = (seeded(self.seed, self.STREAM, place, size) for place in places)
        return torch.stack([draw_offsets((), rows + 1, cols + 1, generator) for generator in generators])


class Crop(OnTrack):
    """A window moves over the image, which is left as it is: nothing need be filled in.

    The path is in the middle of where the window holds the box.

    Args:
        window: its side in pixels of the image at the network's scale; where that is not the network's input, what is
            in the window is resized to it. Null is the input, or 7/8 of an image that is no larger than that.
        windows: how many along the path; null is as many as hold the box in the smallest image that fills the input,
            a square one where that is square.
        box: left, top, right, bottom of what every window is to hold, in fractions of the image; null is the middle of
            the image, half as high and wide as a window, which every image has.
        path, draws, seed: as for :class:`OnTrack`.
        boxes: annotations that hold a box of each image's own, see :func:`lit_shift.boxes.read`; of an image's several
            boxes the largest counts, and an image without one has ``box``.
        skip_bad: leave out annotations that cannot be used.
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
        self.window = None if window is None else at_least(1, "protocol.window", window)
        self.windows = None if windows is None else at_least(1, "protocol.windows", windows)
        self.box = None if box is None else _checked(box)
        self.boxes = None if boxes is None else given(boxes)
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
            say(f"{without}: {'the middle' if self.box is None else 'protocol.box'} is held instead.")

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
        least = 1 if self.box is None and place not in self.own else box  # the middle goes by the window
        remedy = "no window would do"
        if min(held) > 0:
            remedy = f"protocol.windows={min(held[axis] for axis in (0, 1) if axis != still)} would do"
        elif least <= min(size):
            remedy = f"protocol.windows=1 with a protocol.window from {least} to {min(size)} would do"
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
            yield resized(_cut(images, torch.tensor(middle) + offsets, *sizes), view.height, view.width)

    def _sizes(self, view: View) -> tuple[int, int]:
        """Of a window."""
        if self.window is not None:
            return self.window, self.window
        if view.resize is not None and view.resize > max(view.height, view.width):
            return view.height, view.width
        return max(1, 7 * view.height // 8), max(1, 7 * view.width // 8)

    def _room(self, view: View) -> tuple[int, int]:
        """How many windows there are along each axis."""
        if self.windows is not None:
            return self.windows, self.windows
        smallest = max(view.height, view.resize or 0), max(view.width, view.resize or 0)
        rows, cols = (max(1, high - low + 1) for low, high in self._ranges(smallest, self._sizes(view)))
        return rows, cols

    def _ranges(
        self, size: tuple[int, int], sizes: tuple[int, int], place: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Of each axis, the first and the last place of a window that holds the box, in an image of this size."""
        for (first, last), side, window in zip(self._edges(size, sizes, place), size, sizes, strict=True):
            yield max(0, math.ceil(last) - window), min(side - window, math.floor(first))

    def _edges(self, size: tuple[int, int], sizes: tuple[int, int], place: int | None) -> list[tuple[float, float]]:
        """Of each axis, where the box begins and ends; that of an image of no place is no image's own."""
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


class Circular(OnTrack):
    """The image rolls: what leaves at one side enters at the other.

    Args:
        path, draws, seed: as for :class:`OnTrack`.
    """

    def __init__(self, path: str, draws: int, seed: int) -> None:
        super().__init__("circular shift", path, draws, seed)

    def positions(self, view: View) -> np.ndarray:
        return self.track.positions(view.height, view.width)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        images = whole(images, view)
        for offsets in self.track.offsets(view.height, view.width, places):
            yield roll(images, offsets)


class Subpixel(OnTrack):
    """The image rolls by fractions of a pixel, as the band-limited signal that its pixels determine.

    Values may ring beyond [0, 1].

    Args:
        fraction: of a pixel, the length of a step.
        steps: number of frames along the path.
        path, draws, seed: as for :class:`OnTrack`.

    Source: :func:`lit_shift.shifts.fourier_shift`.
    """

    def __init__(self, fraction: float, steps: int, path: str, draws: int, seed: int) -> None:
        super().__init__("circular shift", path, draws, seed)
        if not fraction > 0:
            raise InputError(f"protocol.fraction={fraction} must be above 0.")
        self.fraction = fraction
        self.steps = at_least(1, "protocol.steps", steps)

    def positions(self, view: View) -> np.ndarray:
        counted = self.track.path in ("grid", "random")
        return self.track.positions(self.steps, self.steps) * (1 if counted else self.fraction)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        images = whole(images, view)
        for offsets in self.track.offsets(self.steps, self.steps, places):
            shifts = (self.fraction * offsets).tolist()
            yield torch.cat([fourier_shift(image, *by) for image, by in zip(images.split(1), shifts, strict=True)])


class Frames(Protocol):
    """The frames of a video, in the order of their names, numbers by value; it counts as one image.

    Args:
        folder: of images.
        skip_bad: leave out those that cannot be read.
        resize: how they are brought to the network's input: ``squash`` them to its proportions, as the paper's appendix
            A does, which shows all of every frame; or ``crop`` the middle, as of photographs.

    Raises:
        InputError: no such folder, or fewer than two images in it; in :meth:`frames`, one that cannot be read.
    """

    along = "frame"

    def __init__(self, folder: str, skip_bad: bool, resize: str = "squash") -> None:
        path = given_folder(folder, "protocol.folder", "the frames of a video")
        if resize not in RESIZES:
            raise unknown("protocol.resize", resize, RESIZES)
        self.resize = resize
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
                return f"{file}: {flaw} protocol.resize=squash takes any size."
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


class Whole(Protocol):
    """The image as the network is meant to see it, and nothing else: what there is to lose."""

    along = "image"
    ordered = False

    def positions(self, view: View) -> np.ndarray:
        return np.arange(1)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        yield whole(images, view)


def _by_number(file: Path) -> list[str | int]:
    """For 2.png to come before 10.png."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)]


def _cut(images: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """A window of each image: (N, C, H, W) and upper left corners (N, 2) -> (N, C, height, width)."""
    cut = [
        image[:, row : row + height, col : col + width]
        for image, (row, col) in zip(images, corners.tolist(), strict=True)
    ]
    return torch.stack(cut)


def _checked(box: Sequence[float]) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = box
        if 0 <= left < right <= 1 and 0 <= top < bottom <= 1:
            return left, top, right, bottom
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"protocol.box={box} must be left, top, right, bottom in fractions of the image, as [.2,.1,.8,.9]."
    )
