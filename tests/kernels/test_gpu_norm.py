from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_shift.kernels import gpu_norm
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS

pytest.importorskip("triton", reason="Triton is not made for this machine")

SHAPES = [(2, 3, 2, 2), (1, 1, 5, 3), (2, 20, 3, 2)]  # the last is wider than a tile
THIN = [(3, 1, 1, 1), (1, 2, 1, 5)]  # which have no border of their own
MANY = (9, 2, 4, 3)  # more samples than a tile


def made(channels, generator, dtype=torch.float32):
    """Batch norm of random weights and running statistics."""
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3).to(dtype)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        tensor.data = torch.randn(channels, generator=generator).to(dtype)
    norm.running_var = torch.rand(channels, generator=generator).to(dtype)
    return norm


def definition(norm, x, border):
    """Step by step."""
    y = F.relu(norm(x))
    for axis in (2, 3):
        y = y.index_select(axis, torch.arange(-border, y.shape[axis] + border) % y.shape[axis])
    return y


def outcome(function, norm, x, border, seed=0):
    """Result, gradients and running statistics."""
    x = x.detach().requires_grad_()
    y = function(norm, x, border)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(y)
    y.backward(grad)
    return [y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *(buffer for _, buffer in norm.named_buffers())]


def compare(shape, border, generator, **tolerance):
    x = 3 + 2 * torch.randn(shape, generator=generator)
    norm = made(shape[1], generator)
    exact = nn.BatchNorm2d(shape[1], eps=1e-3, momentum=0.3).double()
    exact.load_state_dict(norm.state_dict())
    for found, expected in zip(
        outcome(gpu_norm.norm_relu, norm, x, border), outcome(definition, exact, x.double(), border), strict=True
    ):
        torch.testing.assert_close(found, expected.to(found.dtype), **tolerance)


@pytest.mark.parametrize(("shape", "border"), [*product([*SHAPES, MANY], [0, 1]), *product(THIN, [0])])
def test_the_kernels_are_the_definition(shape, border, interpreted, rng):
    compare(shape, border, rng, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("border", [0, 1])
@pytest.mark.parametrize(("memory_format", "frozen"), [(torch.contiguous_format, False), (torch.channels_last, True)])
def test_a_gradient_is_differentiated_again(memory_format, frozen, border, interpreted, rng):
    """As for a penalty on it, of which every parameter and the map itself get their share."""
    x = torch.randn(2, 3, 4, 2, generator=rng).contiguous(memory_format=memory_format)
    norm, exact = made(3, rng), nn.BatchNorm2d(3, eps=1e-3, momentum=0.3).double()
    exact.load_state_dict(norm.state_dict())
    for each in (norm, exact):
        each.bias.requires_grad_(not frozen)

    def penalised(function, norm, x):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(function(norm, x, border).pow(3).sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), (x, norm.weight) if frozen else (x, norm.weight, norm.bias))

    for found, expected in zip(
        penalised(gpu_norm.norm_relu, norm, x), penalised(definition, exact, x.double()), strict=True
    ):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strips", [1, 2, 3, 100])
def test_strips_of_any_size_add_up(strips, interpreted, monkeypatch, rng):
    monkeypatch.setattr(interpreted["triton_norm"], "STRIPS", strips)
    compare(MANY, 1, rng, rtol=1e-5, atol=1e-5)


def test_a_mean_far_from_zero_costs_no_digits(interpreted, rng):
    x = 1000 + torch.randn(4, 2, 4, 4, generator=rng)
    norm = made(2, rng)
    result = gpu_norm.norm_relu(norm, x, 0)
    torch.testing.assert_close(
        result,
        F.relu(F.batch_norm(x.double(), None, None, norm.weight.double(), norm.bias.double(), True, 0, 1e-3)).float(),
        rtol=1e-4,
        atol=1e-4,
    )


# Triton's interpreter cuts a bfloat16 off where a GPU rounds it.
@pytest.mark.parametrize(("dtype", "within"), [(torch.bfloat16, 2**-7), (torch.float16, 2**-10)])
def test_half_precision_is_rounded_once(dtype, within, interpreted, rng):
    x = torch.randn(2, 3, 4, 4, generator=rng).to(dtype)
    norm = made(3, rng)
    exact = made(3, rng)
    exact.load_state_dict(norm.state_dict())
    found = outcome(gpu_norm.norm_relu, norm, x, 1)
    expected = outcome(definition, exact, x.float(), 1)
    assert found[0].dtype == found[1].dtype == dtype
    torch.testing.assert_close(found[0], expected[0].to(dtype), rtol=within, atol=within)
    assert norm.weight.grad.dtype == torch.float32


def test_what_is_not_finite_stays_so(interpreted, rng):
    x = torch.randn(2, 2, 4, 4, generator=rng)
    x[1, 1, 2, 3] = torch.nan
    result = gpu_norm.norm_relu(made(2, rng), x, 1)
    assert result[:, 1].isnan().all()
    assert result[:, 0].isfinite().all()


@pytest.mark.gpu
def test_a_gpu_computes_what_a_cpu_does(rng):
    for shape, border in product([(128, 64, 32, 32), (80, 512, 2, 2), *SHAPES, MANY], [0, 1]):
        x, norm = 3 + torch.randn(shape, generator=rng), made(shape[1], rng)
        exact = nn.BatchNorm2d(shape[1], eps=1e-3, momentum=0.3).double()
        exact.load_state_dict(norm.state_dict())
        assert gpu_norm.applies(norm.cuda(), x.cuda())

        def on_gpu(norm, x, border):
            return gpu_norm.norm_relu(norm, x.cuda(), border).cpu()

        for found, expected in zip(
            outcome(on_gpu, norm, x, border), outcome(definition, exact, x.double(), border), strict=True
        ):
            torch.testing.assert_close(found.cpu(), expected.to(found.dtype), rtol=1e-4, atol=1e-4)


@pytest.mark.rough
@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_a_network_whose_layers_write_their_borders_trains_as_one_that_pads(pool, interpreted, monkeypatch, rng):
    x, labels = torch.randn(2, 3, 32, 32, generator=rng), torch.tensor([0, 1])
    monkeypatch.setattr(interpreted["triton_norm"], "SAMPLES", 512)
    monkeypatch.setattr(interpreted["triton_pool"], "NUMBERS", 1024)

    def trained(by_borders):
        monkeypatch.setattr(VGG13, "_has_borders", lambda net, x: by_borders)
        torch.manual_seed(0)
        net = VGG13(pool, width=1)
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        return [loss.detach(), *(p.grad for p in net.parameters()), *net.buffers()]

    for found, expected in zip(trained(True), trained(False), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_who_watches_a_layer_sees_maps_without_borders(monkeypatch):
    """As does who measures, pads otherwise or is no GPU's."""

    class OnGPU:
        is_cuda, dtype, device = True, torch.float32, torch.device("cuda", 0)

    monkeypatch.setattr("lit_shift.kernels.gpu_norm.runs_on", lambda device: True)
    net, x = VGG13(MaxPool, width=1), OnGPU()
    assert net._has_borders(x)
    assert not net._has_borders(torch.zeros(1, 3, 32, 32))
    assert not net.eval()._has_borders(x)
    assert not VGG13(MaxPool, width=1, padding="zeros")._has_borders(x)
    watched = net.train().features.conv2_1.register_forward_hook(lambda *_: None)
    assert not net._has_borders(x)
    watched.remove()
    assert net._has_borders(x)
    net.features.conv1_2.norm = nn.SyncBatchNorm(1)
    assert not net._has_borders(x)
