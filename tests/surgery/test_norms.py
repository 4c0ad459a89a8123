"""Statistics of batch norms, estimated anew."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_shift.surgery.norms import has_norms, with_norms_of
from lit_shift.utils.errors import InputError


def test_two_norms_by_hand():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))
    net[1].momentum = 0.3
    net = net.double()
    batches = [torch.randn(n, 3, 6, 6, dtype=torch.float64) * n for n in (5, 5, 2)]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    anew = with_norms_of(net, iter(batches))
    means, variances, images = {1: 0, 4: 0}, {1: 0, 4: 0}, 12
    for batch in batches:
        x = batch
        for place, layer in enumerate(net):
            if place in means:
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
                means[place] += mean * len(batch) / images
                variances[place] += variance * len(batch) / images
                biased = x.var((0, 2, 3), correction=0)
                x = (x - mean[:, None, None]) / (biased + layer.eps).sqrt()[:, None, None]
                x = x * layer.weight[:, None, None] + layer.bias[:, None, None]
            elif not isinstance(layer, nn.Dropout):
                x = F.conv2d(x, layer.weight, layer.bias)
    for place in means:
        torch.testing.assert_close(anew[place].running_mean, means[place], rtol=0, atol=1e-12)
        torch.testing.assert_close(anew[place].running_var, variances[place], rtol=1e-12, atol=0)
    assert not any(module.training for module in anew.modules())
    assert anew[1].momentum == 0.3
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training


def test_a_trained_network_keeps_its_statistics_on_its_own_batch():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, momentum=1.0)).train()
    x = torch.randn(8, 1, 5, 5)
    net(x)
    torch.testing.assert_close(with_norms_of(net, [x]).state_dict(), net.state_dict())


def test_bad_input():
    net = nn.Conv2d(1, 1, 1)
    assert not has_norms(net)
    with pytest.raises(InputError, match="has no batch norms"):
        with_norms_of(net, [])
    with pytest.raises(InputError, match="There are no images"):
        with_norms_of(nn.BatchNorm2d(1), [])
