"""Pools that look at the phases, against literal loops from their formulas."""

from math import ceil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_shift.filters import lowpass
from lit_shift.pools.choosing import APSPool, LPSPool, TIPSPool, pool_both
from lit_shift.pools.pool import MaxPool
from lit_shift.shifts import roll
from tests.pools.of_the_field import trained

PLACES = [(0, 0), (0, 1), (1, 0), (1, 1)]


def dense_max(x):
    """Max over 2x2 of one image (C, H, W), by the definition."""
    return torch.stack([x.roll((-i, -j), (1, 2)) for i, j in PLACES]).amax(0)


def blurred(x, filter):
    """One image (C, H, W), blurred sample by sample."""
    taps = lowpass(filter)
    before = (len(taps) - 1) // 2
    for axis in (1, 2):
        x = sum(tap * x.roll(before - k, axis) for k, tap in enumerate(taps))
    return x


def phases_of(x):
    return [x[:, p::2, q::2] for p, q in PLACES]


def score_of(network, phase):
    """Scores (out,) of a phase (C, h, w), by PyTorch's own circular convolutions."""

    def convolved(conv, x):
        own = nn.Conv2d(
            conv.in_channels, conv.out_channels, 3, padding=1, padding_mode="circular", bias=conv.bias is not None
        ).double()
        own.load_state_dict(conv.state_dict())
        return own(x)

    return convolved(network.conv2, F.relu(convolved(network.conv1, phase[None])))[0].mean((1, 2))


@pytest.mark.parametrize("filter", ["delta", "tri3", "rect2", "pascal7"])
def test_aps_takes_the_phase_of_the_largest_norm(filter, rng):
    x = torch.randn(8, 3, 8, 6, dtype=torch.float64, generator=rng)
    found, taken = APSPool(filter)(x), set()
    for image, result in zip(x, found, strict=True):
        maps = dense_max(image)
        norms = [float(phase.square().sum().sqrt()) for phase in phases_of(maps)]  # before the blur
        best = norms.index(max(norms))
        taken.add(best)
        torch.testing.assert_close(result, phases_of(blurred(maps, filter))[best], rtol=0, atol=1e-12)
    assert len(taken) > 1


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("size", [(7, 5), (4, 3), (1, 6), (1, 1), (4, 6)])
def test_the_shorter_phases_of_odd_sides_end_beyond_the_border(size, padding, rng):
    """The first phase is what a pool keeps that does not choose; every other is as large."""
    pool, x = APSPool("tri3", padding), torch.randn(6, 2, *size, dtype=torch.float64, generator=rng)
    maps, blurred = pool.dense(x), pool.blur(pool.dense(x), 1)
    beyond = [(0, 0), (0, 0), (0, 1), (0, 1)]
    mode = {"zeros": "constant", "reflect": "reflect"}[padding]
    choices, kept = (
        [phases_of(image) for image in torch.from_numpy(np.pad(each.numpy(), beyond, mode=mode))]
        for each in (maps, blurred)
    )
    rows, cols = ceil(size[0] / 2), ceil(size[1] / 2)
    for n, result in enumerate(pool(x)):
        norms = [float(phase[:, :rows, :cols].square().sum()) for phase in choices[n]]
        best = norms.index(max(norms))
        torch.testing.assert_close(result, kept[n][best][:, :rows, :cols], rtol=0, atol=1e-12)
    assert torch.equal(pool(x, torch.zeros(6, dtype=torch.int64)), blurred[:, :, ::2, ::2])


def test_equal_norms_give_the_first_phase():
    x = torch.ones(1, 2, 4, 4)
    assert APSPool().choose(x).tolist() == [0]
    x[:, :, 0, 1] = x[:, :, 1, 0] = 2  # phases 1 and 2 are equal, and larger than the others
    assert APSPool().choose(x).tolist() == [1]


def test_lps_takes_the_phase_of_the_highest_score_in_evaluation(rng):
    pool, x = trained(LPSPool(3, "tri3", hidden=5)), torch.randn(8, 3, 8, 6, dtype=torch.float64, generator=rng)
    taken = set()
    for image, result in zip(x, pool(x), strict=True):
        maps = dense_max(image)
        scores = [score_of(pool.score, phase).mean().item() for phase in phases_of(maps)]
        best = scores.index(max(scores))
        taken.add(best)
        torch.testing.assert_close(result, phases_of(blurred(maps, "tri3"))[best], rtol=0, atol=1e-12)
    assert len(taken) > 1
    assert pool.score.conv1.out_channels == 3  # no more than the map has


def test_equal_scores_leave_the_choice_to_the_norms(rng):
    """A network of which no unit responds scores all phases alike, wherever they are."""
    pool = trained(LPSPool(3))
    nn.init.constant_(pool.score.conv1.bias, -100)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=rng)
    assert torch.equal(pool(x), APSPool()(x))


def test_lps_mixes_the_phases_in_training_and_more_sharply_when_cold(rng):
    pool, x = trained(LPSPool(3, hot=2.0, cold=0.05)), torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=rng)
    pool.train()
    maps = pool.dense(x)
    scores = torch.stack(
        [torch.stack([score_of(pool.score, phase).mean() for phase in phases_of(image)]) for image in maps]
    )
    torch.manual_seed(3)
    noise = -torch.empty_like(scores).exponential_().log()
    torch.manual_seed(3)
    weights = pool.choose(maps)
    torch.testing.assert_close(weights, ((scores + noise) / 2).softmax(1))
    torch.manual_seed(3)
    expected = [
        sum(w * phase for w, phase in zip(mine, phases_of(image), strict=True))
        for mine, image in zip(weights, maps, strict=True)
    ]
    torch.testing.assert_close(pool(x), torch.stack(expected), rtol=0, atol=1e-12)
    sharpness = []
    for share in (0, 0.5, 1):
        pool.note_progress(share)
        torch.manual_seed(3)
        sharpness.append(pool.choose(maps).amax(1).mean().item())
    assert sharpness == sorted(sharpness)
    assert float(pool.temperature) == pytest.approx(0.05)


def test_gumbel_noise_chooses_in_proportion_to_the_softmax_of_the_scores():
    pool = LPSPool(2).train()
    pool.score = nn.Sequential()  # scores the phases by themselves
    scores = torch.tensor([1.0, 0.0, -1.0, 2.0])
    pool.score.forward = lambda phases: scores.repeat(len(phases) // 4)[:, None]
    torch.manual_seed(0)
    chosen = pool.choose(torch.zeros(20000, 2, 2, 2)).argmax(1)
    torch.testing.assert_close(torch.bincount(chosen) / 20000, scores.softmax(0), rtol=0, atol=0.015)


def test_tips_mixes_the_phases_of_each_channel(rng):
    pool, x = trained(TIPSPool(3, hidden=5)), torch.randn(4, 3, 8, 6, dtype=torch.float64, generator=rng)
    for image, result in zip(x, pool(x), strict=True):
        phases = phases_of(dense_max(image))
        scores = torch.stack([score_of(pool.score, phase) for phase in phases])  # (4, C)
        for channel, mine in enumerate(result):
            weights = scores[:, channel].exp() / scores[:, channel].exp().sum()
            expected = sum(w * phase[channel] for w, phase in zip(weights, phases, strict=True))
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-12)


def test_two_branches_share_a_choice(rng):
    """Otherwise their sum would not commute with shifts."""
    pool, shortcut = APSPool(), APSPool()
    x, y = torch.randn(2, 16, 3, 8, 8, dtype=torch.float64, generator=rng)
    assert not torch.equal(pool.choice(x), shortcut.choice(y))

    def misplaced(branches):
        """Images whose sum of branches is another after a shift, wherever it may lie."""
        before, after = sum(branches(x, y)), sum(branches(roll(x, shift), roll(y, shift)))
        places = [before.roll((p, q), (2, 3)) for p in range(4) for q in range(4)]
        return int(torch.stack([(after - place).abs().amax((1, 2, 3)) for place in places]).amin(0).gt(1e-6).sum())

    shift = torch.tensor([[1, 3]] * 16)
    assert misplaced(lambda x, y: (pool(x), shortcut(y))) > 0
    assert misplaced(lambda x, y: pool_both(pool, shortcut, x, y)) == 0


def test_pools_that_choose_nothing_are_applied_to_both(rng):
    x, y = torch.randn(2, 2, 3, 4, 4, generator=rng)
    found = pool_both(MaxPool(), MaxPool(), x, y)
    assert torch.equal(found[0], MaxPool()(x))
    assert torch.equal(found[1], MaxPool()(y))
