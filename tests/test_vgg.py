from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from lit_shift.padding import PADDINGS
from lit_shift.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import roll
from lit_shift.vgg import VGG13


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
