"""What every pool must do: shapes, shifts, gradients, precision, checkpoints."""

from itertools import product
from math import ceil

import pytest
import torch

from lit_shift.pools.phases import OFFSETS, shifted_to_phases, split_phases
from lit_shift.pools.pool import Pool, made
from lit_shift.shifts import roll
from lit_shift.utils.errors import InputError
from tests.pools.of_the_field import EVERY_SHIFT, POOLS, SPECTRAL, pool_of

SIZES = [(2, 2), (4, 2), (6, 10), (16, 16)]
every_pool = pytest.mark.parametrize("name", POOLS)


def test_phases_and_shifts_to_them(rng):
    maps = torch.randn(3, 2, 4, 6, generator=rng)
    split, shifted = split_phases(maps), shifted_to_phases(maps)
    for n, p, q in product(range(3), range(2), range(2)):
        place = 4 * n + 2 * p + q
        assert torch.equal(split[place], maps[n, :, p::2, q::2])
        assert torch.equal(shifted[place], roll(maps[n, None], torch.tensor([[-p, -q]]))[0])


@pytest.mark.parametrize("size", SIZES)
@every_pool
def test_even_shifts_move_the_result_by_half(name, size, rng):
    pool, x = pool_of(name, 6), torch.randn(3, 6, *size, dtype=torch.float64, generator=rng)
    y = pool(x)
    assert y.shape == (3, 6, size[0] // 2, size[1] // 2)
    half = torch.tensor([[1, 0], [0, -1], [3, 2]])
    torch.testing.assert_close(pool(roll(x, 2 * half)), roll(y, half), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", EVERY_SHIFT)
def test_after_any_shift_the_result_is_the_same_but_for_its_place(name, size, rng):
    pool, x = pool_of(name, 6), torch.randn(1, 6, *size, dtype=torch.float64, generator=rng)
    moved = [pool(x).roll((p, q), (2, 3)) for p, q in product(range(size[0] // 2), range(size[1] // 2))]
    for h, w in product(range(size[0]), range(size[1])):
        found = pool(roll(x, torch.tensor([[h, w]])))
        assert min((found - y).abs().max() for y in moved) < 1e-12


@pytest.mark.parametrize("name", sorted({*POOLS} - {*EVERY_SHIFT}))
def test_an_odd_shift_changes_what_other_pools_keep(name, rng):
    pool, x = pool_of(name, 6), torch.randn(1, 6, 8, 8, dtype=torch.float64, generator=rng)
    found = pool(roll(x, torch.tensor([[1, 0]])))
    assert min((found - pool(x).roll(p, 2)).abs().max() for p in range(4)) > 1e-3


@pytest.mark.parametrize("size", SIZES)
@every_pool
def test_all_phases_at_once_are_four_calls(name, size, rng):
    pool, x = pool_of(name, 6), torch.randn(3, 6, *size, dtype=torch.float64, generator=rng)
    four = torch.stack([pool(x.roll((-p, -q), (2, 3))) for p, q in product(range(2), repeat=2)], dim=1).flatten(0, 1)
    torch.testing.assert_close(pool.phases(pool.before(x)), four, rtol=0, atol=1e-12)


@every_pool
def test_odd_circular_maps_other_shapes_and_integers_are_refused(name):
    pool = pool_of(name, 6)
    for size in ((5, 4), (4, 7), (1, 1)):
        with pytest.raises(InputError, match=f"must be even, not {size[0]}x{size[1]}"):
            pool(torch.zeros(1, 6, *size, dtype=torch.float64))
    with pytest.raises(InputError, match="takes maps"):
        pool(torch.zeros(6, 4, 4, dtype=torch.float64))
    with pytest.raises(InputError, match="floating-point"):
        pool(torch.zeros(1, 6, 4, 4, dtype=torch.int64))


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@every_pool
def test_other_boundaries_where_they_make_sense(name, padding, rng):
    x = torch.randn(2, 6, 4, 6, dtype=torch.float64, generator=rng)
    if name in SPECTRAL:
        with pytest.raises(InputError, match=f"padding={padding}: .* has circular boundaries only"):
            pool_of(name, 6, padding=padding)
        return
    pool, circular = pool_of(name, 6, padding=padding), pool_of(name, 6)
    assert pool(x).shape == (2, 6, 2, 3)
    for height, width in ((1, 1), (2, 2), (7, 32), (33, 33), (3, 1)):
        assert pool(x.new_ones(1, 6, height, width)).shape == (1, 6, ceil(height / 2), ceil(width / 2))
    if name not in ("max", "aps", "lps", "tips"):  # these see the border in their choice or not at all
        assert not torch.allclose(pool(x), circular(x))


@every_pool
def test_gradients_are_those_of_finite_differences(name, rng):
    pool = pool_of(name, 2)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=rng, requires_grad=True)
    parameters = [parameter for parameter in pool.parameters() if parameter.requires_grad]

    def pooled(x, *_):
        torch.manual_seed(0)  # the choice of LPS is drawn
        return pool(x)

    for training in (False, True):
        pool.train(training)
        # A choice by argmax has no gradient, nor has what only scores it.
        used = parameters if training or not name.startswith("lps") else []
        assert torch.autograd.gradcheck(pooled, (x, *used), fast_mode=len(used) > 1)  # random directions at once


@every_pool
def test_half_precision_is_float32_rounded(name, rng):
    pool, x = pool_of(name, 6).float(), torch.randn(2, 6, 8, 8, generator=rng)
    exact = pool(x.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        found = pool(x.bfloat16())
    assert (found.float() - exact).abs().max() < 0.05


@pytest.mark.parametrize("name", ["aps", "aps-tri3"])
def test_the_choice_in_bfloat16_is_that_of_float32(name, rng):
    """The norms are in float32: in bfloat16, norms of 0.4% difference would be equal."""
    pool, maps = pool_of(name, 6).float(), torch.randn(500, 6, 8, 8, generator=rng).bfloat16()
    assert torch.equal(pool.choose(maps), pool.choose(maps.float()))
    rounded = split_phases(maps).square().sum((1, 2, 3)).view(-1, 4).argmax(1)
    assert not torch.equal(pool.choose(maps), rounded)


@every_pool
def test_what_is_learned_is_in_the_checkpoint_and_nothing_else(name, rng):
    pool, x = pool_of(name, 6), torch.randn(2, 6, 8, 8, dtype=torch.float64, generator=rng)
    fresh = made(POOLS[name], 6).double().eval()
    fresh.load_state_dict(pool.state_dict())
    assert torch.equal(fresh(x), pool(x))
    learns = name.split("-")[0] in ("lps", "ddac", "ddac5", "tips", "learned", "conv")
    assert bool(list(pool.parameters())) == learns
    assert bool(pool.state_dict()) == learns


@every_pool
def test_without_a_max_of_2x2_it_pools_the_maps_themselves(name, rng):
    """Only that is skipped: another dense operation is the pool's own."""
    pool, x = pool_of(name, 6), torch.randn(2, 6, 8, 8, dtype=torch.float64, generator=rng)
    maps, whole = pool.before(x), pool(x)
    pool.drop_max()
    if name in ("avg", *SPECTRAL, "l2", "conv"):
        assert torch.equal(pool(x), whole)
    else:
        torch.testing.assert_close(maps, torch.stack([x.roll((-p, -q), (2, 3)) for p, q in OFFSETS]).amax(0))
        torch.testing.assert_close(pool(maps), whole, rtol=0, atol=1e-12)


def test_pools_are_made_for_the_channels_that_they_ask_for():
    assert made(POOLS["tips"], 6).score.conv1.in_channels == 6
    assert isinstance(made(POOLS["max"], 6), Pool)
    for name in ("lps", "ddac", "tips", "learned", "conv"):
        with pytest.raises(InputError, match="channels=0 must be a whole number, 1 or more"):
            made(POOLS[name], 0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ddac", {"size": 4}, "size=4 must be 3 or 5"),
        ("ddac", {"groups": 0}, "groups=0 must be a whole number"),
        ("learned", {"filter": "ls7"}, "filter=ls7 has taps that are not positive"),
        ("lps", {"cold": 0}, "cold=0 must be a number, 0.001 or more"),
        ("tips", {"hidden": 0}, "hidden=0 must be a whole number"),
        ("aps", {"filter": "tri55"}, "Unknown filter 'tri55'"),
    ],
)
def test_options_that_make_no_sense(name, options, message):
    with pytest.raises(InputError, match=message):
        POOLS[name](**({} if name == "aps" else {"channels": 6}), **options)
