from itertools import product

import pytest
import torch
import torch.nn.functional as F

from lit_shift.kernels import gpu_pool
from lit_shift.kernels.gpu import runs_on
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPoolBlurDS
from tests.definition import max_blur, second, with_gradient

pytest.importorskip("triton", reason="Triton is not made for this machine")


FILTERS = ["delta", "rect2", "pascal5", "rect6", "ls7"]
SHAPES = [(2, 3, 2, 2), (1, 2, 4, 6), (1, 1, 8, 2), (1, 130, 2, 8)]  # the last is wider than one program


# Each filter on maps that the longer ones wrap around, and each shape; the rest take the interpreter a minute.
CASES = [*product(FILTERS, SHAPES[1:2]), *product(["rect2"], [SHAPES[0], *SHAPES[2:]])]
OTHERS = [pytest.param(*case, marks=pytest.mark.rough) for case in product(FILTERS, SHAPES) if case not in CASES]


@pytest.mark.parametrize(("filter", "shape"), [*CASES, *OTHERS])
def test_the_kernels_are_the_definition(filter, shape, interpreted, rng):
    x = torch.randn(shape, generator=rng)
    grad = torch.randn(max_blur(x, filter).shape, generator=rng)
    result, gradient = with_gradient(MaxPoolBlurDS(filter), x, grad)
    expected, expected_gradient = with_gradient(lambda x: max_blur(x, filter), x.double(), grad)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("filter", ["delta", "rect2", "tri3", "pascal4", "tri5", "rect6", "ls7"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 16, 8)])
def test_the_border_repeats_the_other_side(filter, shape, interpreted, rng):
    """And its gradient goes to what it repeats; over several pieces, programs and wraps."""
    x, taps = torch.randn(shape, generator=rng), MaxPoolBlurDS(filter).taps

    def definition(x):
        return F.pad(max_blur(x, filter), (1, 1, 1, 1), mode="circular")

    grad = torch.randn(definition(x).shape, generator=rng)
    result, gradient = with_gradient(lambda x: gpu_pool.max_blur(x, taps, 1), x, grad)
    expected, expected_gradient = with_gradient(definition, x.double(), grad)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("border", [0, 1])
@pytest.mark.parametrize("filter", FILTERS)
def test_second_derivative(filter, border, interpreted, rng):
    x, taps = torch.randn(2, 2, 4, 6, generator=rng), MaxPoolBlurDS(filter).taps

    def definition(x):
        return F.pad(max_blur(x, filter), (border,) * 4, mode="circular")

    grad = torch.randn(definition(x).shape, generator=rng)
    found = second(lambda x: gpu_pool.max_blur(x, taps, border), x, grad)
    for ours, theirs in zip(found, second(definition, x.double(), grad.double()), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


def test_of_equal_samples_the_first_has_the_gradient(interpreted, rng):
    x = torch.randint(0, 2, (2, 30, 4, 4), generator=rng).float()
    grad = torch.randn(2, 30, 2, 2, generator=rng)
    _, gradient = with_gradient(MaxPoolBlurDS("rect3"), x, grad)
    torch.testing.assert_close(gradient, with_gradient(lambda x: max_blur(x, "rect3"), x, grad)[1])
    torch.testing.assert_close(gradient.sum(), grad.sum())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_seen_where_it_is_seen_step_by_step(value, interpreted, rng):
    x = torch.randn(1, 2, 8, 8, generator=rng)
    x[0, 1, 3, 4] = value
    torch.testing.assert_close(MaxPoolBlurDS()(x), max_blur(x, "tri5"), equal_nan=True)


@pytest.mark.parametrize("filter", ["delta", "tri3", "pascal4", "ls7"])
def test_a_gradient_that_is_not_finite_reaches_no_further_than_the_filter(filter, interpreted, rng):
    x, grad = torch.randn(1, 2, 8, 8, generator=rng), torch.randn(1, 2, 4, 4, generator=rng)
    grad[0, 0, 1, 2] = torch.inf
    _, gradient = with_gradient(MaxPoolBlurDS(filter), x, grad)
    _, expected = with_gradient(lambda x: max_blur(x, filter), x, grad)
    assert torch.equal(gradient.isfinite(), expected.isfinite())
    assert not gradient.isfinite().all()


# Triton's interpreter cuts a bfloat16 off where a GPU rounds it.
@pytest.mark.parametrize(("dtype", "within"), [(torch.bfloat16, 2**-7), (torch.float16, 0)])
def test_half_precision_is_rounded_once(dtype, within, interpreted, rng):
    x, grad = torch.randn(1, 30, 4, 4, generator=rng).to(dtype), torch.randn(1, 30, 2, 2, generator=rng).to(dtype)
    result, gradient = with_gradient(MaxPoolBlurDS("rect3"), x, grad)
    exact, exact_gradient = with_gradient(MaxPoolBlurDS("rect3"), x.float(), grad)
    torch.testing.assert_close(result, exact.to(dtype), rtol=within, atol=0)
    torch.testing.assert_close(gradient, exact_gradient.to(dtype), rtol=within, atol=0)


@pytest.mark.parametrize("grad_of", ["each", "the sum"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_any_layout_is_taken(memory_format, grad_of, interpreted, rng):
    x = torch.randn(2, 3, 2, 4, generator=rng).contiguous(memory_format=memory_format).requires_grad_()
    y = MaxPoolBlurDS("rect3")(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    grad = torch.ones(()).expand(y.shape) if grad_of == "the sum" else torch.randn(y.shape, generator=rng)
    y.backward(grad)
    torch.testing.assert_close(x.grad, with_gradient(lambda x: max_blur(x, "rect3"), x, grad)[1])


@pytest.mark.rough
def test_pytorch_knows_the_operation(interpreted, rng):
    """Its schema, what its result looks like, its gradient, and that ``torch.compile`` can trace both."""
    x = torch.randn(2, 3, 2, 4, generator=rng, requires_grad=True)
    taps = MaxPoolBlurDS("rect2").taps
    grad = torch.randn(2, 3, 1, 2, generator=rng, requires_grad=True)
    torch.library.opcheck(gpu_pool.max_blur, (x, taps))
    torch.library.opcheck(gpu_pool.max_blur_backward, (x.detach(), grad, taps))


@pytest.mark.rough
def test_a_network_trains_by_the_kernels_as_without(interpreted, monkeypatch, rng):
    net, x = VGG13(lambda: MaxPoolBlurDS("tri3"), width=1).eval(), torch.randn(1, 3, 32, 32, generator=rng)

    def logits_and_gradients():
        logits = net(x)
        return [logits.detach(), *torch.autograd.grad(logits.logsumexp(1).sum(), list(net.parameters()))]

    by_kernels = logits_and_gradients()
    monkeypatch.setattr("lit_shift.kernels.gpu_pool.applies", lambda x: False)
    for found, expected in zip(by_kernels, logits_and_gradients(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_cpu_and_what_the_kernels_do_not_take_pool_step_by_step(monkeypatch, rng):
    x = torch.randn(1, 1, 2, 2, generator=rng)
    assert not gpu_pool.applies(x)
    monkeypatch.setattr(gpu_pool, "runs_on", lambda device: True)

    class OnGPU:
        is_cuda, device = True, torch.device("cuda", 0)

        def __init__(self, dtype):
            self.dtype = dtype

    assert gpu_pool.applies(OnGPU(torch.float32))
    assert not gpu_pool.applies(OnGPU(torch.float64))


def test_a_pool_that_overrides_a_step_is_not_pooled_by_the_kernels(monkeypatch, rng):
    class Halves(MaxPoolBlurDS):
        def dense(self, x):
            return x / 2

    x = torch.ones(1, 1, 2, 2)
    monkeypatch.setattr("lit_shift.kernels.gpu_pool.applies", lambda x: True)
    assert Halves()(x).item() == pytest.approx(0.5)


@pytest.mark.gpu
def test_a_gpu_computes_what_a_cpu_does(rng):
    assert runs_on(torch.device("cuda", torch.cuda.current_device()))
    for filter, shape in product(FILTERS, [(128, 64, 32, 32), (7, 512, 2, 2), *SHAPES]):
        x = torch.randn(shape, generator=rng)
        grad = torch.randn(max_blur(x, filter).shape, generator=rng)
        result, gradient = with_gradient(MaxPoolBlurDS(filter), x.cuda(), grad.cuda())
        expected, expected_gradient = with_gradient(MaxPoolBlurDS(filter), x.double(), grad)
        torch.testing.assert_close(result.cpu().double(), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(gradient.cpu().double(), expected_gradient, rtol=0, atol=1e-5)
