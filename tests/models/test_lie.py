from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_shift.classifiers.classifier import full_precision
from lit_shift.models.layers import Layers
from lit_shift.models.lie import AXES, bandwidth, departure, lie_derivatives, probability_rate, shift_rate
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import fourier_shift
from tests.orbit.test_all_shifts import trained

STEP = 1e-7  # pixels, of finite differences; few units have a kink so near


def shifted(x, t, axis):
    return fourier_shift(x, *((t, 0) if axis == 2 else (0, t)))


def rate_of(function):
    """Central finite difference at 0."""
    return (function(STEP) - function(-STEP)) / (2 * STEP)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("size", [(8, 6), (7, 4), (5, 1), (1, 2), (2, 3)])
def test_the_rate_of_a_shift_is_its_derivative(axis, size, rng):
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    expected = rate_of(lambda t: shifted(x, t, axis))
    torch.testing.assert_close(shift_rate(x, axis), expected, rtol=0, atol=1e-7)
    assert shift_rate(x.float(), axis).dtype == torch.float32


def test_the_nyquist_frequency_has_no_rate_and_others_move_by_their_slope():
    at = torch.arange(8, dtype=torch.float64)
    chessboard = (-1) ** at[:, None] * (-1) ** at
    assert shift_rate(chessboard[None, None], 2).abs().max() < 1e-14
    wave = 2 * torch.pi * 3 / 8
    x = torch.sin(wave * at).expand(1, 1, 8, 8)
    torch.testing.assert_close(shift_rate(x, 3), -wave * torch.cos(wave * at).expand(1, 1, 8, 8))
    assert shift_rate(x, 2).abs().max() < 1e-14


def test_rates_of_probabilities_are_those_of_a_softmax(rng):
    logits, rates = torch.randn(2, 4, 5, dtype=torch.float64, generator=rng)
    expected = rate_of(lambda t: (logits + t * rates).softmax(1)).abs().mean(1)
    torch.testing.assert_close(probability_rate(logits, rates), expected, rtol=1e-8, atol=0)
    assert probability_rate(logits, torch.full((4, 5), 7.0)).max() < 1e-15  # all alike change no probability


def test_a_departure_is_relative_to_the_map_and_counts_pixels_of_the_image(rng):
    """Of a map of stride 2 vertically, 1 horizontally, that moves twice as fast as the image along an axis."""
    maps = torch.randn(3, 2, 4, 8, dtype=torch.float64, generator=rng)
    image = torch.Size((3, 3, 8, 8))
    for axis, stride in zip(AXES, (2, 1), strict=True):
        alone = shift_rate(maps, axis) / stride
        assert departure(maps, alone, image, axis).max() < 1e-14
        expected = [(a.abs().sum() / m.abs().sum()).item() for a, m in zip(alone, maps, strict=True)]
        for scale in (1, 5):
            found = departure(scale * maps, 2 * scale * alone, image, axis)
            assert found.tolist() == pytest.approx(expected)
    assert departure(0 * maps, 0 * maps, image, 2).isnan().all()


def by_differences(net, x):
    """The Lie derivative of a network's answers, by finite differences."""
    with torch.no_grad():
        rates = [rate_of(lambda t, axis=axis: net(shifted(x, t, axis)).softmax(1)).abs().mean(1) for axis in AXES]
    return torch.stack(rates).mean(0)


def departure_by_differences(layer, x):
    """The Lie derivative of a function from images to maps, by finite differences."""
    with torch.no_grad():
        maps = layer(x)
        departures = []
        for axis in AXES:
            stride = x.shape[axis] / maps.shape[axis]
            of_shifted = rate_of(lambda t, axis=axis: layer(shifted(x, t, axis)))
            shift_of = rate_of(lambda t, axis=axis, stride=stride: shifted(maps, t / stride, axis))
            departures.append((of_shifted - shift_of).abs().mean((1, 2, 3)) / maps.abs().mean((1, 2, 3)))
    return torch.stack(departures).mean(0)


def found_in(net, x):
    return lie_derivatives(Layers(net, x[:1]), x)


@pytest.mark.parametrize("size", [(32, 32), (32, 64)])
@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_the_answers_and_every_layer_of_vgg13_are_those_of_finite_differences(pool, size, rng):
    net, x = trained(pool), torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    found = found_in(net, x)
    torch.testing.assert_close(found.output, by_differences(net, x), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.logits, net(x).detach())
    assert list(found.layers) == [name for name, _ in net.features.named_children()]
    for count, (name, rates) in enumerate(found.layers.items(), start=1):
        expected = departure_by_differences(net.features[:count], x)
        torch.testing.assert_close(rates, expected, rtol=1e-4, atol=0, msg=name)
        assert (rates > 1e-3).all(), name


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_float32_to_rounding(pool, rng):
    net, x = trained(pool), torch.randn(2, 3, 32, 32, generator=rng)
    exact, found = found_in(net, x.double()), found_in(net.float(), x)
    torch.testing.assert_close(found.output, exact.output, rtol=1e-3, atol=0)
    for name, rates in found.layers.items():
        torch.testing.assert_close(rates.double(), exact.layers[name], rtol=1e-3, atol=0, msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_a_gpu_computes_what_a_cpu_does(pool, rng):
    net, x = trained(pool), torch.randn(2, 3, 32, 32, generator=rng)
    exact, net = found_in(net, x.double()), net.float().cuda()
    with full_precision(torch.device("cuda")):
        found = found_in(net, x.cuda())
    torch.testing.assert_close(found.output.cpu(), exact.output, rtol=1e-3, atol=0)
    for name, rates in found.layers.items():
        torch.testing.assert_close(rates.cpu().double(), exact.layers[name], rtol=1e-3, atol=0, msg=name)


def test_inference_mode_changes_nothing(rng):
    net, x = trained(MaxPool), torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=rng)
    expected = found_in(net, x)
    with torch.inference_mode():
        found = found_in(deepcopy(net), x.clone())
    assert torch.equal(found.output, expected.output)
    assert found.layers == expected.layers


class Residual(nn.Module):
    """Zero padding, uneven sides, a stride, a sum, an activation in place and a functional pool: as networks come."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.gelu(self.norm(self.first(x)))
        x = F.relu_(self.second(x) + x)
        return self.head(F.adaptive_avg_pool2d(self.pool(x), 1).flatten(1))


def test_any_network_is_measured(rng):
    torch.manual_seed(0)
    net, x = Residual().double().eval(), torch.randn(3, 3, 12, 9, dtype=torch.float64, generator=rng)
    found = found_in(net, x)
    torch.testing.assert_close(found.output, by_differences(net, x), rtol=1e-4, atol=0)
    assert list(found.layers) == ["first", "second", "pool"]

    def first(x):
        return F.gelu(net.norm(net.first(x)))

    torch.testing.assert_close(found.layers["first"], departure_by_differences(first, x), rtol=1e-4, atol=0)


class InPlace(nn.Module):
    def forward(self, x):
        return x.relu_().mean((2, 3))


def test_a_network_that_writes_into_its_input_gets_a_copy(rng):
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=rng)
    before = x.clone()
    torch.testing.assert_close(found_in(InPlace(), x).output, by_differences(InPlace(), x), rtol=1e-4, atol=0)
    assert torch.equal(x, before)


class LowPass(nn.Module):
    """Ideal low-pass filter below half the Nyquist frequency, then every second sample."""

    def forward(self, x):
        height, width = x.shape[2:]
        kept = [torch.fft.fftfreq(size).abs() < 0.25 for size in (height, width)]
        spectrum = torch.fft.fft2(x) * (kept[0][:, None] & kept[1])
        return torch.fft.ifft2(spectrum).real[:, :, ::2, ::2]


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def commuting():
    """A network that commutes with shifts by every fraction of a pixel: linear, and without aliasing."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(i, o, 3, padding=1, padding_mode="circular") for i, o in ((3, 4), (4, 6))]
    return nn.Sequential(convolutions[0], LowPass(), convolutions[1], LowPass(), Mean(), nn.Linear(6, 3)).double()


@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_a_network_that_commutes_with_every_fraction_of_a_pixel_has_none(size, rng):
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    found = found_in(commuting(), x)
    assert found.output.max() < 1e-13
    assert list(found.layers) == ["0", "1", "2", "3"]
    for name, rates in found.layers.items():
        assert rates.max() < 1e-12, name


def test_a_nonlinearity_shows_from_the_layer_before_it_on(rng):
    """A map is what the next layer sees."""
    net = commuting()
    net[1] = nn.Sequential(nn.ReLU(), LowPass())
    found = found_in(net, torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=rng))
    assert all((rates > 1e-3).all() for rates in found.layers.values())
    assert (found.output > 1e-6).all()


def test_aliasing_shows_from_its_layer_on(rng):
    net = commuting()
    net[1] = nn.MaxPool2d(1, 2)
    first, *others = found_in(net, torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=rng)).layers.values()
    assert first.max() < 1e-12
    assert all((rates > 1e-3).all() for rates in others)


def test_answers_that_do_not_depend_on_the_image_do_not_change(rng):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 4)

    found = found_in(Constant(), torch.randn(3, 3, 4, 4, generator=rng))
    assert found.output.tolist() == [0, 0, 0]
    assert found.layers == {}


def test_a_constant_answer_leaves_the_rates_of_layers_as_they_are(rng):
    class Silent(nn.Linear):
        def forward(self, x):
            return torch.ones(len(x), self.out_features, dtype=x.dtype)

    net, x = trained(MaxPool), torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng)
    expected = found_in(net, x).layers
    net.classifier = Silent(16, 5)
    found = found_in(net, x)
    assert found.output.tolist() == [0, 0]
    assert all(torch.equal(found.layers[name], rates) for name, rates in expected.items())


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


class WithoutForwardMode(nn.Module):
    def forward(self, x):
        return Doubled.apply(x).mean((2, 3))


def test_an_operation_that_has_no_forward_derivative_is_refused():
    with pytest.raises(NotImplementedError):
        found_in(WithoutForwardMode(), torch.zeros(1, 3, 4, 4))


def test_the_bandwidth_is_a_literal_sum_over_frequencies(rng):
    for shape in [(2, 3, 4, 6), (1, 1, 5, 3), (1, 2, 1, 8)]:
        x = torch.randn(shape, dtype=torch.float64, generator=rng)
        height, width = shape[2:]
        for image, found in zip(x.numpy(), bandwidth(x), strict=True):
            power = weighted = 0.0
            for k, m in product(range(height), range(width)):
                u, v = (min(a, size - a) / (size / 2) for a, size in ((k, height), (m, width)))
                rows, cols = np.arange(height)[:, None], np.arange(width)
                wave = np.exp(-2j * np.pi * (k * rows / height + m * cols / width))
                of_wave = sum(abs((channel * wave).sum()) ** 2 for channel in image)
                if (k, m) != (0, 0):
                    power += of_wave
                    weighted += of_wave * (u**2 + v**2)
            assert found.item() == pytest.approx((weighted / power) ** 0.5)


def test_the_bandwidth_of_stripes_and_chessboards():
    at = torch.arange(8)
    stripes, chessboard = (at % 2).expand(8, 8).float(), ((at[:, None] + at) % 2).float()
    wide = (at // 2 % 2).expand(8, 8).float()
    images = torch.stack([stripes, stripes.T, chessboard, wide, torch.full((8, 8), 0.3)])[:, None]
    for brightness in (0, 1000):
        found = bandwidth(3 * images + brightness)
        np.testing.assert_allclose(found, [1, 1, 2**0.5, 0.5, np.nan])
