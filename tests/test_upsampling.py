import numpy as np
import pytest
import torch
from scipy.signal import resample

from lit_shift.shifts import fourier_shift
from lit_shift.upsampling import UPSAMPLINGS, overlaps, upsampling_matrix

SIZES = [1, 2, 3, 8, 9]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2, 4, 32])
def test_fourier_upsampling_is_that_of_scipy(size, stride):
    signal = np.random.default_rng(0).normal(size=size)
    found = upsampling_matrix(size, stride, "fourier").numpy() @ signal
    np.testing.assert_allclose(found, resample(signal, size * stride), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_between_samples_lies_what_a_shift_by_parts_of_a_sample_finds(size, rng):
    signal = torch.randn(1, 1, 1, size, dtype=torch.float64, generator=rng)
    upsampled = signal @ upsampling_matrix(size, 4, "fourier").mT
    for phase in range(4):
        torch.testing.assert_close(upsampled[..., phase::4], fourier_shift(signal, 0, -phase / 4))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_other_upsamplings_are_those_of_a_literal_loop(size, stride):
    signal = np.random.default_rng(1).normal(size=size)
    lines, steps = [], []
    for i in range(size):
        for ahead in range(stride):
            lines.append(signal[i] + ahead / stride * (signal[(i + 1) % size] - signal[i]))
            steps.append(signal[i])
    np.testing.assert_allclose(upsampling_matrix(size, stride, "bilinear").numpy() @ signal, lines)
    np.testing.assert_allclose(upsampling_matrix(size, stride, "nearest").numpy() @ signal, steps)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_overlaps_are_inner_products_of_upsampled_signals(upsampling, size, rng):
    a, b = torch.randn(2, size, dtype=torch.float64, generator=rng)
    matrix = upsampling_matrix(size, 4, upsampling)
    for s, overlap in enumerate(overlaps(size, 4, upsampling)):
        torch.testing.assert_close(a @ overlap @ b, (matrix @ a) @ (matrix @ b).roll(-s))
