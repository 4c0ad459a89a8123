"""The maps of layers are what the parts of a network compute when they are called one by one."""

from collections import defaultdict

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from lit_shift.models.layers import Layers
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS


def maps(net, x, layers=None):
    """Of each layer all maps that are seen in one pass, as they were when they were seen."""
    seen = defaultdict(list)
    with (layers or Layers(net, x)).watch(lambda name, map: seen[name].append(map.clone())):
        net(x)
    return seen


def only(seen):
    assert all(len(every) == 1 for every in seen.values())
    return {name: every[0] for name, every in seen.items()}


def hooks(net):
    return [hook for m in net.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


def randomise(net, rng):
    """Norms that do something."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                values.copy_(torch.rand(values.shape, generator=rng) + 0.1)
            module.bias.data -= 0.6
    return net.eval()


@torch.no_grad()
@pytest.mark.parametrize("inplace", [False, True])
def test_a_sequence_after_each_norm_and_activation(rng, inplace):
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.MaxPool2d(2), nn.ReLU(inplace)),
        *(nn.Conv2d(4, 4, 3, groups=4), nn.GELU(), nn.Dropout(), nn.GroupNorm(2, 4), nn.AvgPool2d(3, 1)),
        *(nn.AdaptiveAvgPool2d(3), nn.Conv2d(4, 5, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 2)),
    )
    x = torch.randn(2, 3, 20, 16, generator=rng)
    randomise(net, rng)
    ends = {"0": 3, "3": 5, "5": 9, "9": 10, "10": 11, "11": 12}
    layers = Layers(net, x[:1])
    assert layers.names == list(ends)
    assert layers.depths == [1, 1, 2, 2, 2, 3]
    assert layers.pools == [False, True, False, True, True, False]
    seen = only(maps(net, x, layers))
    assert seen.keys() == ends.keys()
    for name, end in ends.items():
        torch.testing.assert_close(seen[name], net[:end](x), rtol=0, atol=0)


class Residual(nn.Module):
    """Torchvision's block in small: one ReLU module for all, the sum in place."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.relu(out)


class Functions(Residual):
    """The same out of place, and with functions for modules."""

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        return torch.relu(torch.add(x, self.bn2(self.conv2(out))))


@torch.no_grad()
@pytest.mark.parametrize("block", [Residual, Functions])
def test_a_residual_sum_belongs_to_the_layer_that_it_ends(rng, block):
    net = randomise(block(), rng)
    x = torch.randn(2, 3, 8, 8, generator=rng)
    seen = only(maps(net, x))
    first = net.bn1(net.conv1(x)).clamp(min=0)
    assert torch.equal(seen["conv1"], first)
    assert torch.equal(seen["conv2"], (net.bn2(net.conv2(first)) + x).clamp(min=0))


class PreActivated(nn.Module):
    """Norm and ReLU before each convolution, and a shortcut of its own that is convolved later than the rest."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv1, self.conv2, self.last = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.shortcut = nn.Conv2d(3, 3, 1)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, x):
        x = F.relu(self.bn1(self.stem(x)))
        x = self.conv2(F.relu(self.bn2(self.conv1(x)))) + self.shortcut(x)
        return self.last(F.relu(self.bn3(x))).mean((2, 3))


@torch.no_grad()
def test_norms_and_activations_before_the_next_convolution_are_the_layer_befores(rng):
    net = randomise(PreActivated(), rng)
    x = torch.randn(2, 3, 8, 8, generator=rng)
    layers = Layers(net, x)
    assert layers.names == ["stem", "conv1", "conv2", "last"]
    assert layers.depths == [1, 2, 3, 4]
    seen = only(maps(net, x, layers))
    stem = net.bn1(net.stem(x)).relu()
    first = net.bn2(net.conv1(stem)).relu()
    block = net.bn3(net.conv2(first) + net.shortcut(stem)).relu()
    for name, map in {"stem": stem, "conv1": first, "conv2": block, "last": net.last(block)}.items():
        assert torch.equal(seen[name], map), name


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.twice, self.never, self.late = (nn.Conv2d(3, 3, 3) for _ in range(3))
        self.act, self.line = nn.ReLU(), nn.Conv1d(3, 3, 1)
        self.patches = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        n, _, h, w = x.shape
        x = self.patches(x.view(n, 3, 2, h // 2, w).transpose(1, 2).flatten(0, 1)).unflatten(0, (n, 2)).sum(1)
        a = self.act(self.twice(self.act(self.twice(x))))
        b = self.late(x)
        self.line(a.flatten(2))
        return self.act(b).mean((2, 3)), self.act(b)


@torch.no_grad()
def test_calls_again_are_layers_of_their_own_and_calls_that_are_none_of_an_images_map_are_left_out(rng):
    net, x = Odd().eval(), torch.randn(2, 3, 24, 12, generator=rng)
    layers = Layers(net, x)
    assert layers.names == ["twice", "late", "twice#2"]
    assert layers.depths == [1, 1, 2]
    seen = only(maps(net, x, layers))
    once = net.twice(_folded(net, x)).relu()
    torch.testing.assert_close(seen["twice"], once)
    torch.testing.assert_close(seen["twice#2"], net.twice(once).relu())
    torch.testing.assert_close(seen["late"], net.late(_folded(net, x)).relu())


def _folded(net, x):
    return net.patches(x[:, :, :12]) + net.patches(x[:, :, 12:])


class Subsample(nn.Module):
    def forward(self, x):
        return x[:, :, ::2, ::2]


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.gate = nn.Conv2d(4, 4, 1), nn.Sigmoid()

    def forward(self, x):
        return x * self.gate(self.fc(x.mean((2, 3), keepdim=True)))


class Global(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


def test_whatever_subsamples_is_a_pool_and_what_only_weighs_channels_is_none():
    net = nn.Sequential()
    for name, part in {"conv": nn.Conv2d(3, 4, 1), "se": SqueezeExcite(), "mine": Subsample(), "end": Global()}.items():
        net.add_module(name, part)
    layers = Layers(net, torch.zeros(1, 3, 8, 8))
    assert (layers.names, layers.pools) == (["conv", "mine"], [False, True])


@torch.no_grad()
@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_vgg13_is_named_as_in_figure_4(rng, pool):
    net = randomise(VGG13(pool, width=2), rng)
    x = torch.randn(3, 3, 32, 32, generator=rng)
    seen = only(maps(net, x))
    names = [name for name, _ in net.features.named_children()]
    assert list(seen) == names
    assert (names[0], names[-1]) == ("conv1_1", "pool5")
    for end, name in enumerate(names, start=1):
        torch.testing.assert_close(seen[name], net.features[:end](x))
    layers = Layers(net, x)
    assert layers.depths == [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10]
    assert layers.pools == [name.startswith("pool") for name in names]


@torch.no_grad()
def test_resnet18(rng):
    net = randomise(models.resnet18(), rng)
    x = torch.randn(2, 3, 64, 64, generator=rng)
    layers = Layers(net, x[:1])
    seen = only(maps(net, x, layers))
    expected = {"conv1": net.bn1(net.conv1(x)).relu()}
    expected["maxpool"] = out = net.maxpool(expected["conv1"])
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for number, block in enumerate(getattr(net, stage)):
            expected[f"{stage}.{number}.conv1"] = block.bn1(block.conv1(out)).relu()
            expected[f"{stage}.{number}.conv2"] = out = block(out)
    assert list(expected) == layers.names
    for name, map in expected.items():
        torch.testing.assert_close(seen[name], map)
    assert layers.depths == [1, 1, *range(2, 18)]
    assert layers.pools == [name == "maxpool" for name in expected]


@torch.no_grad()
def test_timms_residual_blocks_end_with_their_sum_too(rng):
    timm = pytest.importorskip("timm")
    net = randomise(timm.create_model("seresnet18"), rng)
    x = torch.randn(1, 3, 64, 64, generator=rng)
    seen = only(maps(net, x))
    out = net.maxpool(net.act1(net.bn1(net.conv1(x))))
    for stage in ("layer1", "layer2"):
        for number, block in enumerate(getattr(net, stage)):
            out = block(out)
            torch.testing.assert_close(seen[f"{stage}.{number}.conv2"], out)


@torch.no_grad()
def test_densenets_layers_have_their_channels_of_what_the_next_one_takes(rng):
    """Norm and ReLU come after the concatenation, and are others each time."""
    net = randomise(models.DenseNet(4, (2, 1), 8, bn_size=1), rng)
    x = torch.randn(2, 3, 32, 32, generator=rng)
    seen = only(maps(net, x))
    features = net.features
    stem = features.pool0(features.relu0(features.norm0(features.conv0(x))))
    one, two = (getattr(features.denseblock1, f"denselayer{number}") for number in (1, 2))
    first = one(stem)
    joined = two.norm1(torch.cat([stem, first], 1)).relu()
    assert torch.equal(seen["pool0"], one.norm1(stem).relu())
    assert torch.equal(seen["denseblock1.denselayer1.conv2"], joined[:, 8:])
    assert torch.equal(seen["denseblock1.denselayer2.conv1"], two.norm2(two.conv1(joined)).relu())
    whole = features.transition1.norm(torch.cat([stem, first, two([stem, first])], 1)).relu()
    assert torch.equal(seen["denseblock1.denselayer2.conv2"], whole[:, 12:])


@torch.no_grad()
def test_a_convolution_whose_block_is_linear_layers_has_the_blocks_output(rng):
    setting = [models.convnext.CNBlockConfig(4, 8, 1), models.convnext.CNBlockConfig(8, None, 1)]
    net = models.ConvNeXt(setting, layer_scale=1.0, num_classes=2).eval()
    x = torch.randn(2, 3, 32, 32, generator=rng)
    layers = Layers(net, x)
    assert layers.names == ["features.0.0", "features.1.0.block.0", "features.2.1", "features.3.0.block.0"]
    seen = only(maps(net, x, layers))
    block = net.features[1](net.features[0](x))
    torch.testing.assert_close(seen["features.0.0"], net.features[0](x))
    torch.testing.assert_close(seen["features.1.0.block.0"], net.features[2][0](block))
    torch.testing.assert_close(seen["features.3.0.block.0"], net.features(x))


def test_features_that_would_be_numbers_keep_their_paths():
    x = torch.zeros(1, 3, 64, 64)
    assert Layers(models.squeezenet1_1(), x).names[:3] == ["features.0", "features.2", "features.3.squeeze"]
    assert Layers(models.squeezenet1_1().features[3:4], torch.zeros(1, 64, 8, 8)).names == [
        *("squeeze", "expand1x1", "expand3x3")
    ]
    assert Layers(nn.Sequential(nn.Sequential(nn.Conv2d(3, 1, 1))), x).names == ["0.0"]


@torch.no_grad()
def test_parallel_branches_and_activations_that_are_functions(rng):
    net = randomise(models.inception_v3(init_weights=False), rng)
    layers = Layers(net, torch.zeros(1, 3, 139, 139))
    x = torch.randn(1, 3, 139, 139, generator=rng)
    seen = only(maps(net, x, layers))
    convolutions = {name.removesuffix(".conv") for name in layers.names if name.endswith(".conv")}
    modules = {name.removesuffix(".conv") for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    assert convolutions == {name for name in modules if not name.startswith("AuxLogits")}
    stem = net.Conv2d_1a_3x3
    assert torch.equal(seen["Conv2d_1a_3x3.conv"], stem.bn(stem.conv(x)).relu())
    out = net.Mixed_5b.branch1x1(net.maxpool2(net.Conv2d_4a_3x3(net.Conv2d_3b_1x1(net.maxpool1(_stem(net, x))))))
    torch.testing.assert_close(seen["Mixed_5b.branch1x1.conv"], out)
    assert layers.names.index("Mixed_5b.branch1x1.conv") < layers.names.index("Mixed_5b.branch5x5_2.conv")


def _stem(net, x):
    return net.Conv2d_2b_3x3(net.Conv2d_2a_3x3(net.Conv2d_1a_3x3(x)))


@torch.no_grad()
def test_passes_of_any_batch_size_and_passes_that_were_broken_off(rng):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU()).eval()
    layers = Layers(net, torch.zeros(1, 3, 9, 9))
    batches = [torch.randn(n, 3, 9, 9, generator=rng) for n in (4, 1, 3)]
    seen, broken = defaultdict(list), []

    def see(name, map):
        if name == "0" and not broken:
            broken.append(name)
            raise KeyboardInterrupt
        seen[name].append(map.sum((2, 3)))

    with layers.watch(see):
        with pytest.raises(KeyboardInterrupt):
            net(batches[0])
        for batch in batches:
            net(batch)
    assert [len(sums) for sums in seen["2"]] == [4, 1, 3]
    torch.testing.assert_close(torch.cat(seen["0"]), net[:2](torch.cat(batches)).sum((2, 3)))


def test_the_network_is_left_without_hooks_whatever_happens(rng):
    net, x = Residual(), torch.randn(1, 3, 8, 8, generator=rng)
    layers = Layers(net, x)
    assert not net.training
    assert not hooks(net)
    with pytest.raises(ZeroDivisionError), layers.watch(lambda name, map: 1 / 0):
        net(x)
    assert not hooks(net)
    with pytest.raises(RuntimeError):
        Layers(net, torch.zeros(1, 7, 8, 8))
    assert not hooks(net)
    before = net(x)
    with layers.watch(lambda name, map: map.add(1)):
        assert torch.equal(net(x), before)


def test_in_inference_mode(rng):
    net = Residual()
    with torch.inference_mode():
        x = torch.randn(2, 3, 8, 8, generator=rng)
        seen = only(maps(net, x))
    assert seen.keys() == {"conv1", "conv2"}
    assert Layers(net, x.clone()).names == ["conv1", "conv2"]


def test_a_network_without_maps_has_no_layers():
    assert Layers(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.zeros(1, 3, 2, 2)).names == []


def test_the_example_is_not_touched():
    x = torch.ones(1, 3, 4, 4)
    Layers(nn.Sequential(nn.Hardtanh(-0.5, 0.5, inplace=True), nn.Conv2d(3, 1, 1)), x)
    assert torch.equal(x, torch.ones(1, 3, 4, 4))
