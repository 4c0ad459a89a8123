"""Pools that cut the spectrum, against numpy's Fourier transform."""

import numpy as np
import pytest
import torch

from lit_shift.pools.spectral import ASAPPool, FLCPool, IdealPool
from lit_shift.shifts import fourier_shift, roll

SIZES = [(2, 2), (4, 4), (8, 4), (6, 10), (32, 32)]


def centred(x):
    """Spectrum of a map (H, W), and the frequencies of its rows and columns."""
    rows, cols = (np.fft.fftfreq(side, 1 / side) for side in x.shape)
    return np.fft.fft2(x), rows[:, None], cols


@pytest.mark.parametrize("size", SIZES)
def test_ideal_sets_all_from_the_new_nyquist_frequency_on_to_zero(size, rng):
    x = torch.randn(1, 1, *size, dtype=torch.float64, generator=rng)
    spectrum, rows, cols = centred(x[0, 0].numpy())
    spectrum[(np.abs(rows) >= size[0] / 4) | (np.abs(cols) >= size[1] / 4)] = 0
    expected = np.fft.ifft2(spectrum)[::2, ::2]
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(IdealPool()(x)[0, 0].numpy(), expected.real, atol=1e-12)


def test_a_band_limited_map_commutes_with_every_shift(rng):
    """Shifting by h pixels shifts the result by h / 2, a fraction of a sample if h is odd or a fraction itself."""
    x = torch.randn(1, 2, 16, 8, dtype=torch.float64, generator=rng)
    spectrum = torch.fft.fft2(x)
    rows, cols = (torch.fft.fftfreq(side, 1 / side).abs() for side in x.shape[2:])
    band_limited = torch.fft.ifft2(spectrum * ((rows < 4)[:, None] & (cols < 2))).real
    pool = IdealPool()
    for h, w in ((1, 0), (0, 1), (3, -5), (2, 4), (0.3, 1.7)):
        torch.testing.assert_close(
            pool(fourier_shift(band_limited, h, w)), fourier_shift(pool(band_limited), h / 2, w / 2)
        )
    # Any map is band-limited as far as the result can tell, but for aliases, of which there are none.
    shifted = pool(roll(x, torch.tensor([[1, 1]])))
    torch.testing.assert_close(shifted, fourier_shift(pool(x), 0.5, 0.5))


@pytest.mark.parametrize("pool", [FLCPool, ASAPPool])
@pytest.mark.parametrize("size", [(4, 4), (8, 4), (32, 32)])
def test_flc_and_asap_transform_the_low_half_back(pool, size, rng):
    x = torch.randn(1, 1, *size, dtype=torch.float64, generator=rng)
    height, width = size
    spectrum = np.fft.fftshift(np.fft.fft2(x[0, 0].numpy()))
    if pool is ASAPPool:
        spectrum *= np.outer(np.hamming(height + 1)[:-1], np.hamming(width + 1)[:-1])  # periodic, 1 in the middle
    low = spectrum[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    expected = np.fft.ifft2(np.fft.ifftshift(low)).real / 4  # half the samples on each axis
    np.testing.assert_allclose(pool()(x)[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("pool", [IdealPool, FLCPool, ASAPPool])
@pytest.mark.parametrize("size", SIZES)
def test_the_mean_stays(pool, size, rng):
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    torch.testing.assert_close(pool()(x).mean((2, 3)), x.mean((2, 3)))
