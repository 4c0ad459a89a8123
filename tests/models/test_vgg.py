from functools import partial
from itertools import pairwise
from math import ceil

import pytest
import torch
from torch import nn

from lit_shift.kernels import fourier_conv
from lit_shift.models.vgg import VGG13
from lit_shift.padding import PADDINGS
from lit_shift.pools.choosing import LPSPool
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import roll


def test_thirteen_layers_named_as_in_figure_4():
    model = VGG13(MaxPool)
    names = [name for name, layer in model.features.named_children() if isinstance(layer, nn.Conv2d | MaxPool)]
    assert names == [f"{kind}{b}{i}" for b in range(1, 6) for kind, i in (("conv", "_1"), ("conv", "_2"), ("pool", ""))]
    widths = [layer.out_channels for layer in model.features if isinstance(layer, nn.Conv2d)]
    assert widths == [64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    assert model.classifier.in_features == 512


def test_number_of_weights():
    """By hand: 3x3 kernels, two numbers a channel for the batch norm, a linear layer with bias."""
    channels = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    expected = sum(9 * a * b + 2 * b for a, b in pairwise(channels)) + 512 * 10 + 10
    assert sum(p.numel() for p in VGG13(MaxPool).parameters()) == expected


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("pool", [MaxPool, AvgPool, partial(MaxPoolBlurDS, "rect7")])
def test_every_pool_and_padding_forward_and_backward(pool, padding, rng):
    model = VGG13(partial(pool, padding=padding), num_classes=7, width=2, padding=padding)
    out = model(torch.randn(3, 3, 32, 64, generator=rng))
    assert out.shape == (3, 7)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_convolutions_are_torchs_own(rng):
    x = torch.randn(2, 3, 8, 10, generator=rng)
    for padding in PADDINGS:
        ours = VGG13(MaxPool, width=4, padding=padding).features.conv1_1
        theirs = nn.Conv2d(3, 4, 3, padding=1, padding_mode=padding, bias=False)
        theirs.weight = ours.weight
        torch.testing.assert_close(ours.convolve(x), theirs(x))


@pytest.mark.parametrize("pool", [MaxPool, AvgPool, MaxPoolBlurDS])
def test_shifts_by_32_in_a_larger_image_change_nothing(pool, rng):
    model = VGG13(pool, width=2).double().eval()
    x = torch.randn(1, 3, 64, 96, dtype=torch.float64, generator=rng)
    torch.testing.assert_close(model(roll(x, torch.tensor([[32, -64]]))), model(x), rtol=0, atol=1e-12)


def test_pools_share_checkpoints(rng):
    weights = VGG13(MaxPool, width=2).state_dict()
    for pool in (MaxPoolBlurDS, AvgPool):
        VGG13(pool, width=2).load_state_dict(weights)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (48, 32), (0, 32), (16, 16)])
def test_sides_that_cannot_be_halved_five_times_are_refused(height, width):
    with pytest.raises(ValueError, match=f"multiples of 32, not {height}x{width}"):
        VGG13(MaxPool, width=1).eval()(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("pool", [MaxPool, AvgPool, MaxPoolBlurDS, LPSPool])
def test_without_circular_boundaries_any_side_is_halved_and_rounded_up(pool, padding, rng):
    model = VGG13(partial(pool, padding=padding), width=2, padding=padding).eval()
    for height, width in ((33, 33), (1, 7), (28, 50)):
        x = torch.randn(2, 3, height, width, generator=rng)
        maps = model.features(x)
        assert maps.shape[2:] == (ceil(height / 32), ceil(width / 32))
        torch.testing.assert_close(model(x), model.classifier(maps.mean((2, 3))))
    with pytest.raises(ValueError, match="sides of a pool's map must be even, not 33x33"):
        VGG13(pool, width=2, padding=padding).eval()(torch.zeros(1, 3, 33, 33))


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS])
def test_in_the_fourier_basis_it_is_the_same_network(pool, rng, monkeypatch):
    """Outputs and gradients, also of 8x8 maps, for which so narrow a network would not go there."""
    monkeypatch.setattr(fourier_conv, "is_faster", lambda x, weight: max(x.shape[2:]) <= 8)
    direct, fourier = (VGG13(pool, num_classes=5, width=4, fourier=way).double() for way in (False, True))
    fourier.load_state_dict(direct.state_dict())
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64, generator=rng)
    found = []
    for model in (direct, fourier):
        logits = model(x)
        logits.square().sum().backward()
        found.append([logits, *(parameter.grad for parameter in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_small_maps_go_by_the_fourier_basis_on_a_cpu_in_full_precision(rng, monkeypatch):
    seen = []
    original = fourier_conv.convolve
    monkeypatch.setattr(fourier_conv, "convolve", lambda x, weight: seen.append(x.shape[2]) or original(x, weight))
    x = torch.randn(2, 3, 32, 32, generator=rng)
    VGG13(MaxPool, width=4)(x)
    assert seen == [4, 4, 2, 2]
    seen.clear()
    VGG13(MaxPool, width=64).eval()(x)
    assert seen == [8, 8, 4, 4, 2, 2]
    seen.clear()
    VGG13(MaxPool, width=4, fourier=False)(x)
    VGG13(partial(MaxPool, padding="zeros"), width=4, padding="zeros")(x)
    with torch.autocast("cpu", torch.bfloat16):
        VGG13(MaxPool, width=4)(x)
    VGG13(MaxPool, width=4).bfloat16()(x.bfloat16())
    assert seen == []
