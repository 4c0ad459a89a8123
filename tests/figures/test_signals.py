"""Figures of signals hold the data that they are given: artists' values, not pixels."""

import numpy as np
import pytest

from lit_shift.figures import signals

RNG = np.random.default_rng(0)


def test_downsampling_shows_signal_shift_and_what_becomes_of_them():
    signal = np.array([0, 0, 1, 1, 0, 0, 1, 1.0])
    pooled = (np.array([0, 1, 0, 1.0]), np.array([1, 1, 1, 1.0]))
    raw, plain, *_ = signals.downsampling(signal, {"max": pooled}).axes
    assert [list(line.get_ydata()) for line in raw.lines] == [list(signal), [1, 0, 0, 1, 1, 0, 0, 1]]
    assert [list(line.get_ydata()) for line in plain.lines] == [[0, 1, 0, 1], [1, 1, 1, 1]]
    assert list(plain.lines[0].get_xdata()) == [0, 2, 4, 6]


def test_below_a_signal_are_the_magnitudes_of_its_frequencies():
    """As sums over the samples; a shift changes none of them until samples are dropped."""
    signal = RNG.random(8)
    dense = RNG.random(8)
    steps = {"dense": (dense, np.roll(dense, 1)), "every second": (dense[::2], np.roll(dense, 1)[::2])}
    *_, of_input, of_dense, of_second = signals.downsampling(signal, steps).axes
    shown = ((of_input, (signal, np.roll(signal, 1))), (of_dense, steps["dense"]), (of_second, steps["every second"]))
    for ax, pair in shown:
        for line, values in zip(ax.lines, pair, strict=True):
            n = len(values)
            for k, (frequency, magnitude) in enumerate(zip(*line.get_data(), strict=True)):
                wave = sum(value * np.exp(-2j * np.pi * k * place / n) for place, value in enumerate(values))
                assert magnitude == pytest.approx(abs(wave) / n)
                assert frequency == pytest.approx(k / 4)  # of 8 samples four periods are the most
    gaps = [abs(np.subtract(*(line.get_ydata() for line in ax.lines))).max() for ax, _ in shown]
    assert max(gaps[:2]) < 1e-12 < 0.01 < gaps[2]


def test_frequency_responses_are_transforms_of_the_taps():
    """A triangle is a box twice: its response is the square of the box's."""
    box, triangle = np.ones(3) / 3, np.array([1, 2, 3, 2, 1]) / 9
    (ax,) = signals.frequency_responses({"": {"rect3": box, "tri5": triangle}}).axes
    first, second, _ = ax.lines
    omega = np.pi * first.get_xdata()
    np.testing.assert_allclose(first.get_ydata(), np.abs(1 + 2 * np.cos(omega)) / 3, atol=1e-12)
    np.testing.assert_allclose(second.get_ydata(), first.get_ydata() ** 2, atol=1e-12)


def test_measured_gains_lie_beside_the_curve_of_their_filter():
    gains = (np.array([0, 1]), np.array([1, 0.3]))
    (ax,) = signals.frequency_responses({"": {"a": np.ones(1), "b": np.ones(2) / 2}}, {"b": gains}).axes
    first, second, dots, _ = ax.lines
    assert dots.get_color() == second.get_color() != first.get_color()
    assert [list(values) for values in dots.get_data()] == [[0, 1], [1, 0.3]]


def test_filter_families_have_a_panel_each_with_the_same_curves():
    filters = {"tri3": np.array([1, 2, 1]) / 4, "tri5": np.array([1, 2, 3, 2, 1]) / 9}
    panel, empty, alone = signals.frequency_responses({"tri": filters, "none": {}, "delta": {"delta": np.ones(1)}}).axes
    (together,) = signals.frequency_responses({"": filters}).axes
    for ours, theirs in zip(panel.lines, together.lines, strict=True):
        assert np.array_equal(ours.get_data(), theirs.get_data())
    assert (panel.get_title(), len(empty.lines)) == ("tri", 1)  # the ideal filter
    assert alone.lines[0].get_ydata() == pytest.approx(1)


def test_aliasing_puts_samples_where_they_were_taken():
    curve = np.sin(np.arange(64))
    above, below = signals.aliasing(curve, {"all": curve[::8], "every second": curve[::16]}).axes
    for ax, step in ((above, 8), (below, 16)):
        fine, samples = ax.lines
        for x, y in zip(*samples.get_data(), strict=True):
            assert y == fine.get_ydata()[list(fine.get_xdata()).index(x)]
        assert len(samples.get_xdata()) == 64 // step


def test_maps_share_one_scale_of_grey():
    models = {"a": {"left": RNG.random((4, 4)), "right": RNG.random((2, 2))}, "b": {"left": 3 * np.ones((4, 4))}}
    axes = signals.maps(models).axes
    drawn = [ax.images[0] for ax in axes if ax.images]
    assert [image.get_clim() for image in drawn] == [(0, 3)] * 3
    assert np.array_equal(drawn[1].get_array(), models["a"]["right"])
    assert [axes[0].get_ylabel(), axes[2].get_ylabel()] == ["a", "b"]
