"""What must be said beside numbers, in the words that are right where nobody knows the correct class."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from lit_shift.results import path_gallery, path_table
from lit_shift.results.page.paths import content
from lit_shift.results.page.plots import pens
from lit_shift.results.remarks import remarks
from lit_shift.results.terminal import measures
from tests.results.page.test_paths import ELSEWHERE, model, under


def answering(answers, labels):
    metrics, arrays = under(images=len(answers))
    return model("net", (metrics, arrays | {"embed/answers": np.array(answers), "embed/labels": np.array(labels)}))


def test_what_an_older_version_has_measured_is_left_out_in_a_sentence(capsys, tmp_path):
    found = replace(answering([1] * 20, [0, 1] * 10), folder=tmp_path)
    del found.arrays["embed/answers"]
    assert remarks([found]) == []
    assert "was measured by an older version" in capsys.readouterr().err


HALVES = [0, 1] * 10
SENTENCE = "net answers dog for {} whole images. What answers all alike hardly changes its mind: "
SENTENCE += "low jaggedness is no good news here."


@pytest.mark.parametrize(
    ("answers", "labels", "said"),
    [
        ([1] * 20, HALVES, "100% of 20"),
        ([1] * 19 + [0], HALVES, "95% of 20"),
        ([1] * 20, [-1] * 20, "100% of 20"),  # nobody knows how many classes these are of
        ([1] * 18 + [0] * 2, HALVES, None),  # not more than nine of ten
        ([1] * 19, HALVES[1:], None),  # so few may have one answer by chance
        ([1] * 20, [0] * 20, None),  # images of one class should
        ([1] * 20, [0] * 19 + [1], None),
        (HALVES, HALVES, None),
    ],
)
def test_a_sentence_says_where_answers_hardly_vary(answers, labels, said):
    found = answering(answers, labels)
    expected = [SENTENCE.format(said)] if said else []
    assert remarks([found, found]) == content([found], pens([found]))["remarks"] == expected
    assert all(sentence in path_table.markdown([found]) for sentence in expected)
    assert shown(path_table.terminal([found])).count("no good news") == len(expected)


def shown(*parts):
    console = Console(file=StringIO(), width=400)
    for part in parts:
        console.print(part)
    return console.file.getvalue()


def words(figure):
    texts = [ax.get_title() + ax.get_ylabel() + ax.get_xlabel() for ax in figure.axes]
    return " ".join([*texts, *(text.get_text() for text in figure.texts)])


def unlabelled():
    """A model whose correct class is its own answer on the whole image."""
    measured = [under(rate="agreement"), under("placement", 5, ordered=False, rate="agreement")]
    votes = {f"tta/{name}": np.array([[0.8, 0.7, 0.9]]) for name in ("agreement", "consistency")}
    found = model("net", *measured)
    found.arrays.update(votes | {"tta/passes": np.array([2])})
    found.metrics.update({"tta/agreement_2": 0.8, "tta/consistency_2": 0.8, "tta/milliseconds_2": 1.0})
    return found


def test_where_nobody_knows_the_correct_class_it_is_agreement_everywhere():
    found = unlabelled()
    figures = {name: draw([found]) for name, draw in path_gallery.drawings([found]).items()}
    drawn = {name: figure for name, figure in figures.items() if figure}
    assert {"placement_agreement", "cost_agreement", "embed_probability", "embed_film_2"} < drawn.keys()
    assert not any("accuracy" in name for name in drawn)
    texts = [*map(words, drawn.values()), path_table.markdown([found]), path_table.latex([found])]
    texts.append(shown(path_table.terminal([found]), *measures(found.metrics)))
    for text in texts:
        assert "accuracy" not in text
        assert "correct class" not in text
    assert "P(answer on the whole image)" in words(drawn["embed_probability"]) + words(drawn["embed_film_2"])
    assert all("agreement" in text for text in texts[-3:])
    of_page = content([found], pens([found]))["protocols"]
    assert [each["correct"] for each in of_page] == ["answer on the whole image"] * 2


def test_beside_models_with_labels_both_are_named():
    models = [unlabelled(), model("labelled", under(), of=ELSEWHERE)]
    figure = path_gallery.correct_probability(models, "embed")
    assert "P(answer on the whole image or correct class)" in words(figure)
    assert "answer on the whole image or correct class enters" in path_table.markdown(models)


@pytest.mark.parametrize("steps", [9, 5])
def test_changes_are_given_per_step_where_paths_differ_in_length(steps):
    models = [model("a", under(steps=9)), model("b", under(steps=steps, seed=1))]
    measure = "changes of the top 1 along the path" if steps == 9 else "changes of the top 1 per step"
    titles = [ax.get_title() for ax in path_gallery.jaggedness(models).axes]
    assert measure in titles
    assert sum(title.startswith("changes of the top 1") for title in titles) == 1
    head = path_table.markdown(models).splitlines()[2]
    assert ("changes per step top1" in head, "changes top1" in head) == (steps == 5, steps == 9)
    rate, count = (models[1].metrics[f"embed/{name}_top1"] for name in ("jaggedness_rate", "jaggedness"))
    assert f"| {f'{100 * rate:.3g}' if steps == 5 else f'{count:.3g}'} " in path_table.markdown(models)


def test_nonshiftability_of_unlike_paths_is_shown_as_a_share_of_their_steps():
    metrics = {"embed/steps": 9, "crop/steps": 9, "embed/nonshiftability/conv": 4.0, "crop/nonshiftability/conv": 2.0}
    (table,) = (table for table in measures(metrics) if table.title == "Non-shiftability")
    assert [list(column.cells) for column in table.columns] == [["conv"], ["4"], ["2"]]
    (table,) = (table for table in measures(metrics | {"crop/steps": 5}) if table.title == "Non-shiftability")
    assert [list(column.cells) for column in table.columns] == [["conv"], ["50"], ["50"]]
    assert "in percent" in table.caption
