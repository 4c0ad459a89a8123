"""Section 3 of Azulay & Weiss: global pooling after subsampling is invariant exactly where the map is band-limited."""

from collections import defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from lit_shift.filters import FILTERS, lowpass
from lit_shift.functional import departures, nonshiftability
from lit_shift.models.layers import Layers
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import fourier_shift

# Height, width and stride of the subsampling.
GRIDS = [(8, 8, 2), (6, 10, 2), (12, 9, 3), (16, 16, 4), (15, 25, 5), (4, 2, 2)]


def frequencies(size):
    return np.abs(np.fft.fftfreq(size, 1 / size))


def band_limited(height, width, rows, cols, rng):
    """Random maps (5, 3, H, W) of frequencies below ``rows`` and ``cols`` cycles in each direction."""
    spectrum = torch.fft.fft2(torch.randn(5, 3, height, width, generator=rng, dtype=torch.float64))
    kept = (frequencies(height) < rows)[:, None] & (frequencies(width) < cols)
    return torch.fft.ifft2(spectrum * torch.from_numpy(kept)).real


def pooled(maps, stride):
    """The global sum of each subsampled map, in units of that of the map: (N, C)."""
    return stride**2 * maps[:, :, ::stride, ::stride].sum((2, 3))


def shifts(height, width, rng):
    """Whole ones, halves, and any."""
    return [(1, 0), (0, -1), (height // 2, 1), (0.5, 0.5), *(height * torch.rand(6, 2, generator=rng)).tolist()]


@pytest.mark.parametrize(("height", "width", "stride"), GRIDS)
def test_below_the_nyquist_limit_of_the_subsampled_grid_every_translation_leaves_the_sum(height, width, stride, rng):
    maps = band_limited(height, width, height / stride / 2, width / stride / 2, rng)
    for shift in shifts(height, width, rng):
        found = pooled(fourier_shift(maps, *shift), stride)
        torch.testing.assert_close(found, maps.sum((2, 3)), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("height", "width", "stride"), GRIDS)
def test_twice_that_limit_would_do_but_no_more(height, width, stride, rng):
    """The sum is the subsampled map's frequency 0, onto which nothing folds below the sampling frequency itself."""
    rows, cols = height // stride, width // stride
    maps = band_limited(height, width, rows, cols, rng)
    for shift in shifts(height, width, rng):
        torch.testing.assert_close(pooled(fourier_shift(maps, *shift), stride), maps.sum((2, 3)), rtol=0, atol=1e-9)
    wave = torch.cos(2 * torch.pi * rows * torch.arange(height, dtype=torch.float64) / height)
    wave = wave[:, None].expand(1, 1, height, width)
    for h in (0, 1, 0.3, stride / 2):
        expected = height * width * np.cos(2 * np.pi * rows * h / height)  # though the wave itself sums to 0
        assert pooled(fourier_shift(wave, h, 0), stride).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("height", "width", "stride"), GRIDS)
def test_of_a_delta_the_subsampled_grid_sees_all_or_nothing(height, width, stride):
    delta = torch.zeros(1, 1, height, width, dtype=torch.float64)
    delta[..., 0, 0] = 1
    steps = list(product(range(height), range(width)))
    sums = torch.cat([pooled(delta.roll(step, (2, 3)), stride) for step in steps])
    assert sums.flatten().tolist() == [stride**2 if h % stride == w % stride == 0 else 0 for h, w in steps]
    # Each of these departs from the mean, which is 1; it changes where all comes or goes.
    assert departures(sums[None], torch.ones(1, 1)).item() == len(steps)
    seen = [h % stride == w % stride == 0 for h, w in steps]
    assert nonshiftability(sums[None], torch.ones(1, 1)).item() == sum(a != b for a, b in pairwise(seen))


@pytest.mark.parametrize(("height", "width", "stride"), GRIDS)
def test_white_noise_departs_by_what_folds_onto_its_sum(height, width, stride, rng):
    """An alias of each multiple of the sampling frequencies, turned by the shift."""
    noise = torch.randn(5, 3, height, width, generator=rng, dtype=torch.float64)
    spectrum = torch.fft.fft2(noise)
    for h, w in ((0, 0), (1, 0), (1, 1), (0, stride - 1)):
        turns = product(range(stride), repeat=2)
        folded = sum(
            spectrum[:, :, a * (height // stride), b * (width // stride)]
            * np.exp(-2j * np.pi * (a * h + b * w) / stride)
            for a, b in turns
        )
        found = pooled(noise.roll((h, w), (2, 3)), stride)
        torch.testing.assert_close(found, folded.real, rtol=0, atol=1e-9)
        assert ((found - noise.sum((2, 3))).abs() > 1e-3).all()


@pytest.mark.parametrize("filter", FILTERS)
def test_a_pool_is_shiftable_by_as_much_as_its_filter_stops_the_highest_frequency(filter, rng):
    """Subsampling by 2 folds the Nyquist frequency onto the sum; a step turns its sign."""
    taps = lowpass(filter).numpy()
    passed = abs(np.sum(taps * (-1.0) ** np.arange(len(taps))))
    pool = MaxPoolBlurDS(filter)
    maps = torch.rand(4, 3, 8, 6, generator=rng, dtype=torch.float64)
    every = [pool(maps.roll(shift, (2, 3))).sum((2, 3)) for shift in ((0, 0), (1, 0), (0, 1), (1, 1), (2, 4))]
    total = pool.dense(maps).sum((2, 3)) / 4
    assert (passed < 1e-12) == all(torch.allclose(found, total, rtol=0, atol=1e-12) for found in every)
    # Of a map that varies along its rows alone, the step is known.
    stripes = maps.mean(3, keepdim=True).expand_as(maps)
    step = (pool.blur(stripes, 2) - pool.blur(stripes.roll(1, 2), 2)).sum((2, 3)).abs()
    alternating = (stripes[:, :, ::2] - stripes[:, :, 1::2]).sum((2, 3)).abs() / 2
    torch.testing.assert_close(step, passed * alternating, rtol=0, atol=1e-12)


def test_which_filters_stop_it():
    """Those that hold a pair of equal taps as a factor: even rectangles, their products, binomials."""
    passed = {name: abs((lowpass(name)[::2].sum() - lowpass(name)[1::2].sum()).item()) for name in FILTERS}
    stopping = {name for name in FILTERS if passed[name] < 1e-12}
    assert stopping >= {"rect2", "rect4", "rect6", "tri3", "tri7", "pascal4", "pascal5", "pascal6", "pascal7"}
    assert stopping.isdisjoint({"delta", "rect3", "rect5", "rect7", "tri5"})
    assert passed["delta"] == 1


@torch.no_grad()
def nonshiftability_of_layers(pool, tolerance, rng, path=(1, 0)):
    """Of VGG13 with random weights, along all circular shifts of an axis or of both: by layer."""
    torch.manual_seed(0)
    net = VGG13(pool, width=2).double()
    images = torch.rand(3, 3, 32, 32, generator=rng, dtype=torch.float64)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1  # so that after one pass every layer is normalised, and every ReLU cuts
    net.train()(images)
    maps = defaultdict(list)
    with Layers(net, images).watch(lambda name, map: maps[name].append(map.clone())):
        for step in range(32):
            net(images.roll((step * path[0], step * path[1]), (2, 3)))
    found = {}
    for name, every in maps.items():
        sums, maxima = torch.stack([map.sum((2, 3)) for map in every], dim=1), torch.stack(every).amax((0, 3, 4))
        found[name] = nonshiftability(sums, maxima, tolerance).item()
    return found


@pytest.mark.parametrize("pool", [MaxPool, AvgPool, MaxPoolBlurDS])
@pytest.mark.parametrize("path", [(1, 0), (0, 1), (1, 1)])
def test_before_any_subsampling_every_layer_of_our_nets_is_shiftable(pool, path, rng):
    found = nonshiftability_of_layers(pool, 1e-9, rng, path)
    names = list(found)
    before = names[: names.index("pool1")]
    assert before == ["conv1_1", "conv1_2"]
    assert [found[name] for name in before] == [0, 0]


def test_after_it_max_pooling_is_not_and_blurring_helps(rng):
    max_pooled, blurred = (nonshiftability_of_layers(pool, 0.2, rng) for pool in (MaxPool, MaxPoolBlurDS))
    assert all(max_pooled[name] > 0 for name in ("pool3", "pool4", "pool5"))
    assert sum(blurred.values()) < sum(max_pooled.values())
    assert nonshiftability_of_layers(MaxPool, 1e-9, rng)["pool1"] > 0


def test_average_pools_are_shiftable_and_the_relus_after_them_are_not(rng):
    """Six equal taps stop the Nyquist frequency; a ReLU of samples makes frequencies that their grid does not hold."""
    found = nonshiftability_of_layers(AvgPool, 1e-9, rng)
    assert found["pool1"] == 0
    assert found["conv2_1"] > 0
