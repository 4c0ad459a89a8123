"""The 19 FIR low-pass filters of Zhang's Table 1, each by its formula.

A filter is its one-dimensional taps, normalised to sum 1; the two-dimensional filter is their outer product.
"""

from math import comb
from typing import TYPE_CHECKING

import numpy as np
import scipy

from lit_shift.utils.errors import one_of

if TYPE_CHECKING:
    from torch import Tensor

FILTERS = (
    *("delta", "rect2", "rect3", "rect4", "rect5", "rect6", "rect7", "tri3", "tri5", "tri7"),
    *("pascal4", "pascal5", "pascal6", "pascal7", "window3", "window6", "window7", "ls3", "ls7"),
)

FAMILIES = {
    "delta": lambda n: np.ones(n),
    "rect": lambda n: np.ones(n),
    "tri": lambda n: np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)),
    "pascal": lambda n: np.array([comb(n - 1, k) for k in range(n)]),
    # Half-band low-pass: the cutoff is half the Nyquist frequency, the highest that subsampling by 2 can keep.
    "window": lambda n: scipy.signal.firwin(n, 0.5, window="boxcar"),
    "ls": lambda n: scipy.signal.firls(n, [0, 0.4, 0.6, 1], [1, 1, 0, 0]),
}


def family(name: str) -> str:
    """Name of a filter's family: ``tri`` for ``tri5``."""
    return name.rstrip("0123456789")


def taps(name: str) -> int:
    """Number of a filter's taps: 5 for ``tri5``, 1 for ``delta``."""
    return int(name.removeprefix(family(name)) or 1)


def lowpass(name: str) -> "Tensor":
    """Taps of a low-pass filter, by name.

    Args:
        name: one of :data:`FILTERS`: a family and its number of taps.

    Returns:
        ``(taps,)`` float64, sum 1.

    Raises:
        ValueError: unknown name; the message lists the names.

    Source: Zhang, section 3 and Table 1.
    """
    one_of(FILTERS, "filter", name)
    import torch  # here, so that tables can use filter names without torch

    weights = torch.as_tensor(FAMILIES[family(name)](taps(name)), dtype=torch.float64)
    return weights / weights.sum()
