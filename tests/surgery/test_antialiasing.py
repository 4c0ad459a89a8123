"""Antialiasing a network: equal to twins written by hand, and to the network itself where the filter does nothing."""

import copy
import pickle

import antialiased_cnns
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import lit_shift
from lit_shift.models.anatomy import anatomy, multiplications
from lit_shift.orbit import obstacle, orbit_logits, sampled_logits
from lit_shift.pools import MaxPool, MaxPoolBlurDS
from lit_shift.surgery.steps import BlurDS, Stepped
from lit_shift.utils.errors import InputError

TRI3 = (0.25, 0.5, 0.25)


def random_norms(net: nn.Module) -> nn.Module:
    """Give batch norms other statistics than those of a new network, which would hide an order of steps."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return net.double().eval()


def blurred(x: Tensor, mode: str, filter: tuple[float, ...] = TRI3) -> Tensor:
    """Blur and subsample by 2: a sum over shifted maps."""
    before, after = (len(filter) - 1) // 2, len(filter) // 2
    options = {} if mode == "zeros" else {"mode": mode}
    x = F.pad(x, (before, after, before, after), **options)
    height, width = (side - len(filter) + 1 for side in x.shape[2:])
    taps = [(i, j, a * b) for i, a in enumerate(filter) for j, b in enumerate(filter)]
    return sum(weight * x[:, :, i : i + height : 2, j : j + width : 2] for i, j, weight in taps)


@pytest.mark.parametrize(("name", "leave"), [("resnet18", ["conv1"]), ("mobilenet_v2", ["features.0.0"])])
@pytest.mark.parametrize(("filter", "size"), [("tri3", 3), ("pascal4", 4)])
def test_the_networks_of_zhang(name, leave, filter, size):
    torch.manual_seed(0)
    ours = random_norms(torchvision.models.get_model(name, weights=None))
    theirs = getattr(antialiased_cnns, name)(filter_size=size, pretrained=False)
    if name == "resnet18":
        theirs.maxpool[0] = nn.MaxPool2d(3, 1, 1)  # they take a 2x2 window, where torchvision's is 3x3
    keys = [key for key in theirs.state_dict() if not key.endswith("filt")]
    theirs.double().load_state_dict(dict(zip(keys, ours.state_dict().values(), strict=True)), strict=False)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    treated = lit_shift.antialias(ours, filter, padding="reflect", leave=leave, example=x)
    with torch.no_grad():
        expected = theirs.eval()(x)
        torch.testing.assert_close(treated(x), expected, rtol=1e-9, atol=1e-9)
        assert not torch.allclose(ours(x), expected, rtol=1e-3)


class Mixed(nn.Module):
    """A network that subsamples in many ways, with functions and shared modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(8, 8, 3, stride=2, padding=2, dilation=2, groups=4, padding_mode="reflect")
        self.shortcut = nn.Conv2d(8, 8, 1, stride=2)
        self.pool = nn.AvgPool2d(3, 2, padding=1, ceil_mode=True)
        self.patches = nn.Conv2d(8, 8, 4, stride=4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        x = self.relu(self.grouped(x)) + self.shortcut(x)
        x = F.max_pool2d(F.dropout(x, 0.5, self.training), 3, stride=2, ceil_mode=True)
        return self.patches(self.pool(x))[:, :, ::2, ::2].mean((2, 3))


class MixedByHand(Mixed):
    def forward(self, x: Tensor) -> Tensor:
        def dense(layer, maps):
            maps = F.pad(maps, [layer.padding[0]] * 4, **({} if layer.padding_mode == "zeros" else {"mode": "reflect"}))
            return F.conv2d(maps, layer.weight, layer.bias, 1, 0, layer.dilation, layer.groups)

        x = blurred(F.relu(self.norm(dense(self.conv, x))), "zeros")
        y = blurred(F.relu(dense(self.grouped, x)), "reflect")
        x = y + dense(self.shortcut, blurred(x, "reflect"))
        n = x.shape[2]
        last = 2 * -(-(n - 3) // 2) + 3  # the last window ends here, beyond the border
        x = blurred(F.max_pool2d(F.pad(x, (0, last - n, 0, last - n), value=-torch.inf), 3, 1), "reflect")
        n, ones = x.shape[2], F.pad(torch.ones_like(x), (1, 1, 1, 1), value=1)
        last = max(0, 2 * -(-(n - 1) // 2) + 1 - n)
        sums, counts = (
            F.avg_pool2d(F.pad(maps, (0, last, 0, last)), 3, 1, divisor_override=1)
            for maps in (F.pad(x, (1,) * 4), ones)
        )
        x = blurred(sums / counts, "zeros")
        x = blurred(blurred(dense(self.patches, x), "reflect"), "reflect")
        return blurred(x, "reflect").mean((2, 3))


@pytest.mark.parametrize("size", [224, 225, 227, 238, 255])
def test_a_network_written_by_hand(size):
    torch.manual_seed(size)
    net = random_norms(Mixed())
    by_hand = MixedByHand().double().eval()
    by_hand.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, size, size, dtype=torch.float64)
    treated = lit_shift.antialias(net, example=x)
    with torch.no_grad():
        torch.testing.assert_close(treated(x), by_hand(x), rtol=1e-10, atol=1e-10)
        assert not torch.allclose(treated(x), net(x), rtol=1e-3)
        assert torch.equal(lit_shift.antialias(net, "delta", example=x)(x), net(x))


@pytest.mark.parametrize("order", ["dense_first", "blur_first"])
@pytest.mark.parametrize("size", [65, 70, 71, 95])
def test_taps_that_do_nothing_change_nothing(order, size):
    torch.manual_seed(0)
    net = random_norms(Mixed())
    treated = lit_shift.antialias(net, order=order, example=torch.zeros(1, 3, 224, 224))
    blurs = [module for module in treated.modules() if isinstance(module, BlurDS)]
    blurs += [module.steps.blur for module in treated.modules() if isinstance(module, Stepped)]
    for blur in blurs:
        blur.taps = (0.0, 1.0, 0.0)
    assert len(blurs) >= 6
    x = torch.randn(2, 3, size, size + 9, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(treated(x), net(x), rtol=1e-10, atol=1e-10)


def circular(net: nn.Module) -> nn.Module:
    """Give a network circular borders everywhere."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "circular"
    if hasattr(net, "maxpool"):
        net.maxpool = nn.MaxPool2d(2)
    return net


LAYERS = {
    "conv": nn.Conv2d(4, 4, 3, stride=2, padding=1),
    "dilated": nn.Conv2d(4, 4, 3, stride=2, padding=2, dilation=2),
    "patches": nn.Conv2d(4, 4, 2, stride=2),
    "1x1": nn.Conv2d(4, 4, 1, stride=2),
    "stride 4": nn.Conv2d(4, 4, 7, stride=4, padding=3),
    "max": nn.MaxPool2d(2),
    "avg": nn.AvgPool2d(2),
}


@pytest.mark.parametrize("order", ["dense_first", "blur_first"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_circular_layer_commutes_with_even_shifts(name, order):
    torch.manual_seed(0)
    net = circular(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), copy.deepcopy(LAYERS[name]), nn.GELU())).double()
    x = torch.randn(1, 4, 16, 24, dtype=torch.float64)
    stride = 4 if name == "stride 4" else 2
    for filter in ("tri3", "rect2", "ls7"):
        treated = lit_shift.antialias(net, filter, order, example=x)
        with torch.no_grad():
            expected = treated(x).roll((1, -2), (2, 3))
            torch.testing.assert_close(treated(x.roll((stride, -2 * stride), (2, 3))), expected, rtol=0, atol=1e-10)
            assert treated(x).shape == net(x).shape
            assert treated(x[:, :, :15, :21]).shape == net(x[:, :, :15, :21]).shape


def test_a_circular_network_has_exact_outputs_at_all_shifts():
    torch.manual_seed(0)
    net = random_norms(circular(torchvision.models.shufflenet_v2_x0_5(num_classes=7)))
    treated = lit_shift.antialias(net, "tri5", example=torch.zeros(1, 3, 32, 32))
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    assert obstacle(treated, x) == ""
    offsets = torch.tensor([[[0, 1], [5, 30], [17, 2]]])
    every, some = orbit_logits(treated, x), sampled_logits(treated, x, offsets)
    torch.testing.assert_close(every[0, offsets[0, :, 0], offsets[0, :, 1]], some[0], rtol=1e-10, atol=1e-10)


def test_pools_of_lit_shift():
    from lit_shift.models import VGG13

    net = VGG13(MaxPool, width=4).eval()
    treated = lit_shift.antialias(net, "tri5", example=torch.zeros(1, 3, 32, 32))
    twin = VGG13(MaxPoolBlurDS, width=4).eval()
    twin.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(treated(x), twin(x))
    with pytest.raises(InputError, match=r"pool1 \(antialiased already\)"):
        lit_shift.antialias(twin, example=x)


def test_the_original_and_its_parameters_stay_as_they_are():
    net = Mixed()
    net.norm.eval()
    before = copy.deepcopy(net.state_dict())
    treated = lit_shift.antialias(net)
    assert [type(module) for module in net.modules()] == [type(module) for module in Mixed().modules()]
    assert treated.training
    assert not treated.norm.training
    net.load_state_dict(treated.state_dict())
    treated.load_state_dict(before)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert isinstance(treated, Mixed)
    assert treated.conv.weight is not net.conv.weight


def test_training_draws_at_random_as_before_and_reaches_every_parameter():
    torch.manual_seed(0)
    treated = lit_shift.antialias(Mixed().train())
    x = torch.randn(2, 3, 96, 96)
    assert not torch.equal(treated(x), treated(x))  # dropout
    treated(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in treated.parameters())
    treated.eval()
    assert torch.equal(treated(x), treated(x))


def test_ways_out(tmp_path):
    torch.manual_seed(0)
    treated = lit_shift.antialias(Mixed().eval())
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = treated(x)
        copies = [copy.deepcopy(treated), pickle.loads(pickle.dumps(treated))]
        torch.save(treated, tmp_path / "net.pt")
        copies.append(torch.load(tmp_path / "net.pt", weights_only=False))
        copies += [torch.jit.trace(treated, x), torch.export.export(treated, (x,)).module()]
        copies.append(torch.compile(treated, fullgraph=True, backend="aot_eager"))
        for each in copies:
            torch.testing.assert_close(each(x), expected)
        assert treated.bfloat16()(x.bfloat16()).isfinite().all()


def test_the_report_counts_what_is_added():
    x = torch.zeros(1, 3, 64, 64)
    for name, options in (("mobilenet_v2", {"width_mult": 0.25}),):
        net = torchvision.models.get_model(name, weights=None, **options).eval()
        for order in ("dense_first", "blur_first"):
            treated = lit_shift.antialias(net, order=order, example=x)
            report = treated.surgery
            assert report.added == multiplications(treated, x) - multiplications(net, x) > 0
            assert anatomy(treated, x)["subsampling"] == anatomy(net, x)["subsampling"] == 32
    assert "features.0.0" in str(report)
    assert "million multiplications before, for an image of 64x64" in str(report)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.attention = nn.Conv2d(3, 8, 16, 16), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        return self.attention(tokens, tokens, tokens)[0].mean(1)


class Depends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum() > 1 else -self.conv(x)


def left(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 1), layer)


@pytest.mark.parametrize(
    ("net", "options", "words"),
    [
        (nn.Conv2d(3, 4, 3, 2), {"filter": "tri4"}, "Unknown filter 'tri4'"),
        (nn.Conv2d(3, 4, 3, 2), {"order": "zhang"}, "Unknown order 'zhang'"),
        (nn.Conv2d(3, 4, 3, 2), {"padding": "same"}, "Unknown padding 'same'"),
        (left(nn.Conv2d(3, 4, 3, 2)), {"leave": ["conv1"]}, r"Unknown layer to leave 'conv1'.* Choices: 1\."),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), {}, "has no convolution"),
        (nn.Conv2d(3, 4, 3), {}, "has nothing that subsamples"),
        (nn.Conv2d(3, 4, 3, 2), {"example": torch.zeros(3, 5)}, r"cannot be run on images 3x5 \(RuntimeError"),
        (Attends(), {}, "attends, as transformers do"),
        (Depends(), {}, "cannot be traced .* say order=blur_first"),
        (left(nn.Conv2d(3, 4, 3, 3)), {}, "a stride of 3, which is no power of 2"),
        (left(nn.Conv2d(3, 4, 3, (2, 1))), {}, "a stride of 2 in one direction and 1 in the other"),
        (left(nn.AdaptiveAvgPool2d(7)), {}, "its window follows from the size of the map"),
        (torch.jit.trace(nn.Conv2d(3, 4, 3, 2), torch.zeros(1, 3, 8, 8)), {}, "TorchScript"),
    ],
)
def test_bad_input(net, options, words):
    with pytest.raises(InputError, match=words):
        lit_shift.antialias(net, **options)


def test_blur_first_needs_no_trace():
    x = torch.randn(1, 3, 9, 9)
    torch.manual_seed(0)
    net = Depends()
    treated = lit_shift.antialias(net, order="blur_first", example=x)
    torch.manual_seed(1)
    reflected = F.pad(x, (1, 1, 1, 1), mode="reflect")
    smooth = F.conv2d(reflected, torch.outer(*[torch.tensor(TRI3)] * 2).expand(3, 1, 3, 3), groups=3)
    torch.testing.assert_close(treated(x), net(smooth))


def test_what_is_left_stays_as_it_is():
    net = torchvision.models.resnet18().eval()
    treated = lit_shift.antialias(net, leave=["conv1", "maxpool"], example=torch.zeros(1, 3, 64, 64))
    assert [row.left for row in treated.surgery.rows[:2]] == ["as asked"] * 2
    x = torch.randn(1, 3, 64, 64)
    stems = [nn.Sequential(each.conv1, each.bn1, each.relu, each.maxpool) for each in (net, treated)]
    assert torch.equal(*(stem(x) for stem in stems))
