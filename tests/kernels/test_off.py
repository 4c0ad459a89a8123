"""Kernels are for speed alone: with every one of them off, each number stays the same to rounding."""

import pytest
import torch

from lit_shift.kernels import cpu_pool, fourier_conv, gpu_norm, gpu_pool
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import orbit_logits
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS

POOLS = {"max": MaxPool, "tri5": MaxPoolBlurDS, "rect6": lambda: MaxPoolBlurDS("rect6"), "avg": AvgPool}
SWITCHES = [(cpu_pool, "applies"), (cpu_pool, "dense_applies"), (gpu_pool, "applies"), (gpu_norm, "applies")]
SWITCHES += [(fourier_conv, "is_faster")]


@pytest.fixture
def off(monkeypatch):
    """Turns the kernels off, and makes sure that nothing calls them."""

    def switch():
        for module, applies in SWITCHES:
            monkeypatch.setattr(module, applies, lambda *_: False)
        for module, name in [(cpu_pool, "dense_max"), (cpu_pool, "max_blur"), (fourier_conv, "convolve")]:
            monkeypatch.delattr(module, name)

    return switch


@pytest.mark.parametrize("side", [2, 4, 16, 32])
@pytest.mark.parametrize("name", POOLS)
def test_pools(name, side, off, rng):
    x, pool = torch.randn(2, 3, side, side, generator=rng), POOLS[name]()
    grad = torch.randn(2, 3, side // 2, side // 2, generator=rng)

    def outcome():
        leaf = x.clone().requires_grad_()
        y = pool(leaf)
        return [y.detach(), *torch.autograd.grad(y, leaf, grad), pool.dense(x)]

    by_kernels = outcome()
    off()
    for found, expected in zip(by_kernels, outcome(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", POOLS)
def test_a_network_its_gradients_and_all_shifts_at_once(name, off, rng):
    x = torch.randn(4, 3, 32, 32, generator=rng)

    def outcome():
        torch.manual_seed(0)
        net = VGG13(POOLS[name], width=4)
        logits = net.train()(x)
        logits.logsumexp(1).sum().backward()
        with torch.no_grad():
            shifted = orbit_logits(net.eval(), x[:1])
        return [logits.detach(), shifted, *(parameter.grad for parameter in net.parameters())]

    by_kernels = outcome()
    off()
    for found, expected in zip(by_kernels, outcome(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
