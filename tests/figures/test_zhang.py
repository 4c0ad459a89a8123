"""Figures hold the data that they are given: artists' values, not pixels."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from lit_shift.figures import zhang
from lit_shift.figures.style import FAMILY_COLOURS
from lit_shift.figures.zhang import LayerDistance, Point

RNG = np.random.default_rng(0)


def layer(top, resolution=(16, 16)):
    return LayerDistance(RNG.random((32, 32)), top, resolution)


def test_equivariance_centres_no_shift_and_scales_to_half_the_distance_between_images():
    models = {
        "max": {"pixels": layer(0.8), "pool1_ds": layer(0.3)},
        "tri5": {"pixels": layer(0.7), "pool1_ds": layer(0.2)},
    }
    figure = zhang.equivariance(models, columns=2)
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
    figure = zhang.equivariance({"a": {f"layer{i}": layer(1) for i in range(5)}}, columns=3)
    assert sum(bool(ax.images) for ax in figure.axes) == 5
    assert sum(ax.axison and not ax.images for ax in figure.axes) == 1  # the colour bar


def test_variation_counts_every_image_once_over_five_decades():
    """The axis of variation is logarithmic and that of images linear; what is below 1e-5 is in the first bin."""
    variations = {"max": RNG.random(500) / 4, "tri5": np.r_[10 ** RNG.uniform(-8, 0, 300), 0, 1e-5, 0.25, 1]}
    (ax,) = zhang.variation(variations).axes
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
    (ax,) = zhang.filter_tv(models).axes
    for line, (name, layers) in zip(ax.lines, models.items(), strict=True):
        assert line.get_label() == name
        assert list(line.get_xdata()) == list(layers)
        assert list(line.get_ydata()) == list(layers.values())


def test_filter_tv_course_has_a_panel_for_each_layer():
    models = {
        "max": {"epoch": np.array([1, 2]), "conv1_1": np.array([1.7, 1.5]), "conv1_2": np.array([1.6, 1.4])},
        "tri5": {"epoch": np.array([1, 2, 3]), "conv1_1": np.array([1.8, 1.2, 1.1])},
    }
    figure = zhang.filter_tv_course(models)
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert panels.keys() == {"conv1_1", "conv1_2"}
    assert [list(line.get_ydata()) for line in panels["conv1_1"].lines] == [[1.7, 1.5], [1.8, 1.2, 1.1]]
    assert list(panels["conv1_1"].lines[1].get_xdata()) == [1, 2, 3]
    assert len(panels["conv1_2"].lines) == 1


def test_stability_draws_curves_above_the_shifted_image():
    curves = {"max": RNG.random((3, 32)), "tri5": RNG.random((3, 32))}
    pixels = RNG.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    figure = zhang.stability(curves, pixels, ["cat", "dog", "ship"], thumbnails=4)
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
    without, with_shifts = zhang.accuracy_consistency(points).axes
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
    without, with_shifts = zhang.accuracy_consistency(points).axes
    assert [text.get_text() for text in without.texts] == ["max", "blur-tri5"]
    assert [text.get_text() for text in with_shifts.texts] == ["blur-tri5-aug-s0"]


def test_no_name_covers_a_point_or_another_name():
    """Not even those of points close together, at the edge."""
    places = [(0.9, 0.9), (0.9005, 0.9005), (0.901, 0.9), (0.95, 0.99), (0.9501, 0.99), (0.8, 0.7)]
    points = [Point(f"blur-name{i}", "tri", 5, False, *at, published=False) for i, at in enumerate(places)]
    figure = zhang.accuracy_consistency(points)
    figure.draw_without_rendering()
    ax, _ = figure.axes
    boxes = [Text.get_window_extent(name) for name in ax.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    markers = [ax.transData.transform(scatter.get_offsets())[0] for scatter in ax.collections]
    assert not any(box.contains(*at) for box in boxes for at in markers)
    panel = ax.get_window_extent()
    assert all(panel.contains(*box.min) and panel.contains(*box.max) for box in boxes)


def test_filters_of_ones_own_are_drawn_too():
    without, _ = zhang.accuracy_consistency([Point("mine", "gauss", 9, False, 0.9, 0.8, published=False)]).axes
    assert len(without.collections) == 1


def test_nothing_is_said_of_published_points_where_there_are_none():
    figure = zhang.accuracy_consistency([Point("mine", "tri", 5, False, 0.9, 0.8, published=False)])
    assert "published" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert [len(ax.get_xticks()) > 0 for ax in figure.axes] == [True, False]  # no numbers where there is no point


def test_forty_models_are_told_apart_and_their_names_stay_on_the_sheet():
    models = {f"a-rather-long-name-{i}": {"conv1_1": float(i), "conv1_2": 1.0} for i in range(40)}
    figure = zhang.filter_tv(models)
    (ax,) = figure.axes
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 40
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert ax.get_window_extent().height > 100
