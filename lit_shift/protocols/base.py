"""A protocol: from an image to a path of slightly changed ones, frame by frame (Azulay & Weiss, section 2).

Images and frames have values in [0, 1], before any normalisation. A batch of images goes through a protocol together;
its frames are made when they are asked for, on the device that holds the images.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from lit_shift.data.view import View, too_small, whole
from lit_shift.protocols.trajectory import Track


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


class Whole(Protocol):
    """The image as the network is meant to see it, and nothing else: what there is to lose."""

    along = "image"
    ordered = False

    def positions(self, view: View) -> np.ndarray:
        return np.arange(1)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        yield whole(images, view)
