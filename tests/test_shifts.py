from collections import Counter

import numpy as np
import pytest
import torch
from scipy.signal import resample
from scipy.stats import chisquare

from lit_shift.padding import PADDINGS, source
from lit_shift.shifts import draw_offsets, fourier_shift, roll, seeded, shift

OFFSETS = torch.tensor([[0, 0], [1, 0], [-1, 7], [5, -3], [40, 41]])


def test_roll_is_torch_roll_image_by_image(rng):
    x = torch.randn(5, 3, 6, 8, generator=rng)
    expected = torch.stack([image.roll((int(h), int(w)), (1, 2)) for image, (h, w) in zip(x, OFFSETS, strict=True)])
    assert torch.equal(roll(x, OFFSETS), expected)


def test_roll_is_equation_4(rng):
    x = torch.randint(256, (2, 1, 4, 6), dtype=torch.uint8, generator=rng)
    out = roll(x, torch.tensor([[3, 5], [-2, 1]]))
    for i in range(4):
        for j in range(6):
            assert out[0, 0, i, j] == x[0, 0, (i - 3) % 4, (j - 5) % 6]
            assert out[1, 0, i, j] == x[1, 0, (i + 2) % 4, (j - 1) % 6]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_shift_is_a_literal_loop_over_the_padded_image(padding, dtype, rng):
    x = torch.randint(1, 256, (5, 2, 6, 8), generator=rng).to(dtype)
    out = shift(x, OFFSETS, padding)
    assert out.dtype == dtype
    for n, (h, w) in enumerate(OFFSETS.tolist()):
        for i in range(6):
            for j in range(8):
                row, col = (int(source(torch.tensor(p), s, padding)) for p, s in ((i - h, 6), (j - w, 8)))
                expected = x[n, :, row, col] if min(row, col) >= 0 else torch.zeros(2, dtype=dtype)
                assert torch.equal(out[n, :, i, j], expected)


def test_draws_are_uniform_over_all_offsets_both_ends_included():
    height, width = 5, 7
    draws = draw_offsets((350, 100), height, width, seeded(0))
    counts = Counter(map(tuple, draws.view(-1, 2).tolist()))
    assert set(counts) == {(h, w) for h in range(height) for w in range(width)}
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_draws_depend_on_every_part_of_the_key_and_on_nothing_else():
    def draw(*key):
        return draw_offsets((100,), 32, 32, seeded(*key))

    torch.manual_seed(1)
    first = draw(0, 1)
    torch.manual_seed(2)
    assert torch.equal(first, draw(0, 1))
    for other in ((0, 2), (1, 1), (1, 0), (0,), (0, 1, 1)):
        assert not torch.equal(first, draw(*other))


def interpolated(samples, offset):
    """The trigonometric polynomial through real samples, read ``offset`` further back; Nyquist as a cosine."""
    n = len(samples)
    coefficients = np.fft.rfft(samples) / n
    out = np.zeros(n)
    for place in range(n):
        for k, c in enumerate(coefficients):
            once = k == 0 or 2 * k == n
            out[place] += (1 if once else 2) * (c * np.exp(2j * np.pi * k * (place - offset) / n)).real
    return out


@pytest.mark.parametrize("size", [2, 7, 8])
@pytest.mark.parametrize("offset", [0.5, 1.5, -0.25])
def test_a_fraction_of_a_pixel_reads_the_band_limited_signal_between_its_samples(size, offset, rng):
    x = torch.randn(1, 1, size, 6, dtype=torch.float64, generator=rng)
    shifted = fourier_shift(x, offset, 0)
    for column in range(6):
        expected = interpolated(x[0, 0, :, column].numpy(), offset)
        np.testing.assert_allclose(shifted[0, 0, :, column], expected, atol=1e-12)
    transposed = fourier_shift(x.mT, 0, offset).mT
    torch.testing.assert_close(transposed, shifted, rtol=0, atol=1e-12)


def test_whole_pixels_are_rolls(rng):
    x = torch.randn(2, 3, 8, 5, dtype=torch.float64, generator=rng)
    expected = roll(x, torch.tensor([[3, -2]] * 2))
    torch.testing.assert_close(fourier_shift(x, 3, -2), expected, rtol=0, atol=1e-12)


def test_half_pixels_are_odd_rolls_at_twice_the_resolution(rng):
    """As in Alias-Free Convnets: interpolate by 2 in the Fourier domain, roll by an odd number, keep every second."""
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=rng)
    fine = torch.from_numpy(resample(resample(x.numpy(), 16, axis=2), 16, axis=3))
    expected = fine.roll((1, 5), (2, 3))[:, :, ::2, ::2]
    torch.testing.assert_close(fourier_shift(x, 0.5, 2.5), expected, rtol=0, atol=1e-12)
