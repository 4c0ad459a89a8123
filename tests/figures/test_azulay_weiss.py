"""Azulay & Weiss's figures hold the data that they are given: artists' values, not pixels."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection, LineCollection

from lit_shift import figures
from lit_shift.figures import (
    Interval,
    LayerNonShiftability,
    NonShiftabilityByDepth,
    Probabilities,
    SizeAccuracy,
    SumCurves,
)
from lit_shift.measures import along_paths

RNG = np.random.default_rng(0)
LONG = "torchvision inception_resnet_v2"
pytestmark = pytest.mark.filterwarnings("error")


def intervals(size):
    mean = RNG.random(size)
    return np.stack([mean, mean - 0.1 * RNG.random(size), mean + 0.1 * RNG.random(size)], axis=1)


def band(collection):
    """The places, lower and upper ends of what fill_between has drawn."""
    (path,) = collection.get_paths()
    ends = {}
    for x, y in path.vertices:
        low, high = ends.get(x, (y, y))
        ends[x] = (min(low, y), max(high, y))
    return [(x, *ends[x]) for x in sorted(ends)]


def bands(ax):
    return [band(drawn) for drawn in ax.collections if isinstance(drawn, FillBetweenPolyCollection)]


def labelled(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def names_fit(figure):
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1


def shade(ax):
    """The lower and the upper end of the band in which a sum does not depart."""
    (drawn,) = ax.patches
    return drawn.get_y(), drawn.get_y() + drawn.get_height()


def test_each_models_images_are_sorted_by_the_sum_of_their_row_along_its_own_path():
    models = {
        "max": Probabilities(np.arange(40, 240, 10), RNG.random((300, 20)), "row of the object"),
        "tri5": Probabilities(np.arange(5), RNG.random((7, 5)), "size in pixels"),
        LONG: Probabilities(np.arange(9), RNG.random((4, 9)), "row of the object"),
    }
    ends = {"max": (35, 235), "tri5": (-0.5, 4.5), LONG: (-0.5, 8.5)}
    figure = figures.correct_probability(models)
    panels = {ax.get_title(): ax for ax in figure.axes if ax.images}
    for name, given in models.items():
        (image,) = panels[name].images
        expected = sorted(given.probability.tolist(), key=lambda row: -sum(row))
        assert image.get_array().tolist() == expected
        assert image.get_clim() == (0, 1)
        left, right, bottom, top = image.get_extent()
        assert (left, right) == panels[name].get_xlim() == ends[name]
        assert bottom > top == 0  # the first row is the uppermost
        assert panels[name].get_xlabel() == given.along
    assert sum(not ax.images and ax.axison for ax in figure.axes) == 1  # the colour bar


def test_probabilities_of_many_images_are_averaged_not_sampled():
    """Every second image is certain, all others are not: the mean of neighbours is a half, wherever rows are merged."""
    rows = np.zeros((4000, 8))
    rows[::2, ::2] = rows[1::2, 1::2] = 1  # a checkerboard of rows of equal sums, which keep their order
    figure = figures.correct_probability({"a": Probabilities(np.arange(8), rows, "row")})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (image,) = figure.axes[0].images
    inside = image.make_image(canvas.get_renderer())[0][20:-20, 20:-20, :3] / 255
    np.testing.assert_allclose(inside, np.broadcast_to(image.cmap(0.5)[:3], inside.shape), atol=0.05)


def test_missing_probabilities_are_drawn_as_missing():
    given = np.array([[0.1, np.nan, 0.3], [0.9, 0.8, np.nan]])
    (image,) = figures.correct_probability({"a": Probabilities(np.arange(3), given, "row")}).axes[0].images
    assert image.get_array().mask.tolist() == [[False, False, True], [False, True, False]]


def test_one_image_of_one_step_fills_its_panel():
    figure = figures.correct_probability({"a": Probabilities(np.array([7]), np.array([[0.3]]), "row")})
    assert figure.axes[0].images[0].get_extent() == [6.5, 7.5, 1, 0]


def test_ten_models_wrap_into_rows_without_empty_frames():
    models = {f"{LONG} {i}": Probabilities(np.arange(4), RNG.random((3, 4)), "row") for i in range(10)}
    figure = figures.correct_probability(models)
    assert sum(bool(ax.images) for ax in figure.axes) == 10
    assert sum(ax.axison and not ax.images for ax in figure.axes) == 1
    figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in figure.axes if ax.images]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


def test_jaggedness_has_a_bar_and_an_interval_for_each_model_of_each_protocol():
    models = {
        "max": {
            "embed": {"mad": Interval(0.2, 0.15, 0.26), "jaggedness_top1": Interval(3, 2, 5)},
            "scale": {"jaggedness_top1": Interval(4, 3.5, 4.5)},
        },
        "tri5": {"scale": {"jaggedness_top1": Interval(1, 0.5, 1.25)}, "circular": {"mad": Interval(0.1, 0.1, 0.1)}},
    }
    figure = figures.jaggedness(models)
    assert [ax.get_title() for ax in figure.axes] == [
        "times that the correct class enters or leaves the top 1 along the path",
        "mean absolute change of the correct class's probability per step",
    ]
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["embed", "scale", "circular"]
    for ax, measure in zip(figure.axes, ("jaggedness_top1", "mad"), strict=True):
        colours = set()
        drawn = [drawn for drawn in ax.collections if isinstance(drawn, LineCollection)]
        for bars, ends, (name, model) in zip(ax.containers, drawn, models.items(), strict=True):
            assert bars.get_label() == name
            colours |= {bar.get_facecolor() for bar in bars}
            for bar, protocol in zip(bars, ("embed", "scale", "circular"), strict=True):
                given = model.get(protocol, {}).get(measure)
                if given is None:
                    assert np.isnan(bar.get_height())
                    continue
                assert bar.get_height() == given.mean
                middle = bar.get_x() + bar.get_width() / 2
                assert round(middle) == ("embed", "scale", "circular").index(protocol)
                (segment,) = (s for s in ends.get_segments() if len(s) and np.isclose(s[0, 0], middle))
                assert segment[:, 1].tolist() == [given.low, given.high]
        assert len(colours) == 2


def test_jaggedness_of_ten_models_in_six_protocols_stays_readable():
    measures = {measure.name: measure.label for of_top in along_paths().values() for measure in of_top}
    found = {measure: Interval(0.5, 0.4, 0.6) for measure in reversed(measures)}
    figure = figures.jaggedness({f"{LONG} {i}": {f"protocol {p}": found for p in range(6)} for i in range(10)})
    assert [ax.get_title() for ax in figure.axes] == list(measures.values())
    assert names_fit(figure)
    bars = [bar for bars in figure.axes[0].containers for bar in bars]
    boxes = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
    assert all(left[1] <= right[0] + 1e-9 for left, right in pairwise(boxes))
    assert min(bar.get_window_extent().width for bar in bars) > 5
    labels = [text.get_window_extent() for text in figure.axes[-1].get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(labels))


def test_an_image_alone_has_bars_without_intervals():
    alone = Interval(2.0, np.nan, np.nan)
    (ax,) = figures.jaggedness({"a": {"embed": {"jaggedness_top5": alone}}}).axes
    assert [bar.get_height() for bar in ax.containers[0]] == [2]


def test_feature_maps_lie_below_the_frames_that_bring_them_about():
    frames = RNG.integers(0, 256, (4, 3, 12, 10), dtype=np.uint8)
    maps = {"conv1_1": RNG.random((4, 12, 10)), "pool5": 7 * RNG.random((4, 2, 3)), "dead": np.zeros((4, 1, 1))}
    figure = figures.feature_maps(maps, frames, [3, 5, 7, 9], "row of the object", 0.3)
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
    figure = figures.feature_maps({LONG: np.ones((1, 2, 2))}, np.zeros((1, 3, 4, 4), np.uint8), [1.5], "row", 0.2)
    figure.draw_without_rendering()
    assert figure.axes[-1].lines[0].get_ydata() == pytest.approx([1])


IMAGES = 4
VGG = [("conv1_1", 1, False), ("conv1_2", 2, False), ("pool1", 2, True)]
DEEP = [(f"conv{i}", i, False) for i in range(1, 61)]


def measured(layers, steps=9, tolerance=0.2):
    rows = zip(layers, intervals(len(layers)), strict=True)
    found = [LayerNonShiftability(*layer, Interval(*ends)) for layer, ends in rows]
    return NonShiftabilityByDepth(found, steps, tolerance, steps * RNG.random((IMAGES, len(layers))))


def drawn_by_depth(ax):
    """The lines of single images, and the markers: what has no label."""
    unlabelled = [line for line in ax.lines if line.get_label().startswith("_")]
    return [line for line in unlabelled if line.get_marker() == "None"], [
        line for line in unlabelled if line.get_marker() != "None"
    ]


def test_nonshiftability_of_networks_of_the_same_layers_is_drawn_by_their_names():
    models = {"max": measured(VGG), LONG: measured(VGG)}
    figure = figures.nonshiftability(models)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["conv1_1", "conv1_2", "pool1"]
    lines = labelled(ax)
    assert list(lines) == ["max", LONG, "convolution", "pool"]
    for (name, (layers, *_)), drawn in zip(models.items(), bands(ax), strict=True):
        assert list(lines[name].get_xdata()) == [0, 1, 2]
        assert list(lines[name].get_ydata()) == [layer.interval.mean for layer in layers]
        assert drawn == [(x, layer.interval.low, layer.interval.high) for x, layer in enumerate(layers)]
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
    (ax,) = figures.nonshiftability({"max": measured(VGG), "b": measured(other)}).axes
    lines = labelled(ax)
    assert list(lines["max"].get_xdata()) == places
    last = max(depth for _, depth, _ in other)
    expected = [depth if places[-1] == 2 else depth / last for _, depth, _ in other]
    assert list(lines["b"].get_xdata()) == expected


def test_on_paths_of_different_lengths_it_is_the_share_of_the_steps_that_is_drawn():
    models = {"max": measured(VGG, steps=5), "b": measured(VGG, steps=9), "c": measured(VGG, steps=5)}
    (ax,) = figures.nonshiftability(models).axes
    lines = labelled(ax)
    single, marked = map(iter, drawn_by_depth(ax))
    for (name, (layers, steps, _, images)), drawn in zip(models.items(), bands(ax), strict=True):
        for image in images:
            assert next(single).get_ydata() == pytest.approx(image / steps)
        mean, low, high = np.array([layer.interval for layer in layers]).T / steps
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
    figure = figures.nonshiftability(models)
    (ax,) = figure.axes
    assert ax.get_ylabel() == f"steps at which\na sum changes by over {text}"


@pytest.mark.parametrize("names", [VGG, [(f"features.denseblock{layer}", 1, False) for layer in range(4)]])
def test_what_the_axis_says_fits_the_sheet(names):
    figure = figures.nonshiftability({"a": measured(names, 5, 0.2), LONG: measured(names, 9, 0.1)})
    figure.draw_without_rendering()
    box = figure.axes[0].yaxis.label.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.y1


def test_layers_too_many_to_be_named_are_numbered():
    (ax,) = figures.nonshiftability({"a": measured(DEEP)}).axes
    assert list(labelled(ax)) == ["a", "convolution"]
    assert list(labelled(ax)["a"].get_xdata()) == list(range(1, 61))
    assert ax.get_xlabel() == "convolutions passed"


def test_one_layer_has_an_interval_too():
    layers = [LayerNonShiftability("c", 1, False, Interval(3, 2, 5))]
    (ax,) = figures.nonshiftability({"a": NonShiftabilityByDepth(layers, 9, 0.2, np.array([[1], [5]]))}).axes
    (segments,) = (drawn.get_segments() for drawn in ax.collections if isinstance(drawn, LineCollection))
    assert segments[0].tolist() == [[0, 2], [0, 5]]


def test_sums_are_relative_to_their_mean_and_the_strongest_are_drawn():
    curves = SumCurves(np.arange(5, 11), RNG.random((6, 9)) * np.arange(1, 10), "row of the object", 0.1)
    curves.sums[0] *= 9  # reaches beyond the others
    few = SumCurves(np.arange(3), RNG.random((3, 2)), "size in pixels", 0.2)
    figure = figures.sums({"max": {"embed": curves, "scale": few}, LONG: {"embed": few}}, most=4)
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
    assert shade(panels["max: scale"]) == shade(panels[f"{LONG}: embed"]) == pytest.approx((0.8, 1.2))
    figure.draw_without_rendering()
    assert panels["max: embed"].get_ylim() == panels[f"{LONG}: embed"].get_ylim() != panels["max: scale"].get_ylim()


def test_sums_along_paths_of_different_lengths_have_each_their_own_positions():
    short, long = (SumCurves(np.arange(steps), RNG.random((steps, 3)), "row", 0.2) for steps in (5, 9))
    figure = figures.sums({"a": {"embed": short}, "b": {"embed": long}, "c": {"embed": short}})
    figure.draw_without_rendering()
    first, second, third = (ax.get_xlim() for ax in figure.axes)
    assert -1 < first[0] < 0 < 4 < first[1] < 5
    assert -1 < second[0] < 0 < 8 < second[1] < 9
    assert third == first
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    assert all(label.get_visible() for ax in figure.axes for label in ax.get_xticklabels())


def test_maps_that_never_respond_have_no_relative_sum():
    summed = np.stack([np.zeros(4), np.array([1.0, 3, 1, 3])], axis=1)
    (ax,) = figures.sums({"a": {"embed": SumCurves(np.arange(4), summed, "row", 0.2)}}).axes
    alive, dead = (line.get_ydata() for line in ax.lines)
    assert alive.tolist() == [0.5, 1.5, 0.5, 1.5]
    assert np.isnan(dead).all()


def test_the_sum_of_one_map_at_one_step_is_a_dot():
    (ax,) = figures.sums({"a": {"embed": SumCurves(np.array([3]), np.array([[5.0]]), "row", 0.2)}}).axes
    (line,) = ax.lines
    assert (line.get_marker(), list(line.get_ydata())) == ("o", [1])


def test_accuracy_by_size_has_top_5_dashed_in_the_models_colour():
    sizes = np.array([32, 64, 128])
    models = {"max": SizeAccuracy(sizes, intervals(3), intervals(3)), LONG: SizeAccuracy(sizes[:2], intervals(2))}
    figure = figures.accuracy_by_size(models)
    (ax,) = figure.axes
    top1, top5, alone, *_ = ax.lines
    assert list(labelled(ax)) == ["max", LONG, "top 1", "top 5"]
    assert [line.get_linestyle() for line in (top1, top5, alone)] == ["-", "--", "-"]
    assert top1.get_color() == top5.get_color() != alone.get_color()
    given = [(sizes, models["max"].top1), (sizes, models["max"].top5), (sizes[:2], models[LONG].top1)]
    for line, drawn, (places, of_size) in zip((top1, top5, alone), bands(ax), given, strict=True):
        assert list(line.get_xdata()) == list(places)
        assert list(line.get_ydata()) == list(of_size[:, 0])
        assert drawn == [(x, low, high) for x, (_, low, high) in zip(places, of_size, strict=True)]
    assert names_fit(figure)


def test_without_top_5_no_line_is_dashed():
    (ax,) = figures.accuracy_by_size({"a": SizeAccuracy(np.array([32]), intervals(1))}).axes
    assert list(labelled(ax)) == ["a"]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 12), (12, 8)])
def test_film_shows_frames_undistorted_above_their_places(count, height, width):
    positions = np.arange(10, 60)
    places = np.linspace(10, 59, count)
    frames = RNG.integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    curves = {"max": RNG.random(50), LONG: RNG.random(50)}
    curves["max"][3:5] = np.nan
    figure = figures.film(frames, places, curves, positions, "row of the object", "test image 3: cat")
    figure.draw_without_rendering()
    strip, ax = figure.axes
    assert strip.get_title() == "test image 3: cat"
    for name, line in labelled(ax).items():
        if name in curves:
            np.testing.assert_array_equal(line.get_data(), (positions, curves[name]))
    above, below = strip.get_window_extent(), ax.get_window_extent()
    assert above.y0 > below.y1
    assert (above.x0, above.x1) == pytest.approx((below.x0, below.x1), abs=0.5)
    assert ax.get_xlim() == strip.get_xlim()
    boxes = []
    for image, frame, place in zip(strip.images, frames, places, strict=True):
        assert np.array_equal(np.moveaxis(image.get_array(), 2, 0), frame)
        left, right, *_ = image.get_extent()
        assert (left + right) / 2 == pytest.approx(place)
        assert ax.get_xlim()[0] - 1e-9 <= left < right <= ax.get_xlim()[1] + 1e-9
        boxes.append(image.get_window_extent())
        assert boxes[-1].height / boxes[-1].width == pytest.approx(height / width, rel=0.02)
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    assert names_fit(figure)


def test_film_of_one_step_is_a_dot_below_a_frame_of_ordinary_size():
    frames = np.zeros((1, 3, 8, 8), np.uint8)
    figure = figures.film(frames, np.array([3]), {"a": np.array([0.4])}, np.array([3]), "row", "cat")
    figure.draw_without_rendering()
    strip, ax = figure.axes
    assert labelled(ax)["a"].get_marker() == "o"
    assert strip.images[0].get_window_extent().width < figure.bbox.width / 4


def test_cost_doubles_along_its_axis():
    models = {
        "max": {"passes": np.array([1, 2, 4, 8]), "rate": intervals(4), "consistency": intervals(4)},
        LONG: {"passes": np.array([1, 3]), "rate": intervals(2), "consistency": intervals(2)},
    }
    figure = figures.cost(models)
    assert [ax.get_title() for ax in figure.axes] == ["accuracy", "consistency"]
    assert figures.cost(models, "agreement").axes[0].get_title() == "agreement"
    for ax in figure.axes:
        assert ax.get_xscale() == "log"
        assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "4", "8"]
        for line, drawn, (name, model) in zip(ax.lines, bands(ax), models.items(), strict=True):
            given = model["consistency" if ax.get_title() == "consistency" else "rate"]
            assert line.get_label() == name
            assert list(line.get_xdata()) == list(model["passes"])
            assert list(line.get_ydata()) == list(given[:, 0])
            assert drawn == [(x, *ends) for x, ends in zip(model["passes"], given[:, 1:].tolist(), strict=True)]
    assert names_fit(figure)


def test_cost_of_a_single_pass_is_a_point_with_its_interval():
    given = intervals(1)
    figure = figures.cost({"a": {"passes": np.array([1]), "rate": given, "consistency": given}})
    figure.draw_without_rendering()
    for ax in figure.axes:
        (segments,) = (drawn.get_segments() for drawn in ax.collections if isinstance(drawn, LineCollection))
        assert segments[0][:, 1].tolist() == given[0, 1:].tolist()
        assert [text.get_text() for text in ax.get_xticklabels()] == ["1"]
