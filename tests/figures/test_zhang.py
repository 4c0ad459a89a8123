"""Figures hold the data that they are given: artists' values, not pixels."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from lit_shift import figures
from lit_shift.figures import LayerDistance, Point
from lit_shift.figures.style import FAMILY_COLOURS

RNG = np.random.default_rng(0)


def layer(top, resolution=(16, 16)):
    return LayerDistance(RNG.random((32, 32)), top, resolution)


def test_equivariance_centres_no_shift_and_scales_to_half_the_distance_between_images():
    models = {
        "max": {"pixels": layer(0.8), "pool1_ds": layer(0.3)},
        "tri5": {"pixels": layer(0.7), "pool1_ds": layer(0.2)},
    }
    figure = figures.equivariance(models, columns=2)
    drawn = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in drawn] == ["pixels [16x16]", "pool1_ds [16x16]", "", ""]
    expected = [models[name][key] for name in models for key in ("pixels", "pool1_ds")]
    for ax, distance in zip(drawn, expected, strict=True):
        (image,) = ax.images
        assert image.get_clim() == (0, 1)
        left, right, bottom, top = image.get_extent()
        values = image.get_array()
        for h, w in ((0, 0), (1, 0), (0, -16), (15, 15), (-3, 7)):
            row = round((h - top - 0.5) * 32 / (bottom - top))
            column = round((w - left - 0.5) * 32 / (right - left))
            assert values[row, column] == pytest.approx(distance.by_shift[h, w] / (distance.between_images / 2))
        blue, red = image.cmap(0.0), image.cmap(1.0)
        assert blue[2] > 0.5 > blue[0]
        assert red[0] > 0.5 > red[2]
    names = [text.get_text() for ax in drawn for text in ax.texts]
    assert names == ["max", "tri5"]


def test_equivariance_of_many_layers_goes_on_below_and_leaves_no_empty_frames():
    figure = figures.equivariance({"a": {f"layer{i}": layer(1) for i in range(5)}}, columns=3)
    assert sum(bool(ax.images) for ax in figure.axes) == 5
    assert sum(ax.axison and not ax.images for ax in figure.axes) == 1  # the colour bar


def test_variation_counts_every_image_once_over_five_decades():
    """The axis of variation is logarithmic and that of images linear; what is below 1e-5 is in the first bin."""
    variations = {"max": RNG.random(500) / 4, "tri5": np.r_[10 ** RNG.uniform(-8, 0, 300), 0, 1e-5, 0.25, 1]}
    (ax,) = figures.variation(variations).axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    np.testing.assert_allclose(ax.get_xlim(), (1e-5, 1))
    assert "below" in ax.get_xlabel()
    for patch, (name, values) in zip(ax.patches, variations.items(), strict=True):
        counts, edges, _ = patch.get_data()
        np.testing.assert_allclose(np.log10(edges), np.arange(-50, 1) / 10, atol=1e-12)
        literal = [0] * len(counts)
        for value in values.tolist():
            place = next((bin for bin, high in enumerate(edges[1:]) if value < high), len(counts) - 1)
            literal[place] += 1
        assert counts.tolist() == literal
        assert patch.get_label() == f"{name} (mean {values.mean():#.3g})"


def test_filter_tv_is_a_line_for_each_run():
    models = {"max": {"conv1_1": 1.2, "conv1_2": 1.1}, "tri5": {"conv1_1": 0.9, "conv1_2": 0.8}}
    (ax,) = figures.filter_tv(models).axes
    for line, (name, layers) in zip(ax.lines, models.items(), strict=True):
        assert line.get_label() == name
        assert list(line.get_xdata()) == list(layers)
        assert list(line.get_ydata()) == list(layers.values())


def test_filter_tv_course_has_a_panel_for_each_layer():
    models = {
        "max": {"epoch": np.array([1, 2]), "conv1_1": np.array([1.7, 1.5]), "conv1_2": np.array([1.6, 1.4])},
        "tri5": {"epoch": np.array([1, 2, 3]), "conv1_1": np.array([1.8, 1.2, 1.1])},
    }
    figure = figures.filter_tv_course(models)
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert panels.keys() == {"conv1_1", "conv1_2"}
    assert [list(line.get_ydata()) for line in panels["conv1_1"].lines] == [[1.7, 1.5], [1.8, 1.2, 1.1]]
    assert list(panels["conv1_1"].lines[1].get_xdata()) == [1, 2, 3]
    assert len(panels["conv1_2"].lines) == 1


def test_stability_draws_curves_above_the_shifted_image():
    curves = {"max": RNG.random((3, 32)), "tri5": RNG.random((3, 32))}
    pixels = RNG.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    figure = figures.stability(curves, pixels, ["cat", "dog", "ship"], thumbnails=4)
    above, below = figure.axes[::2], figure.axes[1::2]
    assert [ax.get_title() for ax in above] == ["cat", "dog", "ship"]
    for place, (ax, strip) in enumerate(zip(above, below, strict=True)):
        for line, probabilities in zip(ax.lines, curves.values(), strict=True):
            assert np.array_equal(line.get_ydata(), probabilities[place])
        assert ax.get_xlim() == strip.get_xlim()
        for image, d in zip(strip.images, (0, 8, 16, 24), strict=True):
            left, right, *_ = image.get_extent()
            assert (left + right) / 2 == d
            shifted = image.get_array()
            for i, j in ((0, 0), (5, 30)):  # Shift(X)[i, j] = X[i - d, j - d]
                assert np.array_equal(shifted[i, j], pixels[place][:, (i - d) % 32, (j - d) % 32])


def test_accuracy_is_across_and_consistency_up_in_two_panels():
    points = [
        Point("max", "delta", 1, False, 0.9, 0.8, published=False),
        Point("tri5", "tri", 5, False, 0.92, 0.97, published=False),
        Point("tri5", "tri", 5, True, 0.93, 0.98, published=True),
    ]
    without, with_shifts = figures.accuracy_consistency(points).axes
    places = [tuple(scatter.get_offsets()[0]) for scatter in without.collections]
    assert places == [(90, 80), (92, 97)]
    assert without.get_xlabel().startswith("accuracy")
    assert without.get_ylabel().startswith("consistency")
    drawn = [to_hex(scatter.get_facecolor()[0]) for scatter in without.collections]
    assert drawn == [FAMILY_COLOURS["delta"], FAMILY_COLOURS["tri"]]
    (grey,) = with_shifts.collections
    assert len(set(grey.get_facecolor()[0][:3])) == 1
    paths = [scatter.get_paths()[0].vertices for scatter in without.collections]
    assert paths[0].shape != paths[1].shape  # another length, another shape
    assert [text.get_text() for text in without.texts] == ["max", "tri5"]
    assert [text.get_text() for text in with_shifts.texts] == ["no run"]


def test_points_are_named_by_what_tells_them_apart():
    names = ["max-noaug-s0", "blur-tri5-noaug-s0"]
    points = [Point(name, "", 1, False, 0.9, 0.8, published=False) for name in names]
    points += [Point("blur-tri5-aug-s0", "", 1, True, 0.9, 0.8, published=False)]
    without, with_shifts = figures.accuracy_consistency(points).axes
    assert [text.get_text() for text in without.texts] == ["max", "blur-tri5"]
    assert [text.get_text() for text in with_shifts.texts] == ["blur-tri5-aug-s0"]


def test_filters_of_ones_own_are_drawn_too():
    without, _ = figures.accuracy_consistency([Point("mine", "gauss", 9, False, 0.9, 0.8, published=False)]).axes
    assert len(without.collections) == 1


def test_nothing_is_said_of_published_points_where_there_are_none():
    figure = figures.accuracy_consistency([Point("mine", "tri", 5, False, 0.9, 0.8, published=False)])
    assert "published" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert [len(ax.get_xticks()) > 0 for ax in figure.axes] == [True, False]  # no numbers where there is no point


def test_forty_models_are_told_apart_and_their_names_stay_on_the_sheet():
    models = {f"a-rather-long-name-{i}": {"conv1_1": float(i), "conv1_2": 1.0} for i in range(40)}
    figure = figures.filter_tv(models)
    (ax,) = figure.axes
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 40
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert ax.get_window_extent().height > 100


def test_downsampling_shows_signal_shift_and_what_becomes_of_them():
    signal = np.array([0, 0, 1, 1, 0, 0, 1, 1.0])
    pooled = (np.array([0, 1, 0, 1.0]), np.array([1, 1, 1, 1.0]))
    raw, plain, *_ = figures.downsampling(signal, {"max": pooled}).axes
    assert [list(line.get_ydata()) for line in raw.lines] == [list(signal), [1, 0, 0, 1, 1, 0, 0, 1]]
    assert [list(line.get_ydata()) for line in plain.lines] == [[0, 1, 0, 1], [1, 1, 1, 1]]
    assert list(plain.lines[0].get_xdata()) == [0, 2, 4, 6]


def test_below_a_signal_are_the_magnitudes_of_its_frequencies():
    """As sums over the samples; a shift changes none of them until samples are dropped."""
    signal = RNG.random(8)
    dense = RNG.random(8)
    steps = {"dense": (dense, np.roll(dense, 1)), "every second": (dense[::2], np.roll(dense, 1)[::2])}
    *_, of_input, of_dense, of_second = figures.downsampling(signal, steps).axes
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
    (ax,) = figures.frequency_responses({"rect3": box, "tri5": triangle}).axes
    first, second, _ = ax.lines
    omega = np.pi * first.get_xdata()
    np.testing.assert_allclose(first.get_ydata(), np.abs(1 + 2 * np.cos(omega)) / 3, atol=1e-12)
    np.testing.assert_allclose(second.get_ydata(), first.get_ydata() ** 2, atol=1e-12)


def test_measured_gains_lie_beside_the_curve_of_their_filter():
    gains = (np.array([0, 1]), np.array([1, 0.3]))
    (ax,) = figures.frequency_responses({"a": np.ones(1), "b": np.ones(2) / 2}, {"b": gains}).axes
    dots = ax.lines[-1]
    assert dots.get_color() == ax.lines[1].get_color() != ax.lines[0].get_color()
    assert [list(values) for values in dots.get_data()] == [[0, 1], [1, 0.3]]


def test_filter_families_have_a_panel_each_with_the_same_curves():
    filters = {"tri3": np.array([1, 2, 1]) / 4, "tri5": np.array([1, 2, 3, 2, 1]) / 9}
    panel, empty, alone = figures.filter_families({"tri": filters, "none": {}, "delta": {"delta": np.ones(1)}}).axes
    (together,) = figures.frequency_responses(filters).axes
    for ours, theirs in zip(panel.lines, together.lines, strict=True):
        assert np.array_equal(ours.get_data(), theirs.get_data())
    assert (panel.get_title(), len(empty.lines)) == ("tri", 1)  # the ideal filter
    assert alone.lines[0].get_ydata() == pytest.approx(1)


def test_aliasing_puts_samples_where_they_were_taken():
    curve = np.sin(np.arange(64))
    above, below = figures.aliasing(curve, {"all": curve[::8], "every second": curve[::16]}).axes
    for ax, step in ((above, 8), (below, 16)):
        fine, samples = ax.lines
        for x, y in zip(*samples.get_data(), strict=True):
            assert y == fine.get_ydata()[list(fine.get_xdata()).index(x)]
        assert len(samples.get_xdata()) == 64 // step


def test_maps_share_one_scale_of_grey():
    models = {"a": {"left": RNG.random((4, 4)), "right": RNG.random((2, 2))}, "b": {"left": 3 * np.ones((4, 4))}}
    axes = figures.maps(models).axes
    drawn = [ax.images[0] for ax in axes if ax.images]
    assert [image.get_clim() for image in drawn] == [(0, 3)] * 3
    assert np.array_equal(drawn[1].get_array(), models["a"]["right"])
    assert [axes[0].get_ylabel(), axes[2].get_ylabel()] == ["a", "b"]
