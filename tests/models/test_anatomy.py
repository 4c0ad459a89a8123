"""A network's numbers against published ones, a graph's longest path, and what shifts leave unchanged."""

import threading

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F
from torchvision import models

from lit_shift.models.anatomy import anatomy, multiplications
from lit_shift.models.vgg import VGG13
from lit_shift.pools import (
    APSPool,
    AvgPool,
    DDACPool,
    FLCPool,
    IdealPool,
    LearnedPool,
    MaxPool,
    MaxPoolBlurDS,
    TIPSPool,
)
from lit_shift.results.terminal import tables
from lit_shift.training.collect import scalars


def on_paper(make, side):
    """A network without storage, and an image for it."""
    with torch.device("meta"):
        return make().eval(), torch.zeros(1, 3, side, side)


@pytest.mark.parametrize(
    ("make", "side", "parameters", "depth", "subsampling"),
    [
        (models.vgg16, 224, 138_357_544, 16, 32),  # as torchvision publishes their number, and as they are called
        (models.resnet50, 224, 25_557_032, 50, 32),
        (models.densenet121, 224, 7_978_856, 121, 32),
        (models.vit_b_16, 224, 86_567_656, None, 16),
        (models.swin_t, 224, 28_288_354, None, 32),
        (models.squeezenet1_1, 224, 1_235_496, None, 16),
    ],
)
def test_numbers_of_published_networks(make, side, parameters, depth, subsampling):
    found = anatomy(*on_paper(make, side))
    assert found["parameters"] == parameters
    assert depth in (None, found["depth"])
    assert (found["subsampling"], found["copies"]) == (subsampling, subsampling**2)
    assert found["exact_share"] * found["copies"] == 1


@pytest.mark.parametrize("make", [models.resnet18, models.shufflenet_v2_x0_5, models.mnasnet0_5])
def test_depth_is_the_longest_path_of_the_graph(make):
    net, image = on_paper(make, 64)
    traced = fx.symbolic_trace(net)
    longest = {}
    for node in traced.graph.nodes:
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        before = max((longest[each] for each in node.all_input_nodes), default=0)
        longest[node] = before + isinstance(module, nn.Conv2d | nn.Linear)
    assert anatomy(net, image)["depth"] == max(longest.values())


@torch.no_grad()
@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
@pytest.mark.parametrize("side", [32, 64])
def test_shifts_by_the_subsampling_factor_change_nothing_and_by_half_of_it_something(pool, side, rng):
    torch.manual_seed(0)
    net = VGG13(pool, width=4).double()
    x = torch.randn(4, 3, side, side, generator=rng, dtype=torch.float64)
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1  # after one pass every layer is normalised, and no ReLU cuts all
    net.train()(x)
    net.eval()
    s = anatomy(net, x)["subsampling"]
    assert s == {32: 16, 64: 32}[side]  # the last pool makes one sample of the 2x2, wherever these lie
    for axis in (2, 3):
        torch.testing.assert_close(net(x.roll(s, axis)), net(x), rtol=1e-9, atol=1e-9)
        if pool is MaxPool:  # of a filter that stops what folds, less would do
            assert (net(x.roll(s // 2, axis)) - net(x)).abs().max() > 1e-4


class Functions(nn.Module):
    """A blur of someone else's, a pool that is a function, slices, a block with a shortcut, channels last."""

    def __init__(self):
        super().__init__()
        self.conv, self.long1, self.long2, self.short = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.mix, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        x = F.max_pool2d(self.conv(x), 3, 2, 1)
        x = self.long2(F.relu(self.long1(x))) + self.short(x)
        x = x[:, :, ::3, ::3].permute(0, 2, 3, 1)
        x = self.mix(x)[:, ::2, ::2]
        return self.head(x.mean((1, 2)))


def test_functions_subsample_as_modules_do():
    found = anatomy(Functions().eval(), torch.zeros(2, 3, 48, 48))
    assert (found["depth"], found["subsampling"]) == (5, 2 * 3 * 2)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_of_a_script_only_the_parameters_are_known():
    script = torch.jit.trace(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()).eval(), torch.zeros(1, 3, 4, 4))
    assert anatomy(script, torch.zeros(1, 3, 4, 4)) == {"parameters": 3 * 2 * 9 + 2}


def test_numbers_are_written_and_shown_whole():
    """Seven digits, which do for all that is measured, would round them."""
    found = {f"network/{name}": value for name, value in anatomy(*on_paper(models.vgg16, 224)).items()}
    assert scalars(found) == found
    table = next(tables(found | {"network/accuracy": 0.71, "network/accuracy_ci95_low": 0.7}))
    cells = dict(table.frame.itertuples(index=False, name=None))
    assert cells["parameters"] == "138,357,544"
    assert cells["copies for augmentation, s²"] == "1,024"
    assert cells["accuracy"].startswith("71 ")


def separable(taps, channels, side):
    """Multiplications of a filter of n taps, rows first, on a map that is no smaller than they are."""
    return channels * taps * (side // 2 * side + side // 2 * side // 2)


@pytest.mark.parametrize(
    ("pool", "products"),
    [
        (MaxPool, 0),
        (lambda: MaxPoolBlurDS("tri5"), separable(5, 8, 16)),
        (AvgPool, separable(6, 8, 16)),
        (lambda: APSPool("tri3"), separable(3, 8, 16)),
        (lambda: LearnedPool(8), 8 * 3 * (8 * 18 + 8 * 8)),  # as convolutions: two more columns, the border
        (IdealPool, separable(16, 8, 16)),
        (FLCPool, 2 * separable(16, 8, 16)),
        (
            lambda: DDACPool(8),
            8 * 8 * (72 * 72 + 8 * 9),
        ),  # 8 groups of 9 taps, each predicted from 72 samples, then used
    ],
)
def test_multiplications_are_counted_by_definition(pool, products):
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), pool(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    assert multiplications(net.eval(), torch.zeros(1, 3, 16, 16)) == 16 * 16 * 8 * 27 + products + 8 * 5


@pytest.mark.parametrize("sides", [(9, 7), (1, 4), (1, 1), (33, 33)])
def test_on_odd_sides_a_filter_counts_at_each_sample_that_is_kept(sides):
    (height, rows), (width, cols) = ((side, range(0, side, 2)) for side in sides)

    def seen(kept, side):
        return sum(0 <= i + k < side for i in kept for k in (-1, 0, 1))  # zeros beyond the border cost nothing

    image = torch.zeros(1, 3, *sides)
    expected = 3 * (seen(rows, height) * width + len(rows) * seen(cols, width))
    assert multiplications(nn.Sequential(MaxPoolBlurDS("tri3", "zeros")), image) == expected
    taps = len(rows) * len(cols) * 9
    pool = DDACPool(3, "zeros").eval()  # one group, each tap predicted from 27 samples, then used on 3 channels
    assert multiplications(nn.Sequential(pool), image) == taps * 27 + 3 * taps
    assert TIPSPool(3, "zeros").filter_multiplications(3, *sides) == 3 * 4 * len(rows) * len(cols)


@pytest.mark.parametrize(("sides", "factor"), [((33, 33), 32), ((33, 1), 32), ((32, 32), 16), ((5, 3), 4)])
def test_sides_that_are_rounded_up_are_halved_all_the_same(sides, factor):
    net = VGG13(lambda: MaxPoolBlurDS(padding="zeros"), width=1, padding="zeros")
    assert anatomy(net.eval(), torch.zeros(1, 3, *sides))["subsampling"] == factor


def test_a_pool_that_is_used_again_counts_again():
    pool = MaxPoolBlurDS("tri3")
    expected = sum(separable(3, 3, side) for side in (32, 16, 8))
    assert multiplications(nn.Sequential(pool, pool, pool), torch.zeros(1, 3, 32, 32)) == expected


def test_a_network_that_cannot_be_copied_has_its_other_numbers():
    net = nn.Sequential(nn.Conv2d(3, 8, 3))
    net.lock = threading.Lock()
    found = anatomy(net.eval(), torch.zeros(1, 3, 16, 16))
    assert found["parameters"] == 8 * 28
    assert "multiplications" not in found
