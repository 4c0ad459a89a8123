"""Each reading against loops over its pairs of shifts."""

from itertools import product

import numpy as np
import pytest
import torch

from lit_shift.consistency_variants import DEFINITIONS, READINGS, Predictions, crop_offsets, once_per_batch
from lit_shift.shifts import draw_offsets, seeded, shift

N, H, W, K = 5, 8, 8, 3


@pytest.fixture
def predictions(rng):
    def classes(*shape):
        return torch.randint(K, shape, generator=rng)

    circular = classes(N, H, W)
    circular[0] = 1  # an image that no shift changes
    labels = torch.tensor([1, 0, 2, 1, 0])
    return Predictions(K, labels, circular, classes(N, H, W), classes(N, 36))


def agreement(shifts):
    """Share of agreeing ordered pairs, a shift with itself among them."""
    return np.mean([a == b for a, b in product(shifts, repeat=2)])


def near(image, offsets):
    return [image[h % H, w % W].item() for h, w in product(offsets, repeat=2)]


ORACLES = {
    "pairs": lambda p, n: agreement(p.circular[n].flatten().tolist()),
    "within_3": lambda p, n: agreement(near(p.circular[n], range(-3, 4))),
    "within_3_aps": lambda p, n: agreement(near(p.circular[n], range(-3, 3))),
    "zero_padded_crops": lambda p, n: agreement(p.crops[n].tolist()),
    "half_pixel": lambda p, n: np.mean([c == p.circular[n, 0, 0].item() for c in p.half[n].flatten().tolist()]),
    "same_and_correct": lambda p, n: np.mean(
        [a == b == p.labels[n].item() for a, b in product(p.circular[n].flatten().tolist(), repeat=2)]
    ),
    "all_correct": lambda p, n: 1.0 * all(c == p.labels[n].item() for c in p.circular[n].flatten().tolist()),
}


def test_every_reading_has_an_oracle_and_a_definition():
    assert READINGS.keys() == ORACLES.keys()
    assert DEFINITIONS.keys() == {*READINGS, "once_per_batch"}


@pytest.mark.parametrize("name", READINGS)
def test_reading_is_its_definition(name, predictions):
    values = READINGS[name].measure(predictions)
    expected = [ORACLES[name](predictions, n) for n in range(N)]
    assert values.tolist() == pytest.approx(expected, abs=1e-12)


def test_once_per_batch_draws_one_pair_of_shifts_for_a_batch(predictions):
    passes, batch = 4, 2
    generator = seeded(0)
    agreeing = np.zeros(passes)
    for start in range(0, N, batch):
        offsets = draw_offsets((2, passes), H, W, generator)
        for k, n in product(range(passes), range(start, min(start + batch, N))):
            (a, b), (c, d) = offsets[0, k].tolist(), offsets[1, k].tolist()
            agreeing[k] += predictions.circular[n, a, b] == predictions.circular[n, c, d]
    assert once_per_batch(predictions.circular, passes, batch).tolist() == pytest.approx((agreeing / N).tolist())


def test_once_per_batch_expects_what_pairs_do_and_spreads_more(rng):
    circular = torch.randint(K, (64, 1, 1), generator=rng).expand(-1, H, W).clone()
    circular[:, :4] = 0  # all images change their minds at the same shifts
    exact = READINGS["pairs"].measure(Predictions(K, circular[:, 0, 0], circular, circular, circular[:, 0])).mean()
    whole, single = (once_per_batch(circular, 4000, batch) for batch in (64, 1))
    for passes in (whole, single):
        assert passes.mean() == pytest.approx(exact.item(), abs=0.02)
    assert whole.std() > 4 * single.std()


def test_crops_are_those_of_a_padded_image(rng):
    """As APS cuts them: pad by 3, rows and columns from 0 .. 5."""
    x = torch.randn(1, 2, 6, 6, generator=rng)
    padded = torch.nn.functional.pad(x, (3, 3, 3, 3))
    expected = [padded[:, :, a : a + 6, b : b + 6] for a, b in product(range(6), repeat=2)]
    ours = [shift(x, offset[None], "zeros") for offset in crop_offsets()]
    assert len(ours) == 36
    for crop in expected:
        assert sum(torch.equal(crop, other) for other in ours) == 1
