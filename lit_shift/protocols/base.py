"""Base of all protocols, which turn an image into a path of slightly changed frames (Azulay & Weiss, section 2).

Images and frames have values in [0, 1], before normalisation. A batch of images goes through a protocol together. Its
frames are made on demand, on the device that holds the images.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from lit_shift.data.view import View, too_small, whole


class Protocol(ABC):
    """A transformation of images, step by step.

    ``along`` names what changes from frame to frame. ``ordered`` is true if neighbouring frames differ by one small
    step, so that counting changes of the output makes sense.
    """

    along: str
    ordered = True
    skipped = 0  # frames left out because they cannot be read

    @abstractmethod
    def positions(self, view: View) -> np.ndarray:
        """Position of each of the S frames on the path, in units of ``along``: (S,).

        Raises:
            InputError: the options do not fit, whatever the image.
        """

    def frame_size(self, view: View) -> tuple[int, int]:
        """Height and width of the frames."""
        return view.height, view.width

    def meet(self, names: Sequence[str]) -> None:  # noqa: B027 - most protocols need nothing
        """Look up annotations of the images, given their names."""

    def flaw(self, size: tuple[int, int], place: int, view: View) -> str | None:
        """Return why an image of this height and width cannot be used, and what to do; None if it can."""
        return too_small(*size, view)

    def seen(self, images: Tensor, view: View) -> Tensor:
        """Bring images to the network's input, unchanged otherwise: (N, 3, height, width)."""
        return whole(images, view)

    @abstractmethod
    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        """Yield the S frames of each image, step by step.

        Args:
            images: (N, 3, H, W), all of one size.
            places: indices of the N images among all. Random draws depend on these, not on the batch.
            view: the input of the network that will see the frames.

        Yields:
            (N, 3, h, w)

        Raises:
            InputError: an image cannot be used, see :meth:`flaw`.
        """


class Whole(Protocol):
    """The unchanged image at the network's input: the baseline for all other protocols."""

    along = "image"
    ordered = False

    def positions(self, view: View) -> np.ndarray:
        return np.arange(1)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        yield whole(images, view)
