import numpy as np
import pytest
import torch

from lit_shift.padding import PADDINGS, pad, source

NUMPY_MODES = {"circular": "wrap", "reflect": "reflect", "zeros": "constant"}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 1), (3, 0), (2, 5)])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_pad_is_numpys(padding, before, after, size, rng):
    x = torch.randn(2, 3, size, size + 1, generator=rng)
    width = [(0, 0), (0, 0), (before, after), (before, after)]
    expected = np.pad(x.numpy(), width, mode=NUMPY_MODES[padding])
    np.testing.assert_array_equal(pad(x, before, after, padding).numpy(), expected)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradient(padding, memory_format, rng):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=rng).contiguous(memory_format=memory_format)
    assert torch.autograd.gradcheck(lambda x: pad(x, 2, 3, padding), x.requires_grad_())


@pytest.mark.parametrize("padding", PADDINGS)
def test_memory_format_is_kept(padding, rng):
    x = torch.randn(2, 3, 4, 4, generator=rng)
    last = x.contiguous(memory_format=torch.channels_last)
    assert pad(last, 1, 1, padding).is_contiguous(memory_format=torch.channels_last)
    assert pad(x, 1, 1, padding).is_contiguous()


def test_source_of_an_axis_of_two_reflects_as_often_as_it_must():
    positions = torch.arange(-5, 7)
    assert source(positions, 2, "reflect").tolist() == [1, 0] * 6
    assert source(positions, 2, "circular").tolist() == [1, 0] * 6
    assert source(positions, 2, "zeros").tolist() == [-1] * 5 + [0, 1] + [-1] * 5
