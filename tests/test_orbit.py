from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from lit_shift.orbit import has_exact_orbit, is_circular, orbit_logits, sampled_logits, split_phases
from lit_shift.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import roll
from lit_shift.vgg import VGG13


def trained(pool, padding="circular", width=4):
    """A float64 network in which the image's detail lives on to the logits, its batch norms not trivial."""
    torch.manual_seed(0)
    model = VGG13(pool, num_classes=5, width=width, padding=padding).double()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(3 / layer.weight[0].numel()) ** 0.5)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.bias, std=0.3)
    return model.eval()


def brute_force(model, x):
    height, width = x.shape[-2:]
    offsets = torch.tensor(list(product(range(height), range(width))))
    with torch.no_grad():
        return torch.stack(
            [model(roll(image.expand(len(offsets), -1, -1, -1), offsets)).view(height, width, -1) for image in x]
        )


@pytest.mark.parametrize(
    "pool",
    [MaxPool, AvgPool, MaxPoolBlurDS, partial(MaxPoolBlurDS, "rect2"), partial(MaxPoolBlurDS, "pascal7")],
    ids=["max", "avg", "tri5", "rect2", "pascal7"],
)
def test_all_shifts_at_once_are_1024_passes(pool, rng):
    model = trained(pool)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng)
    expected = brute_force(model, x)
    assert expected.std(dim=(1, 2)).min() > 1e-7  # the shifts do differ
    torch.testing.assert_close(orbit_logits(model, x), expected, rtol=0, atol=1e-12)


def test_images_that_are_not_square_and_larger_than_32(rng):
    model = trained(MaxPool)
    x = torch.randn(1, 3, 32, 64, dtype=torch.float64, generator=rng)
    torch.testing.assert_close(orbit_logits(model, x), brute_force(model, x), rtol=0, atol=1e-12)


def test_float32_to_rounding(rng):
    model = trained(MaxPoolBlurDS).float()
    x = torch.randn(1, 3, 32, 32, generator=rng)
    torch.testing.assert_close(orbit_logits(model, x), brute_force(model, x), rtol=1e-4, atol=1e-5)


def test_split_phases(rng):
    maps = torch.randn(3, 2, 4, 6, generator=rng)
    split = split_phases(maps)
    for n, p, q in product(range(3), range(2), range(2)):
        assert torch.equal(split[4 * n + 2 * p + q], maps[n, :, p::2, q::2])


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_other_boundaries_are_refused_and_sampled_instead(padding, rng):
    model = trained(partial(MaxPoolBlurDS, padding=padding), padding)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng)
    assert not is_circular(model)
    with pytest.raises(ValueError, match="circular boundaries"):
        orbit_logits(model, x)
    offsets = torch.randint(32, (2, 5, 2), generator=rng)
    logits = sampled_logits(model, x, offsets)
    everything = brute_force(model, x)
    for n, s in product(range(2), range(5)):
        h, w = offsets[n, s]
        torch.testing.assert_close(logits[n, s], everything[n, h, w], rtol=0, atol=1e-12)


def test_one_boundary_that_is_not_circular_is_enough_to_refuse():
    assert not is_circular(VGG13(partial(MaxPool, padding="zeros"), width=1))
    assert not is_circular(VGG13(MaxPool, width=1, padding="zeros"))
    assert is_circular(VGG13(MaxPool, width=1))


def test_training_mode_is_refused(rng):
    with pytest.raises(ValueError, match=r"eval\(\)"):
        orbit_logits(trained(MaxPool).train(), torch.zeros(1, 3, 32, 32, dtype=torch.float64))


class Uneven(MaxPoolBlurDS):
    """Looks like a pool, but does not commute with shifts."""

    def dense(self, x):
        return x * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


class Forward(MaxPool):
    """Overrides the forward pass alone."""

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 2)


@pytest.mark.parametrize("pool", [lambda: nn.MaxPool2d(2), Uneven, Forward, partial(MaxPool, padding="zeros")])
def test_what_does_not_commute_with_shifts_is_found_out(pool, rng):
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=rng)
    assert not has_exact_orbit(trained(pool), x)
    assert has_exact_orbit(trained(MaxPoolBlurDS), x)
    assert has_exact_orbit(trained(MaxPool).float(), x.float())


def test_a_layer_that_subsamples_unknown_to_us_is_refused(rng):
    with pytest.raises(ValueError, match="no Pool changes the size"):
        orbit_logits(trained(lambda: nn.MaxPool2d(2)), torch.zeros(1, 3, 32, 32, dtype=torch.float64))
