"""Paths along which images move, and the base of the protocols that follow one."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lit_shift.protocols.base import Protocol
from lit_shift.shifts import draw_offsets, seeded
from lit_shift.utils.errors import at_least, one_of

PATHS = ("vertical", "horizontal", "diagonal", "grid", "random")


class Track:
    """Offsets relative to the middle of a field of rows and columns, in steps of one.

    ``vertical`` and ``horizontal`` pass through the middle from end to end, ``diagonal`` does both at once, and
    ``grid`` visits all offsets, row by row and back. ``random`` is not a path: it takes ``draws`` offsets, drawn
    uniformly for each image.

    Raises:
        InputError: unknown path.
    """

    STREAM = 0  # random numbers independent of those of noise

    def __init__(self, path: str, draws: int, seed: int) -> None:
        self.path = one_of(PATHS, "path", path)
        self.draws = at_least(1, "draws", draws)
        self.seed = at_least(0, "seed", seed)
        self.ordered = path != "random"

    def offsets(self, rows: int, cols: int, places: Sequence[int]) -> Tensor:
        """Offsets (S, N, 2) int64 for the N images with indices ``places``."""
        if self.path == "random":
            drawn = [draw_offsets((self.draws,), rows, cols, seeded(self.seed, self.STREAM, place)) for place in places]
            return torch.stack(drawn, dim=1) - torch.tensor([(rows - 1) // 2, (cols - 1) // 2])
        down, right = (torch.arange(size) - (size - 1) // 2 for size in (rows, cols))
        if self.path == "grid":
            back = [right if row % 2 == 0 else right.flip(0) for row in range(rows)]
            steps = torch.stack([down.repeat_interleave(cols), torch.cat(back)], dim=1)
        else:
            shorter = down if rows <= cols else right
            along = {"vertical": down, "horizontal": right, "diagonal": shorter}[self.path]
            moved = torch.tensor([self.path != "horizontal", self.path != "vertical"])
            steps = along[:, None] * moved
        return steps[:, None].expand(-1, len(places), -1)

    def positions(self, rows: int, cols: int) -> np.ndarray:
        """Positions for a figure's axis: pixels from the middle, or the number of the offset."""
        offsets = self.offsets(rows, cols, [0])[:, 0]
        if self.path in ("grid", "random"):
            return np.arange(len(offsets))
        return offsets[:, int(self.path == "horizontal")].numpy()

    def along(self, what: str) -> str:
        """Label for :meth:`positions`, given the name of the thing moved."""
        if self.path in ("grid", "random"):
            return f"{self.path} {what}, in order"
        return f"{self.path} {what} in pixels"


class OnTrack(Protocol):
    """A protocol that moves something along a path.

    Args:
        what: name of the thing moved.
        path: see :class:`Track`.
        draws: number of random positions.
        seed: of the random positions.
    """

    def __init__(self, what: str, path: str, draws: int, seed: int) -> None:
        self.track = Track(path, draws, seed)
        self.along = self.track.along(what)
        self.ordered = self.track.ordered
