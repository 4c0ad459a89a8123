import numpy as np
import pytest
from scipy.stats import beta, binom, multinomial, ttest_1samp

from lit_shift.intervals import of_difference, of_mean, of_seeds


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


def of_pairs(differences):
    """The interval of the mean of differences (..., N)."""
    gain, loss = (np.maximum(sign * differences, 0).mean(-1) for sign in (1, -1))
    return of_difference(gain, loss, np.square(differences).mean(-1), differences.shape[-1])


def covered(ends, truth):
    return np.mean((ends[0] <= truth) & (truth <= ends[1]))


@pytest.mark.parametrize("images", [1_000, 10_000])
@pytest.mark.parametrize("discordant", [0.01, 0.1])
@pytest.mark.parametrize("won", [0.5, 0.6, 0.75, 0.9, 1])
def test_matched_pairs_are_covered_95_times_in_100(images, discordant, won):
    """Not simulated: the probabilities of all tables whose intervals cover the truth, added up.

    Of the pairs that disagree, the one classifier wins a half, so that nothing differs, or more, up to all.
    """
    rates = np.array([discordant * won, discordant * (1 - won)])
    ends = binom.ppf([[1e-7], [1 - 1e-7]], images, rates).astype(int)
    gains, losses = np.meshgrid(*(np.arange(low, high + 1) for low, high in ends.T), indexing="ij")
    tables = np.stack([gains, losses, images - gains - losses], -1)
    probability = multinomial.pmf(tables, images, [*rates, 1 - rates.sum()])
    low, high = of_difference(gains / images, losses / images, (gains + losses) / images, images)
    truth = rates[0] - rates[1]
    assert probability.sum() == pytest.approx(1, abs=1e-5)
    assert 0.94 <= probability[(low <= truth) & (truth <= high)].sum() <= 0.96


def consistencies(rng, shape, certain):
    """Of two networks: 1 for most images, most of them the same, else anything from a half up."""
    common = rng.random(shape, dtype=np.float32) < 0.8
    shared = rng.random(shape, dtype=np.float32)
    for share in certain:
        rest = np.where(common, shared, rng.random(shape, dtype=np.float32)) >= share
        values = np.ones(shape)
        values[rest] = 0.5 + 0.5 * rng.beta(2, 1, rest.sum())
        yield values


@pytest.mark.parametrize(("images", "times"), [(1_000, 10_000), (10_000, 2_000)])
@pytest.mark.parametrize("certain", [(0.9, 0.9), (0.97, 0.97), (0.9, 0.8)])
def test_differences_of_consistency_are_covered_95_times_in_100(images, times, certain):
    """The simulation itself has a standard deviation of 0.2 and 0.5 in 100."""
    rng = np.random.default_rng(0)
    pairs = (consistencies(rng, (times // 20, images), certain) for _ in range(20))
    ends = np.concatenate([of_pairs(one - other) for one, other in pairs], 1)
    truth = (certain[0] - certain[1]) * (1 - (0.5 + 0.5 * 2 / 3))
    assert 0.94 <= covered(ends, truth) <= 0.96


def test_large_differences_of_both_signs_have_the_usual_interval():
    differences = np.random.default_rng(0).normal(0.03, 0.3, (20, 10_000)).clip(-1, 1)
    reach = 1.96 * differences.std(1) / 100
    expected = differences.mean(1) - reach, differences.mean(1) + reach
    np.testing.assert_allclose(of_pairs(differences), expected, atol=0.01 * reach.min())


def test_the_sign_and_the_size_of_differences_carry_over():
    differences = np.random.default_rng(0).choice([-1, 0, 0, 0, 0, 1, 1], 50)
    low, high = of_pairs(differences)
    np.testing.assert_allclose(of_pairs(-differences), (-high, -low))
    np.testing.assert_allclose(of_pairs(differences / 8), (low / 8, high / 8))


@pytest.mark.parametrize("images", [1, 2, 50])
def test_no_difference_is_not_certainty(images):
    """Jeffreys' upper end for none of N, by the beta distribution's own probability."""
    low, high = of_pairs(np.zeros(images))
    assert -low == high > 1 / (images + 1)
    np.testing.assert_allclose(beta.sf(high, 0.5, images + 0.5), 0.025)
    for always in (1, -1):
        low, high = of_pairs(np.full(images, always))
        assert high - low > 1 / (images + 1)
        assert max(low * always, high * always) == 1
    low, high = of_pairs(np.full(images, 0.25))
    assert low < 0.25 <= high


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_means_over_seeds_are_covered_95_times_in_100(seeds):
    values = np.random.default_rng(0).normal(0.01, 0.004, (100_000, seeds))
    assert 0.948 <= covered(of_seeds(values), 0.01) <= 0.952
    ours = np.array(of_seeds(values[:50])).T
    theirs = ttest_1samp(values[:50], 0, axis=1).confidence_interval()
    np.testing.assert_allclose(ours, np.transpose(theirs))


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
