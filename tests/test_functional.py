from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

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


def test_cosine_distance_is_that_of_flat_vectors(rng):
    a, b = torch.randn(2, 5, 3, 4, generator=rng)
    expected = [cosine(x.flatten(), y.flatten()) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert functional.cosine_distance(a, b).tolist() == pytest.approx(expected, abs=1e-6)
    assert functional.cosine_distance(a, -2 * a).tolist() == pytest.approx([2] * 5)
    zero = torch.zeros(1, 3)
    assert functional.cosine_distance(zero, zero) == 0
    assert functional.cosine_distance(zero, torch.ones(1, 3)) == 1


def test_a_dead_layer_is_at_no_distance_from_itself():
    assert (functional.equivariance_distance(torch.zeros(2, 4, 4, 3, 2, 2)) == 0).all()


def test_correct_probability(rng):
    logits, target = torch.randn(3, 2, 5, 4, generator=rng), torch.tensor([0, 3, 1])
    probabilities = functional.correct_probability(logits, target)
    for n, (i, j) in product(range(3), product(range(2), range(5))):
        expected = logits[n, i, j].double().softmax(0)[target[n]]
        assert probabilities[n, i, j] == pytest.approx(expected.item())
