import numpy as np
import pytest
import torch

from lit_shift import published
from lit_shift.filters import FILTERS, lowpass

# Integer weights before normalisation.
WEIGHTS = {
    "delta": [1],
    "rect2": [1, 1],
    "rect3": [1, 1, 1],
    "rect4": [1, 1, 1, 1],
    "rect5": [1, 1, 1, 1, 1],
    "rect6": [1, 1, 1, 1, 1, 1],
    "rect7": [1, 1, 1, 1, 1, 1, 1],
    "tri3": [1, 2, 1],
    "tri5": [1, 2, 3, 2, 1],
    "tri7": [1, 2, 3, 4, 3, 2, 1],
    "pascal4": [1, 3, 3, 1],
    "pascal5": [1, 4, 6, 4, 1],
    "pascal6": [1, 5, 10, 10, 5, 1],
    "pascal7": [1, 6, 15, 20, 15, 6, 1],
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_integer_weights(name):
    weights = np.array(WEIGHTS[name])
    np.testing.assert_allclose(lowpass(name).numpy(), weights / weights.sum(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("taps", [3, 6, 7])
def test_window_is_the_truncated_ideal_half_band_filter(taps):
    k = np.arange(taps) - (taps - 1) / 2
    ideal = np.sinc(k / 2)  # sin(pi k / 2) / (pi k), up to a factor
    np.testing.assert_allclose(lowpass(f"window{taps}").numpy(), ideal / ideal.sum(), atol=1e-14)


@pytest.mark.parametrize("taps", [3, 7])
def test_least_squares_minimises_the_error_in_both_bands(taps):
    """Against a plain least squares fit of the response on a fine grid of frequencies."""
    grid = np.concatenate([np.linspace(0, 0.4, 20001), np.linspace(0.6, 1, 20001)])
    half = np.arange(1, taps // 2 + 1)
    response = np.hstack([np.ones((grid.size, 1)), 2 * np.cos(np.pi * grid[:, None] * half)])
    solution = np.linalg.lstsq(response, (grid <= 0.4).astype(float), rcond=None)[0]
    expected = np.concatenate([solution[:0:-1], solution])
    np.testing.assert_allclose(lowpass(f"ls{taps}").numpy(), expected / expected.sum(), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("window3", [0.28, 0.44, 0.28]),
        ("window6", [-0.09, 0.15, 0.44, 0.44, 0.15, -0.09]),
        ("window7", [-0.11, 0, 0.34, 0.54, 0.34, 0, -0.11]),
        ("ls3", [0.28, 0.45, 0.28]),
        ("ls7", [-0.09, 0, 0.32, 0.52, 0.32, 0, -0.09]),
    ],
)
def test_two_decimals(name, printed):
    np.testing.assert_allclose(lowpass(name).numpy(), printed, atol=0.005)


def test_names_and_taps_are_those_of_table_1_in_its_order():
    rows = published.load("zhang_table1")
    assert tuple(dict.fromkeys(row["filter"] for row in rows)) == FILTERS[:19]
    for row in rows:
        assert len(lowpass(row["filter"])) == int(row["taps"])


@pytest.mark.parametrize("name", FILTERS)
def test_sum_one_symmetric_double(name):
    taps = lowpass(name)
    assert taps.dtype == torch.float64
    assert taps.shape == (len(taps),)
    torch.testing.assert_close(taps.sum().item(), 1.0, rtol=0, atol=1e-15)
    torch.testing.assert_close(taps, taps.flip(0), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["tri4", "Tri5", "", "tri", "gauss3"])
def test_unknown_name_lists_the_names(name):
    with pytest.raises(ValueError, match=r"Choices: delta, rect2, .*ls7"):
        lowpass(name)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'pascal5'"):
        lowpass("pascal_5")
