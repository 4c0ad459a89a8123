"""All shifts at once equal brute force for every pool, in every network, at every layer."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from lit_shift.models import VGG13, ResNet18
from lit_shift.orbit import LayersAtAllShifts, obstacle, orbit_logits, sampled_logits
from lit_shift.padding import pad
from lit_shift.pools import APSPool, MaxPool, MaxPoolBlurDS, Pool
from lit_shift.pools.pool import made
from lit_shift.shifts import draw_offsets, roll
from tests.pools.of_the_field import EVERY_SHIFT, POOLS, trained

SHIFTS = 40  # random ones, which see all phases of small strides and many of 32


def assert_exact(model, x, rng, shifts=SHIFTS):
    """Compare all shifts at once with passes at random shifts; return the logits."""
    offsets = draw_offsets((len(x), shifts), *x.shape[2:], rng)
    every, found = orbit_logits(model, x), sampled_logits(model, x, offsets)
    rows, cols = offsets.unbind(2)
    expected = every[torch.arange(len(x))[:, None], rows, cols]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    return every


@pytest.mark.parametrize("network", [VGG13, ResNet18])
@pytest.mark.parametrize("name", POOLS)
def test_every_pool_in_every_network(name, network, rng):
    model = trained(network(POOLS[name], num_classes=5, width=4))
    every = assert_exact(model, torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng), rng)
    spread = every.std(dim=(1, 2)).max()
    assert spread < 1e-12 if name in EVERY_SHIFT else spread > 1e-9


@pytest.mark.parametrize("network", [VGG13, ResNet18])
@pytest.mark.parametrize("name", ["aps", "lps"])
def test_pools_that_choose_give_all_shifts_one_answer_in_float32(name, network, rng):
    model = trained(network(POOLS[name], width=8)).float()
    logits = orbit_logits(model, torch.randn(16, 3, 32, 32, generator=rng))
    answers = logits.argmax(3).flatten(1)
    assert (answers == answers[:, :1]).all()


@pytest.mark.parametrize("name", ["blur", "aps", "lps", "tips", "ddac"])
def test_every_layer_of_a_resnet(name, rng):
    """Each layer's phases, displaced, are its maps in a pass of the shifted image."""
    model = trained(ResNet18(POOLS[name], num_classes=5, width=4))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng)
    layers = LayersAtAllShifts(model, x, every=True)
    found = {}
    layers.measure(x, lambda layer, phases: found.update({layer: phases}))
    assert set(found) == set(layers.names)
    assert {"stem", "block1_1.conv2", "block2_1.conv1", "block2_1.pool_ds", "block4_1.shortcut_pool_ds"} < set(found)
    for shift in ((0, 0), (1, 0), (3, 5), (-8, 21)):
        maps = {}
        with layers.layers.watch(lambda layer, map, maps=maps: maps.update({layer: map.clone()})), torch.no_grad():
            model(roll(x, torch.tensor([shift] * 2)))
        for layer, map in maps.items():
            phases = found[f"{layer}_ds" if layer in layers.of_pools.values() else layer]
            stride = phases.shape[1]
            ahead = [-side % 32 for side in shift]
            phase = phases[:, ahead[0] % stride, ahead[1] % stride]
            moved = phase.roll((-(ahead[0] // stride), -(ahead[1] // stride)), (2, 3))
            torch.testing.assert_close(map, moved, rtol=0, atol=1e-10, msg=layer)


def test_layers_of_a_resnet_by_default_are_those_around_its_pools():
    names = LayersAtAllShifts(ResNet18(MaxPool, width=1), torch.zeros(1, 3, 32, 32)).names
    assert names[0] == "pixels"
    assert names[-2:] == ["classifier", "softmax"]
    assert {f"block{stage}_1.{pool}_ds" for stage in (2, 3, 4) for pool in ("pool", "shortcut_pool")} < set(names)
    assert not any(name.endswith("_dense") for name in names)  # the convolution takes its place


class Own(nn.Module):
    """A user's network: strided convolutions, PyTorch's pools, ours, branches that are joined, a functional ReLU."""

    def __init__(self, pool):
        super().__init__()
        circular = {"padding": 1, "padding_mode": "circular"}
        self.first = nn.Conv2d(3, 8, 3, stride=2, **circular)
        self.left, self.right = nn.Conv2d(8, 8, 3, stride=2, **circular), nn.Conv2d(8, 8, 1, stride=2)
        self.pooled = nn.MaxPool2d(2)
        self.pool = made(pool, 24)
        self.last = nn.Conv2d(24, 12, 5, padding="same", padding_mode="circular", groups=4, dilation=2)
        self.average = nn.AvgPool2d(2)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 12, 1), nn.Sigmoid())
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = torch.cat([self.left(x), self.right(x), self.pooled(x)], dim=1)
        x = self.average(F.gelu(self.last(self.pool(x))))
        return self.head((x * self.attention(x)).mean((2, 3)))


@pytest.mark.parametrize("name", ["blur", "lps", "ideal"])
def test_a_network_of_the_users_own(name, rng):
    model, x = trained(Own(POOLS[name])), torch.randn(2, 3, 32, 48, dtype=torch.float64, generator=rng)
    assert_exact(model, x, rng)
    assert not obstacle(model.float(), x.float())


def test_torchvisions_resnet_made_circular(rng):
    model = torchvision.models.resnet18(num_classes=5)
    model.maxpool = MaxPoolBlurDS()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding_mode = "circular"
            layer._reversed_padding_repeated_twice = [pad for pad in layer.padding for _ in range(2)]
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=rng)
    assert_exact(trained(model), x, rng, shifts=4)


def test_a_network_that_mixes_places_is_found_out_by_its_layer(rng):
    class Places(nn.Module):
        def forward(self, x):
            return x + torch.arange(x.shape[-1])

    model = trained(VGG13(MaxPool, width=2)).float()
    model.features.conv3_2 = nn.Sequential(model.features.conv3_2, Places())
    x = torch.randn(1, 3, 32, 32, generator=rng)
    assert "features.conv3_2.1 (Places), or a function just before it, is the first" in obstacle(model, x)


def test_a_head_that_flattens_the_last_map_is_found_out(rng):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), MaxPool(), nn.Flatten(), nn.LazyLinear(5)
    )
    x = torch.randn(1, 3, 8, 8, generator=rng)
    model(x)
    assert "2 (Flatten)" in obstacle(model.eval(), x)


def test_shortcuts_that_choose_by_themselves_are_found_out(rng):
    """The block's sum would not commute, although each pool does."""
    model = trained(ResNet18(partial(APSPool, "delta"), width=4)).float()
    for block in model.modules():
        if getattr(block, "halves", False):
            block.shortcut_pool = nn.Sequential(block.shortcut_pool)  # no longer seen as one that chooses
    every = orbit_logits(model, torch.randn(8, 3, 32, 32, generator=rng))
    assert every.std(dim=(1, 2)).max() > 1e-4


class Flat(nn.Module):
    """Flattens its last map, so that it does not commute with shifts, and does something to its logits."""

    def __init__(self, last):
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(3, 8, 3, padding="same", padding_mode="circular"), MaxPool(), None
        self.head, self.last = nn.Linear(8 * 4 * 4, 6), last

    def forward(self, x):
        return self.last(self.head(self.pool(F.relu(self.conv(x))).flatten(1)))


@pytest.mark.parametrize(
    "last",
    [
        lambda logits: logits,
        lambda logits: torch.cat([logits[:, 1:], torch.full_like(logits[:, :1], -1e9)], 1),
        lambda logits: logits + 1000,
        lambda logits: (0.01 * logits).log_softmax(1),
        lambda logits: 0.01 * logits + 50,
    ],
)
def test_no_scale_of_the_logits_hides_that_a_network_does_not_commute(last, rng):
    torch.manual_seed(0)
    assert obstacle(Flat(last).eval(), torch.randn(3, 3, 8, 8, generator=rng))


@pytest.mark.parametrize("name", ["max", "blur", "aps", "lps", "ideal", "ddac"])
@pytest.mark.parametrize("network", [VGG13, ResNet18])
def test_rounding_in_float32_is_no_obstacle(name, network, rng):
    torch.manual_seed(0)
    assert not obstacle(network(POOLS[name], width=16).eval(), torch.randn(3, 3, 32, 32, generator=rng))


class OneSize(Flat):
    """Reshapes to the number of images that came in."""

    def forward(self, x):
        return self.head(self.pool(self.conv(x)).reshape(len(x), -1))


class PerImage(nn.Module):
    """Combines maps of different strides, of which the coarser is a number for each image."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), MaxPool()

    def forward(self, x):
        x = self.conv(x)
        return (x * self.pool(x).mean((2, 3))[:, :, None, None]).mean((2, 3))


@pytest.mark.parametrize("model", [OneSize(None), PerImage()])
def test_networks_that_cannot_be_stacked_say_so(model, rng):
    said = obstacle(model.eval(), torch.randn(3, 3, 8, 8, generator=rng))
    assert "cannot compute several shifts stacked in the batch (RuntimeError" in said


class Inner(Pool):
    """A pool that is made of a strided convolution."""

    def __init__(self, channels):
        super().__init__("delta")
        self.down = nn.Conv2d(channels, channels, 2, stride=2, groups=channels)

    def subsample(self, maps):
        return self.down(maps)


class Scaled(APSPool):
    def subsample(self, maps):
        return 2 * super().subsample(maps)


class Mean(MaxPool):
    """Changes the dense operation of a pool that has a faster form."""

    def dense(self, x):
        return F.avg_pool2d(pad(x, 0, 1, "circular"), 2, stride=1)


@pytest.mark.parametrize("pool", [Inner, Scaled, Mean])
def test_pools_made_of_other_modules_or_steps(pool, rng):
    model = trained(VGG13(pool, num_classes=5, width=4))
    assert_exact(model, torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng), rng)


class Reused(nn.Module):
    """One pool three times, once on a shortcut without a convolution; a norm over channels; a pool over all places."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(i, 4, 3, padding=1, padding_mode="circular") for i in (3, 4))
        self.pool, self.norm = MaxPoolBlurDS("tri3"), nn.LayerNorm(4)
        self.whole, self.head = nn.AvgPool2d(4, stride=1), nn.Linear(4, 5)

    def forward(self, x):
        x = self.pool(self.conv1(x))
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.pool(F.relu(self.conv2(x))) + self.pool(x)
        return self.head(self.whole(x).flatten(1))


def test_a_pool_may_be_used_again_and_norms_may_have_other_axes(rng):
    model, x = trained(Reused()), torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=rng)
    assert_exact(model, x, rng)
    layers = LayersAtAllShifts(model, x)
    found = {}
    layers.measure(x, lambda layer, phases: found.update({layer: phases.shape}))
    assert set(found) <= set(layers.names)
    assert found["pool_dense"] == (2, 1, 1, 4, 16, 16)
    assert found["pool_ds"] == (2, 2, 2, 4, 8, 8)


@pytest.mark.parametrize("size", [(36, 32), (30, 32), (32, 12)])
def test_images_that_a_resnet_cannot_halve(size):
    with pytest.raises(ValueError, match=f"multiples of 8, not {size[0]}x{size[1]}"):
        orbit_logits(ResNet18(MaxPool, width=1).eval(), torch.zeros(1, 3, *size))


def test_odd_maps_are_refused_by_the_layer_that_would_halve_them():
    with pytest.raises(ValueError, match=r"pool halves the map, so its height and width must be even, not 3x6"):
        orbit_logits(Own(MaxPool).eval(), torch.zeros(1, 3, 12, 24))
