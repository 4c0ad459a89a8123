"""95% intervals of means over images that stay honest for rare events, few images and skewed values."""

import numpy as np
from scipy.stats import beta

LEVEL = 0.95


def of_mean(mean: np.ndarray, variance: np.ndarray, images: int, largest: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of the mean of values in [0, ``largest``].

    Values that are 0 or ``largest`` are hits of a binomial experiment, and the interval is the exact one of Clopper and
    Pearson: wherever the truth lies, it covers it at least 95 times in 100, and its width is never zero. Other values
    vary less than hits of the same mean do, as if there were more images: the same formula with that effective number
    (Korn & Graubard 1998, *Confidence intervals for proportions with small expected number of positive counts*). Where
    values do not vary at all, nothing tells how many such images there are, and the interval is as wide as if those
    that were not seen could have any value.

    Args:
        mean: any shape.
        variance: of the values around that mean, divided by their number, same shape.
        images: how many values, at least 1.
        largest: that a value can be, above 0.

    Returns:
        Lower and upper ends, of the same shape.
    """
    tail = (1 - LEVEL) / 2
    p, spread = np.asarray(mean) / largest, np.asarray(variance) / largest**2
    binomial = p * (1 - p)
    varies = (binomial > 0) & (spread > 1e-12 * binomial)  # less is rounding
    effective = images * binomial / np.where(varies, spread, 1)
    hits, misses = p * effective, (1 - p) * effective
    low, high = beta.ppf(tail, hits, misses + 1), beta.ppf(1 - tail, hits + 1, misses)
    unseen = 1 - tail ** (1 / images)
    low = np.where(varies, low, p * (1 - unseen))
    high = np.where(varies, high, p + (1 - p) * unseen)
    return largest * low, largest * high
