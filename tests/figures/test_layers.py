"""Figures of layers along paths hold the data that they are given: artists' values, not pixels."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from lit_shift.figures import layers
from lit_shift.figures.layers import NonShiftabilityByDepth, SumCurves
from tests.figures.artists import LONG, RNG, bands, intervals, labelled, names_fit

pytestmark = pytest.mark.filterwarnings("error")
IMAGES = 4
VGG = [("conv1_1", 1, False), ("conv1_2", 2, False), ("pool1", 2, True)]
DEEP = [(f"conv{i}", i, False) for i in range(1, 61)]


def shade(ax):
    """The lower and the upper end of the band in which a sum does not depart."""
    (drawn,) = ax.patches
    return drawn.get_y(), drawn.get_y() + drawn.get_height()


def measured(network, steps=9, tolerance=0.2):
    columns = map(np.array, zip(*network, strict=True))
    images = steps * RNG.random((IMAGES, len(network)))
    return NonShiftabilityByDepth(*columns, intervals(len(network)), images, steps, tolerance)


def drawn_by_depth(ax):
    """The lines of single images, and the markers: what has no label."""
    unlabelled = [line for line in ax.lines if line.get_label().startswith("_")]
    return [line for line in unlabelled if line.get_marker() == "None"], [
        line for line in unlabelled if line.get_marker() != "None"
    ]


def test_feature_maps_lie_below_the_frames_that_bring_them_about():
    frames = RNG.integers(0, 256, (4, 3, 12, 10), dtype=np.uint8)
    maps = {"conv1_1": RNG.random((4, 12, 10)), "pool5": 7 * RNG.random((4, 2, 3)), "dead": np.zeros((4, 1, 1))}
    figure = layers.feature_maps(maps, frames, [3, 5, 7, 9], "row of the object", 0.3)
    rows = np.array(figure.axes).reshape(4, 5)
    assert [ax.get_title() for ax in rows[0, :4]] == ["3", "5", "7", "9"]
    assert [row[0].get_ylabel() for row in rows] == [
        "input\n[12x10]",
        "conv1_1\n[12x10]",
        "pool5\n[2x3]",
        "dead\n[1x1]",
    ]
    for column in range(4):
        assert np.array_equal(np.moveaxis(rows[0, column].images[0].get_array(), 2, 0), frames[column])
    for row, given in zip(rows[1:], maps.values(), strict=True):
        for column in range(4):
            (image,) = row[column].images
            assert np.array_equal(image.get_array(), given[column])
            assert image.get_clim() == (0, given.max() or 1)
        totals = [one.sum() for one in given]
        (line,) = row[4].lines
        assert list(line.get_xdata()) == [3, 5, 7, 9]
        if any(totals):
            assert line.get_ydata() == pytest.approx([total / (sum(totals) / 4) for total in totals])
        else:
            assert np.isnan(line.get_ydata()).all()
        assert shade(row[4]) == pytest.approx((0.7, 1.3))
    figure.draw_without_rendering()
    assert len({ax.get_ylim() for ax in rows[1:, 4]}) == 1


def test_one_frame_of_one_layer():
    figure = layers.feature_maps({LONG: np.ones((1, 2, 2))}, np.zeros((1, 3, 4, 4), np.uint8), [1.5], "row", 0.2)
    figure.draw_without_rendering()
    assert figure.axes[-1].lines[0].get_ydata() == pytest.approx([1])


def test_nonshiftability_of_networks_of_the_same_layers_is_drawn_by_their_names():
    models = {"max": measured(VGG), LONG: measured(VGG)}
    figure = layers.nonshiftability(models)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["conv1_1", "conv1_2", "pool1"]
    lines = labelled(ax)
    assert list(lines) == ["max", LONG, "convolution", "pool"]
    for (name, model), drawn in zip(models.items(), bands(ax), strict=True):
        assert list(lines[name].get_xdata()) == [0, 1, 2]
        assert list(lines[name].get_ydata()) == model.intervals[:, 0].tolist()
        assert drawn == [(x, low, high) for x, (_, low, high) in enumerate(model.intervals)]
    assert ax.get_ylabel() == "steps at which\na sum changes by over 20%"
    single, marked = drawn_by_depth(ax)
    assert [(line.get_marker(), list(line.get_xdata())) for line in marked] == [("o", [0, 1]), ("s", [2])] * 2
    given = [(lines[name].get_color(), image.tolist()) for name, model in models.items() for image in model.images]
    assert [(line.get_color(), list(line.get_ydata())) for line in single] == given
    assert all(line.get_linewidth() < lines["max"].get_linewidth() / 2 for line in single)
    assert names_fit(figure)


@pytest.mark.parametrize(
    ("other", "places"),
    [
        ([("a", 1, False), ("b", 2, False), ("c", 3, True)], [1, 2, 2]),  # as many layers, others
        ([("a", 1, False), ("b", 2, True)], [0.5, 1, 1]),
        (DEEP, [0.5, 1, 1]),
    ],
)
def test_nonshiftability_of_other_networks_is_drawn_by_depth(other, places):
    (ax,) = layers.nonshiftability({"max": measured(VGG), "b": measured(other)}).axes
    lines = labelled(ax)
    assert list(lines["max"].get_xdata()) == places
    last = max(depth for _, depth, _ in other)
    expected = [depth if places[-1] == 2 else depth / last for _, depth, _ in other]
    assert list(lines["b"].get_xdata()) == expected


def test_on_paths_of_different_lengths_it_is_the_share_of_the_steps_that_is_drawn():
    models = {"max": measured(VGG, steps=5), "b": measured(VGG, steps=9), "c": measured(VGG, steps=5)}
    (ax,) = layers.nonshiftability(models).axes
    lines = labelled(ax)
    single, marked = map(iter, drawn_by_depth(ax))
    for (name, model), drawn in zip(models.items(), bands(ax), strict=True):
        for image in model.images:
            assert next(single).get_ydata() == pytest.approx(image / model.steps)
        mean, low, high = model.intervals.T / model.steps
        assert lines[name].get_ydata() == pytest.approx(mean)
        assert np.array(drawn)[:, 1:] == pytest.approx(np.stack([low, high], axis=1))
        assert [*next(marked).get_ydata(), *next(marked).get_ydata()] == pytest.approx(mean)
    assert ax.get_ylabel() == "share of the steps at which\na sum changes by over 20%"
    text = ax.yaxis.get_major_formatter()(0.5)
    assert (float(text[:-1]), text[-1]) == (50, "%")


@pytest.mark.parametrize(
    ("tolerances", "text"),
    [((0.1,), "10%"), ((0.2, 0.1), "10% or 20%"), ((0.07, 0.07), "7%"), ((0.125, 0), "0% or 12.5%")],
)
def test_every_tolerance_is_named(tolerances, text):
    models = {str(i): measured(VGG, tolerance=tolerance) for i, tolerance in enumerate(tolerances)}
    figure = layers.nonshiftability(models)
    (ax,) = figure.axes
    assert ax.get_ylabel() == f"steps at which\na sum changes by over {text}"


@pytest.mark.parametrize("names", [VGG, [(f"features.denseblock{layer}", 1, False) for layer in range(4)]])
def test_what_the_axis_says_fits_the_sheet(names):
    figure = layers.nonshiftability({"a": measured(names, 5, 0.2), LONG: measured(names, 9, 0.1)})
    figure.draw_without_rendering()
    box = figure.axes[0].yaxis.label.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.y1


def test_layers_too_many_to_be_named_are_numbered():
    (ax,) = layers.nonshiftability({"a": measured(DEEP)}).axes
    assert list(labelled(ax)) == ["a", "convolution"]
    assert list(labelled(ax)["a"].get_xdata()) == list(range(1, 61))
    assert ax.get_xlabel() == "convolutions passed"


def test_one_layer_has_an_interval_too():
    only = [np.array([value]) for value in ("c", 1, False, (3, 2, 5))]
    (ax,) = layers.nonshiftability({"a": NonShiftabilityByDepth(*only, np.array([[1], [5]]), 9, 0.2)}).axes
    (segments,) = (drawn.get_segments() for drawn in ax.collections if isinstance(drawn, LineCollection))
    assert segments[0].tolist() == [[0, 2], [0, 5]]


def test_sums_are_relative_to_their_mean_and_the_strongest_are_drawn():
    curves = SumCurves(np.arange(5, 11), RNG.random((6, 9)) * np.arange(1, 10), "row of the object", 0.1)
    curves.sums[0] *= 9  # reaches beyond the others
    few = SumCurves(np.arange(3), RNG.random((3, 2)), "size in pixels", 0.2)
    figure = layers.sums({"max": {"embed": curves, "scale": few}, LONG: {"embed": few}}, most=4)
    panels = {ax.get_title(): ax for ax in figure.axes if ax.axison}
    assert list(panels) == ["max: embed", "max: scale", f"{LONG}: embed"]
    strongest = sorted(range(9), key=lambda c: -curves.sums[:, c].sum())[:4]
    assert len(panels["max: embed"].lines) == 4
    for line, channel in zip(panels["max: embed"].lines, strongest, strict=True):
        mean = sum(curves.sums[s, channel] for s in range(6)) / 6
        assert line.get_ydata() == pytest.approx([curves.sums[s, channel] / mean for s in range(6)])
        assert list(line.get_xdata()) == [5, 6, 7, 8, 9, 10]
    assert len(panels["max: scale"].lines) == 2
    assert panels["max: scale"].get_xlabel() == "size in pixels"
    assert shade(panels["max: embed"]) == pytest.approx((0.9, 1.1))
    said = "Each line: one feature map of the last layer.\nShaded: within 10% or 20% of its mean along the path."
    assert said in [text.get_text() for text in figure.texts]
    assert shade(panels["max: scale"]) == shade(panels[f"{LONG}: embed"]) == pytest.approx((0.8, 1.2))
    figure.draw_without_rendering()
    assert panels["max: embed"].get_ylim() == panels[f"{LONG}: embed"].get_ylim() != panels["max: scale"].get_ylim()


def test_sums_along_paths_of_different_lengths_have_each_their_own_positions():
    short, long = (SumCurves(np.arange(steps), RNG.random((steps, 3)), "row", 0.2) for steps in (5, 9))
    figure = layers.sums({"a": {"embed": short}, "b": {"embed": long}, "c": {"embed": short}})
    figure.draw_without_rendering()
    first, second, third = (ax.get_xlim() for ax in figure.axes)
    assert -1 < first[0] < 0 < 4 < first[1] < 5
    assert -1 < second[0] < 0 < 8 < second[1] < 9
    assert third == first
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    assert all(label.get_visible() for ax in figure.axes for label in ax.get_xticklabels())


def test_maps_that_never_respond_have_no_relative_sum():
    summed = np.stack([np.zeros(4), np.array([1.0, 3, 1, 3])], axis=1)
    (ax,) = layers.sums({"a": {"embed": SumCurves(np.arange(4), summed, "row", 0.2)}}).axes
    alive, dead = (line.get_ydata() for line in ax.lines)
    assert alive.tolist() == [0.5, 1.5, 0.5, 1.5]
    assert np.isnan(dead).all()


def test_the_sum_of_one_map_at_one_step_is_a_dot():
    (ax,) = layers.sums({"a": {"embed": SumCurves(np.array([3]), np.array([[5.0]]), "row", 0.2)}}).axes
    (line,) = ax.lines
    assert (line.get_marker(), list(line.get_ydata())) == ("o", [1])
