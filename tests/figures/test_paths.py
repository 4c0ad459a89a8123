"""Figures of outputs along paths hold the data that they are given: artists' values, not pixels."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.container import BarContainer

from lit_shift.figures import paths
from lit_shift.figures.paths import Probabilities, SizeAccuracy
from lit_shift.figures.style import ErrorBar
from lit_shift.measures import along_paths
from tests.figures.artists import LONG, RNG, bands, intervals, labelled, names_fit

pytestmark = pytest.mark.filterwarnings("error")


def test_each_models_images_are_sorted_by_the_sum_of_their_row_along_its_own_path():
    models = {
        "max": Probabilities(np.arange(40, 240, 10), RNG.random((300, 20)), "row of the object"),
        "tri5": Probabilities(np.arange(5), RNG.random((7, 5)), "size in pixels"),
        LONG: Probabilities(np.arange(9), RNG.random((4, 9)), "row of the object"),
    }
    ends = {"max": (35, 235), "tri5": (-0.5, 4.5), LONG: (-0.5, 8.5)}
    figure = paths.correct_probability(models)
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
    figure = paths.correct_probability({"a": Probabilities(np.arange(8), rows, "row")})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (image,) = figure.axes[0].images
    inside = image.make_image(canvas.get_renderer())[0][20:-20, 20:-20, :3] / 255
    np.testing.assert_allclose(inside, np.broadcast_to(image.cmap(0.5)[:3], inside.shape), atol=0.05)


def test_missing_probabilities_are_drawn_as_missing():
    given = np.array([[0.1, np.nan, 0.3], [0.9, 0.8, np.nan]])
    (image,) = paths.correct_probability({"a": Probabilities(np.arange(3), given, "row")}).axes[0].images
    assert image.get_array().mask.tolist() == [[False, False, True], [False, True, False]]


def test_one_image_of_one_step_fills_its_panel():
    figure = paths.correct_probability({"a": Probabilities(np.array([7]), np.array([[0.3]]), "row")})
    assert figure.axes[0].images[0].get_extent() == [6.5, 7.5, 1, 0]


def test_ten_models_wrap_into_rows_without_empty_frames():
    models = {f"{LONG} {i}": Probabilities(np.arange(4), RNG.random((3, 4)), "row") for i in range(10)}
    figure = paths.correct_probability(models)
    assert sum(bool(ax.images) for ax in figure.axes) == 10
    assert sum(ax.axison and not ax.images for ax in figure.axes) == 1
    figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in figure.axes if ax.images]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


PROTOCOLS = ("embed", "scale", "circular")


def test_jaggedness_has_a_bar_and_an_interval_for_each_model_of_each_protocol():
    models = {
        "max": {
            "embed": {"mad": ErrorBar(0.2, 0.15, 0.26), "jaggedness_top1": ErrorBar(3, 2, 5)},
            "scale": {"jaggedness_top1": ErrorBar(4, 3.5, 4.5)},
        },
        "tri5": {"scale": {"jaggedness_top1": ErrorBar(1, 0.5, 1.25)}, "circular": {"mad": ErrorBar(0.1, 0.1, 0.1)}},
    }
    figure = paths.jaggedness(models)
    assert [ax.get_title() for ax in figure.axes] == [
        "times that the correct class enters or leaves the top 1 along the path",
        "mean absolute change of the correct class's probability per step",
    ]
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["embed", "scale", "circular"]
    for ax, measure in zip(figure.axes, ("jaggedness_top1", "mad"), strict=True):
        colours = set()
        drawn = [drawn for drawn in ax.collections if isinstance(drawn, LineCollection)]
        containers = [each for each in ax.containers if isinstance(each, BarContainer)]
        for bars, ends, (name, model) in zip(containers, drawn, models.items(), strict=True):
            assert bars.get_label() == name
            colours |= {bar.get_facecolor() for bar in bars}
            for bar, protocol in zip(bars, PROTOCOLS, strict=True):
                given = model.get(protocol, {}).get(measure)
                if given is None:
                    assert bar.get_height() == 0
                    continue
                assert bar.get_height() == given.mean
                middle = bar.get_x() + bar.get_width() / 2
                assert round(middle) == PROTOCOLS.index(protocol)
                (segment,) = (s for s in ends.get_segments() if len(s) and np.isclose(s[0, 0], middle))
                assert segment[:, 1] == pytest.approx([given.low, given.high])
        assert len(colours) == 2
        missing = sum(measure not in model.get(protocol, {}) for model in models.values() for protocol in PROTOCOLS)
        assert [text.get_text() for text in ax.texts].count("not measured") == missing


def test_jaggedness_of_ten_models_in_six_protocols_stays_readable():
    measures = {measure.name: measure.label for of_top in along_paths().values() for measure in of_top}
    found = {measure: ErrorBar(0.5, 0.4, 0.6) for measure in reversed(measures)}
    figure = paths.jaggedness({f"{LONG} {i}": {f"protocol {p}": found for p in range(6)} for i in range(10)})
    assert [ax.get_title() for ax in figure.axes] == list(measures.values())
    assert names_fit(figure)
    bars = figure.axes[0].patches
    boxes = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
    assert all(left[1] <= right[0] + 1e-9 for left, right in pairwise(boxes))
    assert min(bar.get_window_extent().width for bar in bars) > 5
    labels = [text.get_window_extent() for text in figure.axes[-1].get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(labels))


def test_an_image_alone_has_bars_without_intervals():
    alone = ErrorBar(2.0, np.nan, np.nan)
    (ax,) = paths.jaggedness({"a": {"embed": {"jaggedness_top5": alone}}}).axes
    assert [bar.get_height() for bar in ax.patches] == [2]


def test_accuracy_by_size_has_a_panel_for_each_k_with_intervals_at_some_sizes():
    sizes = np.arange(8, 33)
    models = {name: SizeAccuracy(sizes, {1: intervals(25), 5: intervals(25)}) for name in ("max", "tri5")}
    models[LONG] = SizeAccuracy(sizes[:2], {1: intervals(2)})
    figure = paths.accuracy_by_size(models)
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in figure.axes] == ["top 1", "top 5"]
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    for k, ax in zip((1, 5), figure.axes, strict=True):
        able = {name: model for name, model in models.items() if k in model.tops}
        assert [drawn.get_label() for drawn in ax.containers] == list(able)
        marked = []
        for drawn, model in zip(ax.containers, able.values(), strict=True):
            line, _, (bars,) = drawn
            mean, low, high = model.tops[k].T
            assert (list(line.get_xdata()), list(line.get_ydata())) == (model.sizes.tolist(), mean.tolist())
            ends = {segment[0, 0]: segment[:, 1] for segment in bars.get_segments()}
            marked.append(list(ends))
            for x, drawn_ends in ends.items():
                at = model.sizes.tolist().index(x)
                assert list(drawn_ends) == pytest.approx([low[at], high[at]])
        assert min(map(len, marked)) >= 1
        assert max(map(len, marked)) <= 8
        assert not set(marked[0]) & set(marked[1])  # not on top of each other
    assert names_fit(figure)


def test_without_top_5_there_is_one_panel():
    (ax,) = paths.accuracy_by_size({"a": SizeAccuracy(np.array([32]), {1: intervals(1)})}).axes
    assert ax.get_title() == "top 1"


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 12), (12, 8)])
def test_film_shows_frames_undistorted_above_their_places(count, height, width):
    positions = np.arange(10, 60)
    places = np.linspace(10, 59, count)
    frames = RNG.integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    curves = {"max": RNG.random(50), LONG: RNG.random(50)}
    curves["max"][3:5] = np.nan
    figure = paths.film(frames, places, curves, positions, "row of the object", "test image 3: cat")
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
    figure = paths.film(frames, np.array([3]), {"a": np.array([0.4])}, np.array([3]), "row", "cat")
    figure.draw_without_rendering()
    strip, ax = figure.axes
    assert labelled(ax)["a"].get_marker() == "o"
    assert strip.images[0].get_window_extent().width < figure.bbox.width / 4


def test_cost_doubles_along_its_axis():
    models = {
        "max": {"passes": np.array([1, 2, 4, 8]), "rate": intervals(4), "consistency": intervals(4)},
        LONG: {"passes": np.array([1, 3]), "rate": intervals(2), "consistency": intervals(2)},
    }
    figure = paths.cost(models)
    assert [ax.get_title() for ax in figure.axes] == ["accuracy", "consistency"]
    assert paths.cost(models, "agreement").axes[0].get_title() == "agreement"
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
    figure = paths.cost({"a": {"passes": np.array([1]), "rate": given, "consistency": given}})
    figure.draw_without_rendering()
    for ax in figure.axes:
        (segments,) = (drawn.get_segments() for drawn in ax.collections if isinstance(drawn, LineCollection))
        assert segments[0][:, 1].tolist() == given[0, 1:].tolist()
        assert [text.get_text() for text in ax.get_xticklabels()] == ["1"]
