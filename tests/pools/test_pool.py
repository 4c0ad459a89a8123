from itertools import product
from math import ceil

import numpy as np
import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

from lit_shift.filters import FILTERS, lowpass
from lit_shift.padding import PADDINGS
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import roll

NUMPY_MODES = {"circular": "wrap", "reflect": "reflect", "zeros": "constant"}
SIZES = [(side, side) for side in (2, 4, 8, 32, 34)]
ANY_SIZES = [(1, 1), (2, 2), (8, 8), (7, 7), (7, 32), (6, 1)]  # without circular boundaries


def literal_pool(x: np.ndarray, filter: str, padding: str, dense: bool) -> np.ndarray:
    """One channel (H, W), by the definition: max over 2x2, weighted sum over the window, every second sample."""
    height, width = x.shape
    mode = NUMPY_MODES[padding]
    if dense:
        padded = np.pad(x, (0, 1), mode=mode)
        maxima = np.empty_like(x)
        for i, j in product(range(height), range(width)):
            maxima[i, j] = max(padded[i, j], padded[i, j + 1], padded[i + 1, j], padded[i + 1, j + 1])
        x = maxima
    taps = lowpass(filter).numpy()
    before, after = (len(taps) - 1) // 2, len(taps) // 2
    padded = np.pad(x, (before, after), mode=mode)
    out = np.empty((ceil(height / 2), ceil(width / 2)))
    for i, j in np.ndindex(out.shape):
        window = padded[2 * i : 2 * i + len(taps), 2 * j : 2 * j + len(taps)]
        out[i, j] = sum(a * b * window[k, m] for k, a in enumerate(taps) for m, b in enumerate(taps))
    return out


def assert_literal(pool, filter, padding, size, dense=True):
    x = np.random.default_rng(size).standard_normal(size)
    result = pool(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(result, literal_pool(x, filter, padding, dense), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filter", FILTERS)
def test_blur_pool_is_the_double_loop(filter, size):
    assert_literal(MaxPoolBlurDS(filter), filter, "circular", size)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("filter", FILTERS)
def test_other_paddings_are_the_double_loop_on_sides_of_any_length(filter, padding):
    for size in ANY_SIZES:
        assert_literal(MaxPoolBlurDS(filter, padding), filter, padding, size)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_the_default_filter_on_33_samples(padding):
    assert_literal(MaxPoolBlurDS(padding=padding), "tri5", padding, (33, 33))


@pytest.mark.parametrize(
    ("size", "padding"), [*product(SIZES, PADDINGS), *product([*ANY_SIZES, (33, 33)], ["zeros", "reflect"])]
)
def test_max_and_avg_are_the_double_loop(size, padding):
    assert_literal(MaxPool(padding), "delta", padding, size)
    assert_literal(AvgPool(padding), "rect6", padding, size, dense=False)


POOLS = [MaxPool, AvgPool, *(lambda name=name: MaxPoolBlurDS(name) for name in FILTERS)]


@pytest.mark.parametrize("pool", POOLS)
def test_shifting_by_two_shifts_the_output_by_one(pool, rng):
    x = torch.randn(3, 4, 8, 6, dtype=torch.float64, generator=rng)
    half = torch.tensor([[1, 0], [0, -1], [3, 2]])
    torch.testing.assert_close(pool()(roll(x, 2 * half)), roll(pool()(x), half), rtol=0, atol=1e-12)


def test_plain_pooling_keeps_its_output_elsewhere_but_not_there(rng):
    """The point of the papers: an odd shift changes the values that max pooling keeps."""
    x = torch.randn(1, 1, 8, 8, generator=rng)
    shifted = roll(x, torch.tensor([[1, 0]]))
    assert not torch.equal(MaxPool()(x).sort().values, MaxPool()(shifted).sort().values)


def test_the_papers_one_dimensional_example():
    """Zhang, Fig. 3. A constant second axis makes the two-dimensional pool one-dimensional."""
    signal = torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1])

    def pooled(pool, signal):
        return pool(signal.expand(1, 1, 2, 8))[0, 0, 0].tolist()

    assert pooled(MaxPool(), signal) == [0, 1, 0, 1]
    assert pooled(MaxPool(), signal.roll(-1)) == [1, 1, 1, 1]
    assert pooled(MaxPoolBlurDS("tri3"), signal) == [0.5, 1, 0.5, 1]
    assert pooled(MaxPoolBlurDS("tri3"), signal.roll(-1)) == [0.75, 0.75, 0.75, 0.75]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_pooling_is_blurring_densely_and_dropping_samples(pool, padding, rng):
    side = 8 if padding == "circular" else 9
    x = torch.randn(2, 3, side, 8, dtype=torch.float64, generator=rng)
    pool = pool(padding=padding)
    torch.testing.assert_close(pool(x), pool.blur(pool.dense(x), stride=1)[:, :, ::2, ::2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 4), (4, 6)])
def test_gradient(height, width, memory_format, rng):
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=rng).contiguous(memory_format=memory_format)
    assert torch.autograd.gradcheck(MaxPoolBlurDS("pascal6"), x.requires_grad_())
    assert torch.autograd.gradgradcheck(MaxPoolBlurDS("pascal6"), x)


def test_a_pool_first_used_in_inference_mode_still_trains(rng):
    x = torch.randn(1, 2, 12, 12, generator=rng)
    pool = MaxPoolBlurDS("rect7")
    with torch.inference_mode():
        pool(x)
    pool(x.requires_grad_()).sum().backward()
    torch.testing.assert_close(x.grad.sum(), torch.tensor(2 * 36.0))


def test_nothing_is_saved_in_checkpoints():
    assert [MaxPoolBlurDS(name).state_dict() for name in FILTERS] == [{}] * len(FILTERS)


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 5), (1, 1), (31, 31)])
def test_a_torus_of_odd_sides_is_refused(pool, height, width):
    with pytest.raises(
        ValueError,
        match=f"^With padding=circular .* must be even, not {height}x{width}, because .* commutes with shifts only "
        "then: give .* multiples of 2 .*, or take padding=zeros or padding=reflect .*[.]$",
    ):
        pool()(torch.zeros(1, 1, height, width))


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_maps_of_other_numbers_are_refused(pool, dtype):
    with pytest.raises(ValueError, match=rf"^A pool takes maps of floating-point numbers, not of {dtype}[.]$"):
        pool()(torch.ones(1, 2, 4, 4, dtype=dtype))


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4), (1, 3, 2, 4, 4)])
def test_what_is_no_batch_of_maps_is_refused(pool, shape):
    with pytest.raises(
        ValueError, match=r"^A pool takes maps \(N, C, H, W\), but these have the shape \([\d, ]+\)[.]$"
    ):
        pool()(torch.zeros(shape))


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool])
def test_an_empty_map_is_refused(pool):
    for padding in PADDINGS:
        with pytest.raises(ValueError, match=r"^A pool takes maps of one sample or more, not of 0x4[.]$"):
            pool(padding=padding)(torch.zeros(1, 1, 0, 4))


def test_bad_names_are_refused_when_the_pool_is_made():
    with pytest.raises(ValueError, match="Did you mean 'tri5'"):
        MaxPoolBlurDS("tri55")
    with pytest.raises(ValueError, match="Choices: circular, zeros, reflect"):
        MaxPool("wrap")


def test_half_precision(rng):
    x = torch.randn(2, 3, 8, 8, generator=rng)
    low = MaxPoolBlurDS()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), MaxPoolBlurDS()(x), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS, AvgPool, lambda: MaxPoolBlurDS("window6")])
def test_torch_compile_traces_a_pool_without_a_break(pool, rng):
    torch.compiler.reset()  # of another size before, sizes would be symbols
    x = torch.randn(2, 3, 8, 8, generator=rng)
    called = []

    def backend(graph, inputs):
        called.extend(str(node.target) for node in graph.graph.nodes if node.op.startswith("call"))
        return aot_eager(graph, inputs)

    compiled = torch.compile(pool(), backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(x), pool()(x))
    assert "matmul" in " ".join(called) or pool is MaxPool
    assert not [name for name in called if "scatter" in name or "arange" in name]  # matrices are made once, before
