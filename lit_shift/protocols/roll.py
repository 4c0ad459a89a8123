"""Circular shifts, by pixels or fractions of a pixel."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lit_shift.data.view import View, whole
from lit_shift.protocols.trajectory import OnTrack
from lit_shift.shifts import fourier_shift, roll
from lit_shift.utils.errors import InputError, at_least


class Circular(OnTrack):
    """Circular shift of the image: pixels that leave at one side enter at the other.

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
    """Circular shift by fractions of a pixel, of the band-limited signal that the image's pixels determine.

    Values may ring beyond [0, 1].

    Args:
        fraction: length of a step, in pixels.
        steps: number of frames along the path.
        path, draws, seed: as for :class:`OnTrack`.

    Source: :func:`lit_shift.shifts.fourier_shift`.
    """

    def __init__(self, fraction: float, steps: int, path: str, draws: int, seed: int) -> None:
        super().__init__("circular shift", path, draws, seed)
        if not fraction > 0:
            raise InputError(f"fraction={fraction} must be above 0.")
        self.fraction = fraction
        self.steps = at_least(1, "steps", steps)

    def positions(self, view: View) -> np.ndarray:
        counted = self.track.path in ("grid", "random")
        return self.track.positions(self.steps, self.steps) * (1 if counted else self.fraction)

    def frames(self, images: Tensor, places: Sequence[int], view: View) -> Iterator[Tensor]:
        images = whole(images, view)
        for offsets in self.track.offsets(self.steps, self.steps, places):
            shifts = (self.fraction * offsets).tolist()
            yield torch.cat([fourier_shift(image, *by) for image, by in zip(images.split(1), shifts, strict=True)])
