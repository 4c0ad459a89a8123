"""ResNet-18 against one built of PyTorch's own layers."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from lit_shift.models import ResNet18
from lit_shift.pools import AvgPool, L2PoolBlurDS, LPSPool, MaxPool, MaxPoolBlurDS
from tests.pools.of_the_field import trained


def torchvisions(ours: ResNet18) -> nn.Module:
    """torchvision's ResNet-18 with the same weights and boundaries, a 3x3 stem and no first pool."""
    net = torchvision.models.resnet18(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding_mode = ours.padding
            layer._reversed_padding_repeated_twice = [pad for pad in layer.padding for _ in range(2)]
    features = ours.features
    pairs = [(net.conv1, net.bn1, features.stem), (net.fc, None, ours.classifier)]
    for stage in (1, 2, 3, 4):
        for i, theirs in enumerate(getattr(net, f"layer{stage}"), start=1):
            block = getattr(features, f"block{stage}_{i}")
            pairs += [(theirs.conv1, theirs.bn1, block.conv1), (theirs.conv2, theirs.bn2, block.conv2)]
            if theirs.downsample:
                theirs.downsample[0].weight.data = block.shortcut[0].weight.data
                theirs.downsample[1].load_state_dict(block.shortcut[1].state_dict())
    for convolution, norm, layer in pairs:
        convolution.weight.data = layer.weight.data
        if norm:
            norm.load_state_dict(layer.norm.state_dict())
        else:
            convolution.bias.data = layer.bias.data
    return net.double().eval()


@pytest.mark.parametrize(("padding", "size"), [("circular", (32, 32)), ("zeros", (33, 21)), ("zeros", (2, 1))])
def test_with_max_pooling_it_is_the_strided_resnet(padding, size, rng):
    ours = trained(ResNet18(partial(MaxPool, padding=padding), padding=padding))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in torchvisions(ours).parameters())
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), torchvisions(ours)(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("pool", "skipped"), [(MaxPoolBlurDS, True), (L2PoolBlurDS, False), (AvgPool, False)])
def test_its_convolutions_take_the_place_of_a_max_alone(pool, skipped, rng):
    block, x = trained(ResNet18(pool, width=4)).features.block2_1, torch.randn(2, 4, 8, 6, generator=rng).double()
    assert [each.has_dense for each in (block.pool, block.shortcut_pool)] == [not skipped] * 2
    maps = block.conv1(x)
    dense = (lambda maps: maps) if skipped else block.pool.dense
    shortcut = block.shortcut(block.shortcut_pool.blur(dense(x), 2))
    expected = F.relu(shortcut + block.conv2(block.pool.blur(dense(maps), 2)))
    torch.testing.assert_close(block(x), expected)


def test_there_are_six_pools_for_the_channels_that_they_see():
    asked = []

    def pool(channels):
        asked.append(channels)
        return MaxPool()

    ResNet18(pool, width=4)
    assert asked == [8, 4, 16, 8, 32, 16]


def test_a_shortcut_has_no_parameters_for_a_choice_that_it_does_not_make(rng):
    """Several devices would wait for their gradients."""
    net = ResNet18(LPSPool, width=4)
    net(torch.randn(4, 3, 16, 16, generator=rng)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_other_paddings(padding, rng):
    net = ResNet18(MaxPool, width=2, padding=padding)
    assert net(torch.randn(1, 3, 16, 24, generator=rng)).shape == (1, 10)
    with pytest.raises(ValueError, match="must be even, not 5x4, because"):
        net(torch.zeros(1, 3, 20, 16))
    with pytest.raises(ValueError, match="multiples of 8, not 20x16, unless padding=zeros or padding=reflect"):
        ResNet18(MaxPool, width=2)(torch.zeros(1, 3, 20, 16))


def test_options_that_make_no_sense():
    with pytest.raises(ValueError, match="width=0 must be a whole number"):
        ResNet18(MaxPool, width=0)
    with pytest.raises(ValueError, match="Unknown padding 'circle'"):
        ResNet18(MaxPool, width=1, padding="circle")
