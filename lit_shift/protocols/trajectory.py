"""The paths along which images move."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lit_shift.choices import PATHS
from lit_shift.shifts import draw_offsets, seeded
from lit_shift.utils.errors import at_least, unknown


class Track:
    """Offsets in a field of rows and columns, relative to its middle, in steps of one.

    ``vertical`` and ``horizontal`` go through the middle from end to end, ``diagonal`` likewise in both at once,
    ``grid`` through all offsets, row by row and back. ``random`` is no path but ``draws`` offsets, each image's own,
    uniform over all.

    Raises:
        InputError: an unknown path.
    """

    STREAM = 0  # of random numbers, apart from those of noise

    def __init__(self, path: str, draws: int, seed: int) -> None:
        if path not in PATHS:
            raise unknown("path", path, PATHS)
        self.path = path
        self.draws = at_least(1, "protocol.draws", draws)
        self.seed = seed
        self.ordered = path != "random"

    def offsets(self, rows: int, cols: int, places: Sequence[int]) -> Tensor:
        """(S, N, 2) int64, for the N images at ``places``."""
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
        """What an axis of a figure shows: pixels from the middle, or the number of the offset."""
        offsets = self.offsets(rows, cols, [0])[:, 0]
        if self.path in ("grid", "random"):
            return np.arange(len(offsets))
        return offsets[:, int(self.path == "horizontal")].numpy()

    def along(self, what: str) -> str:
        """What changes, in words."""
        if self.path in ("grid", "random"):
            return f"{self.path} {what}, in order"
        return f"{self.path} {what} in pixels"
