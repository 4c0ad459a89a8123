"""In forward mode and under transforms of torch.func, kernels make way for operations that PyTorch differentiates."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from lit_shift.kernels import cpu_pool, gpu_norm, gpu_pool
from lit_shift.kernels.transforms import transformed
from lit_shift.models.vgg import VGG13
from lit_shift.padding import PADDINGS, pad
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS

POOLS = [MaxPool, MaxPoolBlurDS, partial(MaxPoolBlurDS, "rect6"), AvgPool]
PADS = [partial(pad, before=2, after=1, padding=padding) for padding in PADDINGS]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_counts_as_transformed(rng):
    x, seen = torch.randn(2, 3, generator=rng), []

    def function(x):
        seen.append(transformed(x))
        return x.square().sum()

    function(x.clone().requires_grad_())
    with dual_level():
        function(x)
        function(make_dual(x, x))
    torch.func.jvp(function, (x,), (x,))
    torch.func.grad(function)(x)
    torch.func.vmap(function)(x)
    torch.export.export(Function(function), (x,))
    torch.jit.trace(function, x, check_trace=False)
    function(x)
    assert seen == [False, False, *[True] * 6, False]


class Function(nn.Module):
    """A module, as exports ask for."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def by_duals(function, x, tangent):
    with dual_level():
        return unpack_dual(function(make_dual(x, tangent))).tangent


def by_func(function, x, tangent):
    return torch.func.jvp(function, (x,), (tangent,))[1]


@pytest.mark.parametrize("side", [2, 4, 16, 32])
@pytest.mark.parametrize("make", [*POOLS, *(partial(lambda function: function, each) for each in PADS)])
@pytest.mark.parametrize("forward", [by_duals, by_func])
def test_forward_mode_is_the_adjoint_of_reverse_mode(make, forward, side, rng):
    """Which on a CPU, plainly, are the kernels."""
    layer = make()
    x, tangent = torch.randn(2, 2, 3, side, side, generator=rng)
    x.requires_grad_()
    y = layer(x)
    grad = torch.randn(y.shape, generator=rng)
    (gradient,) = torch.autograd.grad(y, x, grad)
    rate = forward(layer, x.detach(), tangent)
    assert rate.abs().sum() > 0
    assert (rate * grad).sum().item() == pytest.approx((gradient * tangent).sum().item(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("pool", POOLS)
def test_a_network_is_differentiated_either_way(pool, rng):
    torch.manual_seed(0)
    net = VGG13(pool, width=2).double().eval()
    x, tangent = torch.randn(2, 1, 3, 32, 32, dtype=torch.float64, generator=rng)
    jacobian = torch.autograd.functional.jacobian(net, x)
    expected = (jacobian * tangent).sum((2, 3, 4, 5))
    for forward in (by_duals, by_func):
        torch.testing.assert_close(forward(net, x, tangent), expected)
    gradient = torch.func.grad(lambda x: net(x)[0, 3])(x)
    torch.testing.assert_close(gradient, jacobian[0, 3])


def test_kernels_on_a_gpu_make_way_too(monkeypatch):
    class OnGPU:
        is_cuda, dtype, device = True, torch.float32, torch.device("cuda", 0)

    def apply(*_):
        return [gpu_pool.applies(OnGPU()), gpu_norm.applies(torch.nn.BatchNorm2d(1), OnGPU())]

    for kernel in (gpu_pool, gpu_norm):
        monkeypatch.setattr(kernel, "runs_on", lambda device: True)
    assert apply() == [True, True]
    assert torch.func.vmap(apply, out_dims=None)(torch.zeros(2)) == [False, False]


def test_reverse_mode_still_takes_the_kernels(monkeypatch, rng):
    x = torch.randn(1, 2, 16, 16, generator=rng)
    for kernel in ("_Max", "_MaxBlur"):
        monkeypatch.setattr(cpu_pool, kernel, None)
    by_duals(MaxPoolBlurDS(), x, x)
    with pytest.raises(AttributeError):
        MaxPoolBlurDS()(x.requires_grad_())
