import numpy as np
import pytest

from lit_shift import gallery, published
from lit_shift.errors import InputError
from tests.findings import arrays, findings

HISTORY = [{"epoch": 1, "tv/conv1_1": 1.7}, {"epoch": 2}, {"epoch": 3, "tv/conv1_1": 1.5}]


@pytest.fixture
def models():
    return [
        findings("max", pool="max", arrays=arrays(0), history=HISTORY),
        findings("tri5", arrays=arrays(1, shown=(1, 5), chosen=(5,)), history=HISTORY),
    ]


def test_every_figure_of_the_paper_for_two_models(models):
    drawn = gallery.draw(models)
    names = ("accuracy_consistency", "equivariance", "variation", "filter_tv", "filter_tv_course", "stability")
    assert set(drawn) == set(names)
    lines = {name: [line.get_label() for line in drawn[name].axes[0].lines] for name in ("filter_tv", "stability")}
    assert lines == {"filter_tv": ["max", "tri5"], "stability": ["max", "tri5"]}
    assert list(drawn["filter_tv_course"].axes[0].lines[0].get_xdata()) == [1, 3]
    deviations = drawn["variation"].axes[0].patches[0].get_data()
    assert deviations.values.sum() == 6


def test_what_was_not_measured_is_not_drawn():
    assert set(gallery.draw([findings("bare")])) == {"accuracy_consistency", "filter_tv"}


def test_models_take_turns_in_choosing_images(models):
    assert gallery.chosen_images(models) == [4, 5]
    assert gallery.chosen_images(models, most=1) == [4]
    (first, _) = gallery.stability(models, [4, 5]).axes[::2]
    assert first.get_title() == "test image 4: dog"
    assert np.array_equal(first.lines[1].get_ydata(), models[1].arrays["diagonal"][4])


def test_an_image_that_no_model_keeps_is_asked_for_in_a_sentence(models):
    with pytest.raises(InputError, match=r"images=\[3\]"):
        gallery.stability(models, [3])


def test_all_published_points_are_drawn_beside_the_models(models):
    panels = gallery.draw(models)["accuracy_consistency"].axes
    points = [scatter.get_offsets()[0] for ax in panels for scatter in ax.collections]
    assert len(points) == 38 + 2
    for row in published.load("zhang_table1"):
        expected = (float(row["consistency"]), float(row["accuracy"]))
        assert any(np.allclose(point, expected) for point in points)


def test_runs_of_other_sizes_or_other_images_share_no_picture(models):
    larger = findings("larger", arrays=arrays(2) | {"pixels": np.zeros((2, 3, 64, 64), np.uint8)})
    with pytest.raises(InputError, match="max and larger were measured on images of other sizes"):
        gallery.draw([models[0], larger])
    others = arrays(2) | {"labels": models[0].arrays["labels"][::-1]}
    with pytest.raises(InputError, match="max and others were measured on other test images"):
        gallery.draw([models[0], findings("others", arrays=others)])


def test_a_run_that_has_seen_fewer_of_the_images_is_drawn_where_it_can(models):
    fewer = findings("fewer", arrays=arrays(2, images=3, shown=(1,), chosen=(1,)))
    drawn = gallery.draw([models[0], fewer])
    assert [line.get_label() for line in drawn["stability"].axes[0].lines] == ["max"]
    assert len(drawn["variation"].axes[0].patches) == 2
