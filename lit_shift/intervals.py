"""95% intervals of means over images, which hold for rare events, few images and skewed values, and over seeds."""

import numpy as np
from scipy.stats import beta, gamma
from scipy.stats import t as student

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


def of_difference(gain: np.ndarray, loss: np.ndarray, square: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% interval of the mean of paired differences in [-1, 1], which is ``gain - loss``.

    If all differences are -1, 0 or 1, each image is of one of three kinds: only the first classifier is right, only
    the second is, or both score the same. The rates of the first two kinds have Jeffreys' intervals (Brown, Cai &
    DasGupta 2001, *Interval estimation for a binomial proportion*), from which the interval of their difference follows
    by Newcombe's square-and-add method, with the correlation of two cells of a table (Zou & Donner 2008, *Construction
    of confidence limits about effect measures*). It is never of zero width, and as it is not symmetric, it holds for
    few differences that are mostly of one sign, for which the normal approximation does not.

    Other differences are divided by their typical size, ``square / (gain + loss)``, and treated the same way. The
    variance is then that of the differences themselves, whatever their sizes.

    Args:
        gain: mean of the differences above 0, with 0 for all others; any shape.
        loss: mean of the differences below 0, with their sign dropped and 0 for all others; same shape.
        square: mean of their squares, same shape.
        images: number of differences, at least 1.

    Returns:
        Lower and upper ends, same shape.
    """
    gain, loss, square = map(np.asarray, (gain, loss, square))
    moved = gain + loss
    size = np.where(moved > 0, square / np.where(moved > 0, moved, 1), 1)
    p, q = np.minimum(gain / size, 1), np.minimum(loss / size, 1)
    (p_low, p_high), (q_low, q_high) = (_jeffreys(rate, images) for rate in (p, q))
    together = np.sqrt(p * q / np.maximum((1 - p) * (1 - q), p * q + (p * q == 0)))  # minus the correlation
    below = np.sqrt((p - p_low) ** 2 + (q_high - q) ** 2 + 2 * together * (p - p_low) * (q_high - q))
    above = np.sqrt((p_high - p) ** 2 + (q - q_low) ** 2 + 2 * together * (p_high - p) * (q - q_low))
    return size * (p - q - below), size * (p - q + above)


def _jeffreys(rate: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of Jeffreys' interval, which includes 0 if nothing has been hit, and 1 if everything has."""
    hits = rate * images
    low, high = (beta.ppf(end, hits + 0.5, images - hits + 0.5) for end in (TAIL, 1 - TAIL))
    return np.where(rate > 0, np.minimum(low, rate), 0), np.where(rate < 1, np.maximum(high, rate), 1)


def of_seeds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% interval of a mean over seeds, (..., S) -> (...) each: Student's t, for two seeds or more."""
    seeds = values.shape[-1]
    reach = student.ppf(1 - TAIL, seeds - 1) * values.std(-1, ddof=1) / np.sqrt(seeds)
    return values.mean(-1) - reach, values.mean(-1) + reach
