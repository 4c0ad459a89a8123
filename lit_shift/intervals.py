"""95% intervals of means over images that hold for rare events, few images and skewed values."""

import numpy as np
from scipy.stats import beta, gamma

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2


def of_mean(mean: np.ndarray, variance: np.ndarray, images: int, largest: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% interval of the mean of values in [0, ``largest``].

    If all values are 0 or ``largest``, they are outcomes of a binomial experiment and the interval is the exact one of
    Clopper and Pearson: it covers the true mean at least 95 times in 100, and its width is never zero. Other values
    vary less than binary ones with the same mean, as if there were more images. The same formula is used with that
    effective number of images (Korn & Graubard 1998, *Confidence intervals for proportions with small expected number
    of positive counts*). If the values do not vary at all, this number is unknown, and the interval allows for unseen
    images with any value.

    Values without an upper bound have the limit of these intervals for ever larger bounds: the gamma distribution's
    (Fay & Feuer 1997, *Confidence intervals for directly standardized rates*), or no upper end if they do not vary.

    Args:
        mean: any shape.
        variance: of the values, divided by their number (no Bessel correction), same shape.
        images: number of values, at least 1.
        largest: upper bound of the values, above 0; it may be infinite.

    Returns:
        Lower and upper ends, same shape.
    """
    if largest == np.inf:
        return _without_bound(np.asarray(mean), np.asarray(variance), images)
    p, spread = np.asarray(mean) / largest, np.asarray(variance) / largest**2
    binomial = p * (1 - p)
    varies = (binomial > 0) & (spread > 1e-12 * binomial)  # less is rounding
    effective = images * binomial / np.where(varies, spread, 1)
    hits, misses = p * effective, (1 - p) * effective
    low, high = beta.ppf(TAIL, hits, misses + 1), beta.ppf(1 - TAIL, hits + 1, misses)
    unseen = 1 - TAIL ** (1 / images)
    low = np.where(varies, low, p * (1 - unseen))
    high = np.where(varies, high, p + (1 - p) * unseen)
    return largest * low, largest * high


def _without_bound(mean: np.ndarray, variance: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    varies = (mean > 0) & (variance > 1e-12 * mean**2)  # less is rounding
    hits = images * mean**2 / np.where(varies, variance, 1)
    each = mean / np.where(varies, hits, 1)
    low = np.where(varies, each * gamma.ppf(TAIL, hits), mean * TAIL ** (1 / images))
    high = np.where(varies, each * gamma.ppf(1 - TAIL, hits + 1), np.inf)
    return low[()], high[()]
