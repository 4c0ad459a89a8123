import pytest
import torch

from lit_shift.kernels.fourier_conv import basis, convolve

SIZES = [(8, 8), (4, 4), (2, 2), (1, 1), (5, 6), (3, 1), (7, 7), (2, 8)]


def literal(x, weight):
    """out[i, j] = sum over a, b of weight[a, b] x[(i + a) mod H, (j + b) mod W], for each pair of channels."""
    out = torch.zeros(len(x), len(weight), *x.shape[2:], dtype=x.dtype)
    for a in range(3):
        for b in range(3):
            out += torch.einsum("kc,nchw->nkhw", weight[:, :, a, b], x.roll((1 - a, 1 - b), (2, 3)))
    return out


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_circular_convolution_and_so_are_its_gradients(height, width, layout, rng):
    x = torch.randn(5, 3, height, width, dtype=torch.float64, generator=rng).contiguous(memory_format=layout)
    weight = torch.randn(7, 3, 3, 3, dtype=torch.float64, generator=rng).contiguous(memory_format=layout)
    gradient = torch.randn(5, 7, height, width, dtype=torch.float64, generator=rng)
    found, expected = [], []
    for way, into in ((convolve, found), (literal, expected)):
        inputs = x.clone().requires_grad_(), weight.clone().requires_grad_()
        out = way(*inputs)
        into += [out, *torch.autograd.grad(out, inputs, gradient)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-13)


@pytest.mark.parametrize(("side", "multiplications"), [(8, 94), (4, 22), (2, 4), (1, 1)])
def test_so_many_products_of_channels_are_all_it_takes(side, multiplications):
    maps, kernels, products = basis(side, side, torch.float32, torch.device("cpu"))
    assert maps.shape == (multiplications, side**2)
    assert kernels.shape == (multiplications, 9)
    assert products.shape == (side**2, multiplications)


def test_float32_is_as_exact_as_direct_sums(rng):
    x = torch.randn(4, 64, 8, 8, generator=rng)
    weight = torch.randn(64, 64, 3, 3, generator=rng)
    exact = literal(x.double(), weight.double())
    error, usual = ((way(x, weight) - exact).abs().max() for way in (convolve, literal))
    assert error < 5 * usual


def test_what_is_made_under_inference_mode_serves_in_training():
    x, weight = torch.randn(1, 2, 5, 7), torch.randn(3, 2, 3, 3, requires_grad=True)  # of no other test's size
    with torch.inference_mode():
        convolve(x, weight)
    convolve(x, weight).sum().backward()
    assert weight.grad.abs().sum() > 0


def test_the_result_is_channels_last():
    out = convolve(torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3))
    assert out.is_contiguous(memory_format=torch.channels_last)
