"""Pools with learned filters, against literal loops from their formulas."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from lit_shift.pools.adaptive import DDACPool, LearnedPool
from lit_shift.pools.pool import MaxPoolBlurDS
from tests.pools.of_the_field import trained
from tests.pools.test_choosing import dense_max


@pytest.mark.parametrize("filter", ["tri3", "rect2", "pascal7"])
@pytest.mark.parametrize("side", [2, 4, 8])
def test_learned_starts_as_the_filter(filter, side, rng):
    x = torch.randn(2, 12, side, side, generator=rng)
    torch.testing.assert_close(LearnedPool(12, filter)(x), MaxPoolBlurDS(filter)(x))


@pytest.mark.parametrize(("channels", "groups"), [(16, 8), (12, 4), (6, 2), (7, 1)])
def test_groups(channels, groups):
    assert len(LearnedPool(channels).logits) == groups
    assert DDACPool(channels).groups == groups


def test_learned_is_its_filter_in_each_group(rng):
    pool, x = trained(LearnedPool(4, groups=2)), torch.randn(1, 4, 6, 4, dtype=torch.float64, generator=rng)
    result, maps = pool(x)[0], dense_max(x[0])
    for channel, (i, j) in product(range(4), product(range(3), range(2))):
        taps = pool.logits[channel // 2].exp()
        taps = taps / taps.sum()
        expected = sum(
            taps[a] * taps[b] * maps[channel, (2 * i + a - 1) % 6, (2 * j + b - 1) % 4]
            for a, b in product(range(3), repeat=2)
        )
        torch.testing.assert_close(result[channel, i, j], expected)


@pytest.mark.parametrize("size", [3, 5])
def test_ddac_predicts_taps_at_each_place_and_group(size, rng):
    pool = trained(DDACPool(4, size=size, groups=2))
    x = torch.randn(2, 4, 6, 4, dtype=torch.float64, generator=rng)
    reach, result = size // 2, pool(x)
    for n, (i, j) in product(range(2), product(range(3), range(2))):
        maps = dense_max(x[n])
        window = torch.stack(
            [maps[:, (2 * i + a - reach) % 6, (2 * j + b - reach) % 4] for a, b in product(range(size), repeat=2)]
        )  # (taps, C)
        predicted = torch.einsum("ock,kc->o", pool.conv.weight.flatten(2), window)
        normed = F.batch_norm(
            predicted[None], pool.norm.running_mean, pool.norm.running_var, pool.norm.weight, pool.norm.bias
        )
        taps = normed.view(2, size**2).softmax(1)  # of each group, summing to 1
        for channel in range(4):
            expected = (taps[channel // 2] * window[:, channel]).sum()
            torch.testing.assert_close(result[n, channel, i, j], expected)


def test_ddac_leaves_a_constant_map_as_it_is():
    x = torch.full((1, 8, 4, 4), 3.0, dtype=torch.float64)
    torch.testing.assert_close(trained(DDACPool(8))(x), x[:, :, ::2, ::2])
