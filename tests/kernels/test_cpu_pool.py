import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

from lit_shift.filters import FILTERS
from lit_shift.kernels import cpu_pool
from lit_shift.pools.pool import MaxPoolBlurDS
from tests.definition import max_blur, second, with_gradient


def samples(shape, rng):
    return torch.randn(shape, generator=rng).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (1, 1, 18, 20), (3, 2, 32, 16)])
@pytest.mark.parametrize("filter", FILTERS)
def test_it_is_the_definition(filter, shape, rng):
    x = samples(shape, rng)
    assert cpu_pool.applies(x)
    grad = torch.randn(*shape[:2], shape[2] // 2, shape[3] // 2, generator=rng)
    expected = with_gradient(lambda x: max_blur(x, filter), x.double(), grad)
    for layout in (torch.contiguous_format, torch.channels_last):
        result = with_gradient(MaxPoolBlurDS(filter), x.contiguous(memory_format=layout), grad)
        for ours, theirs in zip(result, expected, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-6)


def test_of_equal_samples_a_largest_one_has_the_gradient(rng):
    x = torch.randint(0, 2, (2, 3, 16, 16), generator=rng).float()
    grad = torch.rand(2, 3, 8, 8, generator=rng)
    result, gradient = with_gradient(MaxPoolBlurDS("rect2"), x, grad)
    torch.testing.assert_close(result, max_blur(x, "rect2"))
    torch.testing.assert_close(
        (gradient * x).sum((2, 3)), (grad * result).sum((2, 3))
    )  # Euler: the pool is homogeneous
    torch.testing.assert_close(gradient.sum((2, 3)), grad.sum((2, 3)))


def test_channels_last_stays(rng):
    x, grad = samples((2, 3, 16, 16), rng), samples((2, 3, 8, 8), rng)
    for result in with_gradient(MaxPoolBlurDS(), x, grad):
        assert result.is_contiguous(memory_format=torch.channels_last)


def test_second_derivative(rng):
    x, grad = samples((1, 2, 16, 16), rng), samples((1, 2, 8, 8), rng)
    found = second(MaxPoolBlurDS("pascal6"), x, grad)
    expected = second(lambda x: max_blur(x, "pascal6"), x.double(), grad.double())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_where_it_is_seen(value, rng):
    x = samples((1, 1, 16, 16), rng)
    x[0, 0, 0, 0] = value  # which windows across both borders see
    torch.testing.assert_close(MaxPoolBlurDS("tri3")(x), max_blur(x, "tri3"), equal_nan=True)


def test_elsewhere_pools_go_step_by_step(rng, monkeypatch):
    class Another(MaxPoolBlurDS):
        """Of which it is not known that its steps are these."""

    x = samples((1, 2, 16, 16), rng)
    monkeypatch.setattr(cpu_pool, "_MaxBlur", None)
    for pool in (Another(), MaxPoolBlurDS(padding="reflect")):
        pool(x)
    for other in (x.double(), x.bfloat16(), x[:, :, :14], x[..., :14]):
        MaxPoolBlurDS()(other)
    with torch.autocast("cpu", torch.bfloat16):
        MaxPoolBlurDS()(x)
    with pytest.raises(AttributeError):
        MaxPoolBlurDS()(x)


def test_it_is_compiled_in_one_graph(rng):
    x, grad = samples((2, 3, 16, 16), rng), samples((2, 3, 8, 8), rng)
    torch.compiler.reset()
    compiled = torch.compile(MaxPoolBlurDS(), fullgraph=True, backend=aot_eager)
    for ours, theirs in zip(with_gradient(compiled, x, grad), with_gradient(MaxPoolBlurDS(), x, grad), strict=True):
        torch.testing.assert_close(ours, theirs)
