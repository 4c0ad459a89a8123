import numpy as np
import pytest

from lit_shift import published
from lit_shift.results import gallery, path_figures, shift_figures
from lit_shift.results.images import by_images
from lit_shift.utils.errors import InputError
from tests.findings import OF_ZHANG, arrays, findings
from tests.results.page.test_paths import model, under

HISTORY = [{"epoch": 1, "tv/conv1_1": 1.7}, {"epoch": 2}, {"epoch": 3, "tv/conv1_1": 1.5}]


@pytest.fixture
def models():
    return [
        findings("max", pool="max", arrays=arrays(0), history=HISTORY),
        findings("tri5", arrays=arrays(1, shown=(1, 5), chosen=(5,)), history=HISTORY),
    ]


def test_every_figure_of_the_paper_for_two_models(models):
    drawn = gallery.draw(models)
    assert set(drawn) == OF_ZHANG
    lines = {name: [line.get_label() for line in drawn[name].axes[0].lines] for name in ("filter_tv", "stability")}
    assert lines == {"filter_tv": ["max", "tri5"], "stability": ["max", "tri5"]}
    assert list(drawn["filter_tv_course"].axes[0].lines[0].get_xdata()) == [1, 3]
    variations = drawn["variation"].axes[0].patches[0].get_data()
    assert variations.values.sum() == 6


def test_what_was_not_measured_is_not_drawn():
    assert set(gallery.draw([findings("bare")])) == {"accuracy_consistency", "filter_tv"}


def test_models_take_turns_in_choosing_images(models):
    first, second = shift_figures.stability(models).axes[::2]
    assert [ax.get_title() for ax in (first, second)] == ["test image 4: dog", "test image 5: ship"]
    assert np.array_equal(first.lines[1].get_ydata(), models[1].arrays["diagonal"][4])


def test_an_image_is_called_by_its_file_where_a_run_knows_it(models):
    models[0].arrays["shown_names"] = np.array(["cat/0001.jpg", "dog/0004.jpg"])
    titles = [ax.get_title() for ax in shift_figures.stability(models).axes[::2]]
    assert titles == ["dog/0004.jpg: dog", "test image 5: ship"]


def test_an_image_that_no_model_keeps_is_left_out(models):
    models[0].arrays["chosen"] = np.array([3, 4])
    assert [ax.get_title() for ax in shift_figures.stability(models[:1]).axes[::2]] == ["test image 4: dog"]


def test_all_published_points_are_drawn_beside_the_models(models):
    panels = gallery.draw(models)["accuracy_consistency"].axes
    points = [scatter.get_offsets()[0] for ax in panels for scatter in ax.collections]
    assert len(points) == 38 + 2
    for row in published.load("zhang_table1"):
        expected = (float(row["accuracy"]), float(row["consistency"]))
        assert any(np.allclose(point, expected) for point in points)


def test_runs_of_other_data_have_axes_of_their_own():
    panels = gallery.draw([findings("digits", data="digits")])["accuracy_consistency"].axes
    assert [len(ax.collections) for ax in panels] == [1, 0]


def test_models_are_grouped_by_their_test_images():
    """Those that keep images by these, wherever the folder is; others by their data; each in one group."""
    here, there = ({"data": "imagefolder", "data__root": f"{folder}/jpeg"} for folder in ("here", "there"))
    digits = arrays(1)
    digits["pixels"] = 255 - digits["pixels"]
    models = [
        findings("max", arrays=arrays(0)),
        findings("digits", data="digits", arrays=digits),
        findings("more digits", data="digits"),
        findings("here", arrays=arrays(2) | {"labels": np.ones(6, int)}, **here),
        findings("there", arrays=arrays(3) | {"labels": np.ones(6, int)}, **there),
        findings("bare", **there),
        findings("other", arrays=arrays(4) | {"pixels": np.zeros((2, 3, 32, 32), np.uint8)}, **here),
        findings("moved", filter="rect3", data__root="elsewhere"),
    ]
    groups = {name: [model.name for model in group] for name, group in by_images(models).items()}
    assert groups == {
        "cifar10": ["max", "moved"],
        "digits": ["digits", "more digits"],
        "imagefolder-jpeg": ["here", "there", "bare"],
        "imagefolder-jpeg-2": ["other"],
    }
    for group in by_images(models).values():
        assert "accuracy_consistency" in gallery.draw(group)


def test_runs_of_other_sizes_or_other_images_share_no_picture(models):
    larger = findings("larger", arrays=arrays(2) | {"pixels": np.zeros((2, 3, 64, 64), np.uint8)})
    with pytest.raises(InputError, match="max; larger: these were measured on different images"):
        gallery.draw([models[0], larger])
    others = arrays(2) | {"labels": models[0].arrays["labels"][::-1]}
    with pytest.raises(InputError, match="max; others: these were measured on different images"):
        gallery.draw([models[0], findings("others", arrays=others)])


def test_a_run_that_has_seen_fewer_of_the_images_is_drawn_where_it_can(models):
    fewer = findings("fewer", arrays=arrays(2, images=3, shown=(1,), chosen=(1,)))
    drawn = gallery.draw([models[0], fewer])
    assert [line.get_label() for line in drawn["stability"].axes[0].lines] == ["max"]
    assert len(drawn["variation"].axes[0].patches) == 2


@pytest.fixture
def measured():
    """Models on paths of other lengths, one of a single frame, and one under another protocol."""
    return [
        model("one", under(steps=1, seed=1, layers=())),
        model("short", under(steps=5, seed=2)),
        model("long", under(steps=9, seed=3, tolerance=0.1)),
        model("other", under("circular", steps=7, layers=())),
    ]


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_no_model_is_left_out_whose_path_is_longer(measured):
    probability = path_figures.probability(measured, "embed")
    assert titles(probability) == ["short", "long"]  # along a single frame nothing moves
    assert [ax.get_xlim() for ax in probability.axes[:2]] == [(-2.5, 2.5), (-4.5, 4.5)]
    sums = path_figures.sums(measured)
    assert titles(sums) == ["short: embed", "long: embed"]
    bands = [(shade.get_y(), shade.get_y() + shade.get_height()) for ax in sums.axes for shade in ax.patches]
    np.testing.assert_allclose(bands, [(0.8, 1.2), (0.9, 1.1)])
    (ax,) = path_figures.nonshiftability(measured, "embed").axes
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    for each, steps in zip(measured[1:3], (4, 8), strict=True):  # from frame to frame
        np.testing.assert_allclose(lines[each.name], each.arrays["embed/nonshiftability"][:, 0] / steps)
    assert ax.get_ylabel() == "share of the steps at which\na sum changes by over 10% or 20%"


def test_models_on_paths_of_one_length_are_compared_by_the_number_of_steps(measured):
    same = [measured[1], model("elsewhere", under(steps=5, seed=4))]
    (ax,) = path_figures.nonshiftability(same, "embed").axes
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    for each in same:
        np.testing.assert_allclose(lines[each.name], each.arrays["embed/nonshiftability"][:, 0])


def test_feature_maps_depart_by_the_tolerance_that_they_were_measured_with(measured):
    figure = gallery.drawings(measured)["embed_maps_long"]()
    shades = [shade for ax in figure.axes for shade in ax.patches]
    ends = [(shade.get_y(), shade.get_y() + shade.get_height()) for shade in shades]
    np.testing.assert_allclose(ends, [(0.9, 1.1)] * 2)


def test_a_film_is_of_the_frames_of_the_first_that_move(measured):
    figure = path_figures.film(measured, "embed", 2)
    assert {line.get_label() for line in figure.axes[1].lines if line.get_label()[0] != "_"} == {"short"}
    assert path_figures.film(measured[:1], "embed", 2) is None


def test_a_film_is_titled_by_the_images_file_if_it_is_known():
    for names, title in ((["cat/0012.jpg"], "embed: cat/0012.jpg"), ([""], "embed: test image 2")):
        one = model("one", under("embed", 5))
        one.arrays["embed/names"] = np.array(names)
        assert path_figures.film([one], "embed", 2).axes[0].get_title() == title


def test_protocols_whose_options_differ_are_told_apart_by_these_in_one_figure():
    models = [model("a", under(options="fill=black, seed=0")), model("b", under(options="fill=grey, seed=0"))]
    *_, last = path_figures.jaggedness(models).axes
    assert [text.get_text() for text in last.get_xticklabels()] == [
        "embed\n(fill=black)\nn = 6",
        "embed\n(fill=grey)\nn = 6",
    ]


def test_a_film_of_frames_in_no_order_is_points_that_no_line_joins():
    for ordered in (True, False):
        one = model("one", under("embed", 5, ordered=ordered))
        (curve,) = [line for line in path_figures.film([one], "embed", 2).axes[1].lines if line.get_label() == "one"]
        assert len(curve.get_xdata()) == 5
        assert (curve.get_linestyle() != "None", curve.get_marker() != "o") == (ordered, ordered)


def test_protocols_without_layers_have_no_figures_of_them():
    bare = [model("a", under("placement", 5, ordered=False)), model("b", under("whole", 1, ordered=False))]
    drawn = set(gallery.draw(bare))
    assert drawn == {"jaggedness", "placement_probability", "placement_film_2", "placement_accuracy", "whole_accuracy"}
