import numpy as np
import pytest
from scipy.stats import binom

from lit_shift.intervals import of_mean


def of_hits(hits, images):
    p = np.asarray(hits) / images
    return of_mean(p, p * (1 - p), images)


@pytest.mark.parametrize("images", [1, 2, 50, 256])
def test_ends_are_where_the_hits_become_an_event_of_one_in_forty(images):
    """Clopper & Pearson's definition, by the binomial distribution itself."""
    hits = np.arange(images + 1)
    low, high = of_hits(hits, images)
    assert low[0] == 0
    assert high[-1] == 1
    np.testing.assert_allclose(binom.sf(hits[1:] - 1, images, low[1:]), 0.025)
    np.testing.assert_allclose(binom.cdf(hits[:-1], images, high[:-1]), 0.025)


@pytest.mark.parametrize("images", [50, 256, 1000])
def test_the_truth_is_covered_however_rare_the_event(images):
    """Not simulated: the probabilities of all numbers of hits whose intervals cover the truth, added up."""
    hits = np.arange(images + 1)
    low, high = of_hits(hits, images)
    assert np.all(high - low > 1 / images)
    for truth in np.linspace(0.001, 0.999, 999):
        assert binom.pmf(hits, images, truth)[(low <= truth) & (truth <= high)].sum() >= 0.95


def test_none_of_64_is_not_certainty():
    low, high = of_hits(0, 64)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 64)))


@pytest.mark.parametrize("images", [50, 400])
@pytest.mark.parametrize("kind", ["normal", "jagged", "mostly sure"])
def test_values_between_are_covered_about_95_times_in_100(kind, images):
    rng = np.random.default_rng(0)
    shape, largest = (4000, images), 16 if kind == "jagged" else 1
    if kind == "normal":
        values, truth = np.clip(rng.normal(0.5, 0.1, shape), 0, 1), 0.5
    elif kind == "jagged":  # most images never change their class, some do so one to eight times
        values, truth = (rng.random(shape) < 0.4) * rng.integers(1, 9, shape), 0.4 * 4.5
    else:
        values, truth = np.where(rng.random(shape) < 0.9, 1, rng.beta(3, 2, shape)), 0.9 + 0.1 * 0.6
    low, high = of_mean(values.mean(1), values.var(1), images, largest)
    assert 0.94 <= np.mean((low <= truth) & (truth <= high)) <= 0.975
    assert np.all((low >= 0) & (high <= largest))
    usual = 2 * 1.96 * values.std(1) / images**0.5
    assert 0.95 <= np.mean(high - low) / usual.mean() <= 1.2


def test_a_scale_does_not_matter():
    values = np.random.default_rng(0).random(30)
    expected = of_mean(values.mean(), values.var(), 30)
    found = of_mean(16 * values.mean(), 256 * values.var(), 30, largest=16)
    np.testing.assert_allclose(found, 16 * np.array(expected))


def test_values_that_do_not_vary_leave_room_for_what_was_not_seen():
    unseen = 1 - 0.025 ** (1 / 50)  # the largest share of other images of which 50 show none, once in forty times
    for value in (0, 0.3, 1):
        low, high = of_mean(value, 1e-18, 50)
        assert low == pytest.approx(value * (1 - unseen))
        assert high == pytest.approx(value + (1 - value) * unseen)


def test_without_a_bound_an_interval_is_the_limit_of_larger_and_larger_ones():
    rng = np.random.default_rng(0)
    for images in (2, 30, 1000):
        values = rng.exponential(3, (5, images))
        moments = values.mean(1), values.var(1), images
        found = of_mean(*moments, np.inf)
        np.testing.assert_allclose(found, of_mean(*moments, 1e7), rtol=1e-5)
        assert np.all((found[0] < values.mean(1)) & (values.mean(1) < found[1]))


def test_values_without_a_bound_are_covered_about_95_times_in_100():
    """Rates are skewed: many images change slowly and some fast."""
    values = np.random.default_rng(0).lognormal(0, 1, (4000, 256))
    low, high = of_mean(values.mean(1), values.var(1), 256, np.inf)
    assert 0.92 <= np.mean((low <= np.exp(0.5)) & (np.exp(0.5) <= high)) <= 0.975


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_nothing_is_known_above_values_that_have_no_bound_and_do_not_vary(value):
    low, high = of_mean(value, 1e-18 * value, 50, np.inf)
    assert low == pytest.approx(value * 0.025 ** (1 / 50))
    assert high == np.inf
