from itertools import pairwise, product

import numpy as np
import pytest
import torch

from lit_shift import functional
from lit_shift.functional import accuracy_random, consistency, shift_counts, total_variation, variation

SHAPES = [(4, 3, 2, 5), (1, 2, 2, 2), (3, 6, 4), (2, 1, 2, 3)]


@pytest.fixture(params=SHAPES, ids=str)
def logits(request, rng):
    return 2 * torch.randn(request.param, generator=rng)


@pytest.fixture
def target(logits, rng):
    return torch.randint(logits.shape[-1], logits.shape[:1], generator=rng)


def flat(logits):
    return logits.reshape(logits.shape[0], -1, logits.shape[-1])


def test_consistency_is_the_share_of_agreeing_pairs(logits):
    exact, sampled = [], []
    for image in flat(logits):
        classes = image.argmax(1).tolist()
        pairs = list(product(range(len(classes)), repeat=2))
        exact.append(np.mean([classes[a] == classes[b] for a, b in pairs]))
        sampled.append(np.mean([classes[a] == classes[b] for a, b in pairs if a != b]))
    torch.testing.assert_close(consistency(logits, reduction="none").tolist(), exact)
    torch.testing.assert_close(consistency(logits).item(), float(np.mean(exact)))
    torch.testing.assert_close(consistency(logits, sampled=True, reduction="none").tolist(), sampled)


def test_random_accuracy_is_the_share_of_correct_shifts(logits, target):
    expected = [
        np.mean([row.argmax().item() == label for row in image])
        for image, label in zip(flat(logits), target.tolist(), strict=True)
    ]
    torch.testing.assert_close(accuracy_random(logits, target, reduction="none").tolist(), expected)
    torch.testing.assert_close(accuracy_random(logits, target).item(), float(np.mean(expected)))


def test_variation_is_half_the_mean_squared_difference_over_pairs(logits, target):
    exact, sampled = [], []
    for image, label in zip(flat(logits).double().numpy(), target.tolist(), strict=True):
        p = [np.exp(row[label]) / np.exp(row).sum() for row in image]
        pairs = list(product(range(len(p)), repeat=2))
        exact.append(np.mean([(p[a] - p[b]) ** 2 / 2 for a, b in pairs]))
        sampled.append(np.mean([(p[a] - p[b]) ** 2 / 2 for a, b in pairs if a != b]))
    torch.testing.assert_close(variation(logits, target, reduction="none").tolist(), exact)
    torch.testing.assert_close(variation(logits, target).item(), float(np.mean(exact)))
    torch.testing.assert_close(variation(logits, target, sampled=True, reduction="none").tolist(), sampled)


def test_an_invariant_model_is_consistent_and_does_not_vary(rng):
    logits = torch.randn(5, 1, 1, 4, generator=rng).expand(5, 8, 8, 4)
    target = torch.arange(5) % 4
    assert consistency(logits).item() == 1
    assert variation(logits, target).item() == 0
    assert set(accuracy_random(logits, target, reduction="none").tolist()) <= {0.0, 1.0}


def test_bounds():
    """Two classes, each on half the shifts with certainty: the least consistency, the most variation."""
    logits = torch.tensor([[[100.0, -100], [-100, 100]]])
    assert consistency(logits).item() == 0.5
    assert variation(logits, torch.tensor([0])).item() == 0.25


@pytest.mark.parametrize("measure", ["consistency", "variation", "accuracy"])
def test_the_sampled_form_is_unbiased_for_the_exact_one(measure):
    """Averaged over every possible pair of draws, it is the exact value."""
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 3, 0], [0, 0, 1], [4, 0, 0]])[None].double()
    target = torch.tensor([1])
    draws = torch.cat([logits[:, [a, b]] for a, b in product(range(5), repeat=2)])
    labels = target.expand(25)
    sampled, exact = {
        "consistency": (consistency(draws, sampled=True), consistency(logits)),
        "variation": (variation(draws, labels, sampled=True), variation(logits, target)),
        "accuracy": (accuracy_random(draws, labels), accuracy_random(logits, target)),
    }[measure]
    torch.testing.assert_close(sampled, exact)


STEPS = {"vertical": (1, 0), "horizontal": (0, 1), "diagonal": (1, 1)}


@pytest.mark.parametrize("direction", STEPS)
@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (2, 5, 7, 3), (2, 1, 4, 2), (3, 6, 1, 4), (1, 1, 1, 2)])
def test_the_flip_rate_counts_steps_over_the_whole_torus(direction, shape, rng):
    logits, (down, right) = torch.randn(shape, generator=rng), STEPS[direction]
    expected = []
    for image in logits.tolist():
        height, width = len(image), len(image[0])
        classes = [[row.index(max(row)) for row in rows] for rows in image]
        flips = [
            classes[h][w] != classes[(h + down) % height][(w + right) % width]
            for h, w in product(range(height), range(width))
        ]
        expected.append(np.mean(flips))
    assert functional.flip_rate(logits, direction, "none").tolist() == pytest.approx(expected)
    assert functional.flip_rate(logits, direction).item() == pytest.approx(np.mean(expected))


def test_stripes_flip_across_and_a_chessboard_along_both_axes():
    """On 4x6 shifts: rows of alternating classes, columns likewise, and both."""
    rows, cols = torch.arange(4)[:, None] % 2, torch.arange(6) % 2
    patterns = [rows.expand(4, 6), cols.expand(4, 6), (rows + cols) % 2]
    logits = torch.nn.functional.one_hot(torch.stack(patterns), 2).float()
    for direction, flipped in (("vertical", [1, 0, 1]), ("horizontal", [0, 1, 1]), ("diagonal", [1, 1, 0])):
        assert functional.flip_rate(logits, direction, "none").tolist() == flipped


def test_a_direction_that_is_none_is_named_with_the_choices():
    with pytest.raises(ValueError, match=r"up.*vertical, horizontal, diagonal"):
        functional.flip_rate(torch.zeros(1, 2, 2, 3), "up")


def test_shift_counts_sum_to_the_number_of_shifts(logits):
    assert (shift_counts(logits).sum(1) == flat(logits).shape[1]).all()


def test_total_variation_is_a_literal_loop(rng):
    weight = torch.randn(3, 2, 3, 4, generator=rng)
    w = weight.numpy().astype(float)
    total = 0.0
    for o, i, r, c in product(range(3), range(2), range(3), range(4)):
        if r + 1 < 3:
            total += abs(w[o, i, r + 1, c] - w[o, i, r, c])
        if c + 1 < 4:
            total += abs(w[o, i, r, c + 1] - w[o, i, r, c])
    torch.testing.assert_close(total_variation(weight).item(), total / np.abs(w).sum())


def test_total_variation_at_a_random_start(rng):
    shape = (256, 256, 3, 3)
    uniform, normal = torch.rand(shape, generator=rng) - 0.5, torch.randn(shape, generator=rng)
    # 12 neighbours among 9 weights: 12/9 E|a - b| / E|a|, which is 16/9 and 12/9 sqrt(2).
    assert abs(total_variation(uniform).item() - 16 / 9) < 0.005
    assert abs(total_variation(normal).item() - 4 / 3 * 2**0.5) < 0.005
    assert total_variation(torch.ones(2, 2, 3, 3)).item() == 0


def test_correct_probability(rng):
    logits, target = torch.randn(3, 2, 5, 4, generator=rng), torch.tensor([0, 3, 1])
    probabilities = functional.correct_probability(logits, target)
    for n, (i, j) in product(range(3), product(range(2), range(5))):
        expected = logits[n, i, j].double().softmax(0)[target[n]]
        assert probabilities[n, i, j] == pytest.approx(expected.item())


PATHS = [(1, 1, 2), (1, 6, 2), (3, 4, 5), (2, 7, 3), (4, 2, 6)]


@pytest.fixture(params=PATHS, ids=str)
def path(request, rng):
    """Logits of few different values, so that many are equal."""
    return torch.randint(3, request.param, generator=rng).float()


@pytest.fixture
def label(path, rng):
    return torch.randint(path.shape[-1], path.shape[:1], generator=rng)


def top(row, k):
    """The k most probable classes of one frame; of equals the first first."""
    return sorted(range(len(row)), key=lambda c: (-float(row[c]), c))[:k]


def test_in_top_is_membership_in_a_sorted_list(path, label):
    for k in range(1, path.shape[-1] + 2):
        inside = functional.in_top(path, label, k)
        assert inside.dtype == torch.bool
        expected = [[int(c) in top(row, k) for row in image] for image, c in zip(path, label, strict=True)]
        assert inside.tolist() == expected


def test_exactly_k_classes_are_in_the_top_k(path):
    n, _, classes = path.shape
    for k in range(1, classes + 1):
        inside = sum(functional.in_top(path, torch.full((n,), c), k).long() for c in range(classes))
        assert (inside == k).all()


def test_the_top_one_is_that_of_argmax(path):
    n, _, classes = path.shape
    for c in range(classes):
        assert torch.equal(functional.in_top(path, torch.full((n,), c)), path.argmax(-1) == c)


def test_in_top_takes_any_number_of_axes(rng):
    logits, target = torch.randn(4, 2, 3, 5, generator=rng), torch.tensor([0, 4, 2, 2])
    inside = functional.in_top(logits, target, 2)
    assert torch.equal(inside, functional.in_top(logits.flatten(1, 2), target, 2).view(4, 2, 3))
    assert torch.equal(inside[:, 1, 0], functional.in_top(logits[:, 1, 0], target, 2))


def test_a_network_that_answers_nan_is_never_right():
    logits = torch.full((2, 3, 4), torch.nan)
    assert not functional.in_top(logits, torch.tensor([0, 3]), 3).any()
    one = torch.tensor([[torch.nan, 5, 1, 0]])  # argmax and topk say that the first class is the greatest
    assert [functional.in_top(one, torch.tensor([1]), k).item() for k in (1, 2)] == [False, True]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("sampled", [False, True])
def test_measures_of_answers_that_are_not_finite_are_unknown(bad, sampled, rng):
    """Those of the other images are what they are without it."""
    logits, target = torch.randn(3, 6, 4, generator=rng), torch.tensor([0, 0, 3])
    logits[1, 2, 0] = bad
    measures = [
        functional.accuracy_random,
        lambda logits, target, reduction: functional.consistency(logits, sampled, reduction),
        lambda logits, target, reduction: functional.variation(logits, target, sampled, reduction),
        lambda logits, target, reduction: functional.accuracy(logits, target, 2, reduction),
        lambda logits, target, reduction: functional.jaggedness(logits, target, 2, reduction),
        lambda logits, target, reduction: functional.flip_rate(logits.unflatten(1, (2, 3)), "diagonal", reduction),
        functional.mad,
    ]
    for measure in measures:
        found = measure(logits, target, reduction="none")
        assert found.isnan().tolist() == [False, True, False]
        torch.testing.assert_close(found[[0, 2]], measure(logits[[0, 2]], target[[0, 2]], reduction="none"))
        assert measure(logits, target, reduction="mean").isnan()
    with pytest.raises(ValueError, match="have no class"):
        functional.shift_counts(logits)
    with pytest.raises(ValueError, match="elect no class"):
        functional.elected(logits, [1])


@pytest.mark.parametrize("infinite", [torch.inf, -torch.inf])
def test_infinite_logits_rank_as_numbers_do(infinite):
    logits = torch.tensor([[0, infinite, infinite, 1.0]])
    for c in range(4):
        for k in range(1, 4):
            assert functional.in_top(logits, torch.tensor([c]), k).item() == (c in top(logits[0], k))


def test_accuracy_is_the_share_of_frames_with_the_correct_class_in_the_top_k(path, label):
    for k in range(1, path.shape[-1]):
        expected = [np.mean([int(c) in top(row, k) for row in image]) for image, c in zip(path, label, strict=True)]
        assert functional.accuracy(path, label, k, "none").tolist() == pytest.approx(expected)
        assert functional.accuracy(path, label, k).item() == pytest.approx(np.mean(expected))


def test_jaggedness_counts_the_times_the_correct_class_comes_or_goes(path, label):
    for k in range(1, path.shape[-1]):
        counts = []
        for image, c in zip(path, label.tolist(), strict=True):
            inside = [c in top(row, k) for row in image]
            counts.append(sum(now != before for before, now in pairwise(inside)))
        assert functional.jaggedness(path, label, k, "none").tolist() == counts
        assert functional.jaggedness(path, label, k).item() == pytest.approx(np.mean(counts))
        assert functional.jaggedness(path.flip(1), label, k, "none").tolist() == counts


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_jaggedness_is_between_none_and_every_step(steps):
    blinking = torch.stack([torch.arange(steps) % 2, 1 - torch.arange(steps) % 2], dim=1)[None].double()
    target = torch.tensor([1])
    assert functional.jaggedness(blinking, target).item() == steps - 1
    assert functional.jaggedness(blinking, target, k=2).item() == 0  # of two classes it is always among two
    assert functional.jaggedness(blinking[:, :1].expand(1, steps, 2), target).item() == 0


def test_mad_is_the_mean_absolute_change_of_a_softmax(rng):
    for shape in [(3, 4, 5), (1, 2, 2), (2, 9, 3)]:
        logits, target = 3 * torch.randn(shape, generator=rng), torch.randint(shape[2], shape[:1], generator=rng)
        expected = []
        for image, c in zip(logits.double().numpy(), target.tolist(), strict=True):
            p = [np.exp(row[c]) / np.exp(row).sum() for row in image]
            expected.append(np.mean([abs(now - before) for before, now in pairwise(p)]))
            assert expected[-1] >= abs(p[-1] - p[0]) / (len(p) - 1) - 1e-12
        assert functional.mad(logits, target, "none").tolist() == pytest.approx(expected)
        assert functional.mad(logits, target).item() == pytest.approx(np.mean(expected))
        assert functional.mad(logits.flip(1), target, "none").tolist() == pytest.approx(expected)


def test_mad_of_one_step_is_unknown_and_at_most_one():
    assert functional.mad(torch.zeros(2, 1, 3), torch.tensor([0, 1]), "none").isnan().all()
    certain = torch.tensor([[[1000.0, 0], [0, 1000], [1000, 0]]])
    assert functional.mad(certain, torch.tensor([0])).item() == 1


def changes(sums, tolerance):
    """At how many steps the sum of one map changes, literally."""
    mean = sum(sums) / len(sums)
    return sum(abs(now - before) > tolerance * abs(mean) for before, now in pairwise(sums))


def departures(sums, tolerance):
    mean = sum(sums) / len(sums)
    return sum(abs(now - mean) > tolerance * abs(mean) for now in sums)


def over_maps(count, sums, maxima, tolerance, threshold):
    """The mean count of the maps of one image that respond to it."""
    largest = max(0.0, *maxima)
    counts = [count(sums[:, c], tolerance) for c, maximum in enumerate(maxima) if maximum > threshold * largest]
    return np.mean(counts) if counts else np.nan


COUNTED = pytest.mark.parametrize(
    ("measure", "count"), [(functional.nonshiftability, changes), (functional.departures, departures)]
)


@COUNTED
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 1), (4, 3, 6), (3, 8, 2)])
@pytest.mark.parametrize("tolerance", [0, 0.2, 1.5])
@pytest.mark.parametrize("threshold", [0, 0.1, 0.9])
def test_changes_and_departures_are_a_literal_loop(measure, count, shape, tolerance, threshold, rng):
    """Sums and maxima of any sign, and an image without any response."""
    sums, maxima = torch.randn(shape, generator=rng) + 0.5, torch.randn(shape[0], shape[2], generator=rng)
    maxima[-1] = maxima[-1].clamp(max=0)
    found = measure(sums, maxima, tolerance, threshold, "none")
    pairs = zip(sums.double().numpy(), maxima.double().numpy(), strict=True)
    expected = [over_maps(count, *pair, tolerance, threshold) for pair in pairs]
    np.testing.assert_allclose(found, expected)
    assert found[-1].isnan()


@pytest.mark.parametrize(
    ("path", "changed", "departed"),
    [
        (torch.linspace(0.5, 1.5, 33), 0, 20),  # drifts far, step by small step
        (torch.tensor([1, 1.19, 0.81] * 11), 11, 0),  # jumps to and fro within the tolerance of its mean
        (torch.tensor([0.0, 1] * 5), 9, 10),  # never stays
        (torch.tensor([1.0] * 8 + [2.0]), 1, 1),
    ],
)
def test_what_drifts_departs_and_what_jumps_changes(path, changed, departed):
    for sums in (path, -path):
        on_path = sums[None, :, None], torch.ones(1, 1)
        assert functional.nonshiftability(*on_path).item() == changed
        assert functional.departures(*on_path).item() == departed


@COUNTED
def test_neither_depends_on_the_scale_of_a_layer(measure, count, rng):
    sums, maxima = torch.randn(5, 7, 4, generator=rng), torch.rand(5, 4, generator=rng)
    expected = measure(sums, maxima, reduction="none")
    assert torch.equal(measure(8 * sums, 8 * maxima, reduction="none"), expected)
    assert torch.equal(measure(-sums, maxima, reduction="none"), expected)


def test_a_change_is_more_than_the_tolerance_and_a_response_more_than_the_threshold():
    sums = torch.tensor([[[3.0, 0], [4, 1], [5, 2]]])
    for measure in (functional.nonshiftability, functional.departures):
        assert measure(sums[..., :1], torch.ones(1, 1), 0.25).item() == 0
        assert measure(sums[..., :1], torch.ones(1, 1), 0.24).item() == 2
        maxima = torch.tensor([[4.0, 1]])
        assert measure(sums, maxima, 0.25, 0.25).item() == 0
        assert measure(sums, maxima, 0.25, 0.24).item() == 1  # the mean of none and two


@COUNTED
def test_constant_sums_are_shiftable_be_they_negative_or_none(measure, count):
    sums = torch.tensor([-3.0, 0, 7]).expand(2, 5, 3)
    assert measure(sums, torch.ones(2, 3), tolerance=0).item() == 0


def test_elected_is_who_has_most_of_the_first_ballots(rng):
    ballots = torch.randint(3, (2, 4, 6, 5), generator=rng).double()
    for passes in ([1], [6, 2, 3], [1, 2, 4, 6]):
        winners = functional.elected(ballots, passes)
        assert winners.shape == (2, 4, len(passes))
        for n, r, (p, number) in product(range(2), range(4), enumerate(passes)):
            totals = [sum(float(ballots[n, r, i, c]) for i in range(number)) for c in range(5)]
            assert winners[n, r, p] == totals.index(max(totals))
