"""What must be said beside numbers, in the words that are right where nobody knows the correct class."""

import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console

from lit_shift.results import gallery, path_figures, path_table, writer
from lit_shift.results.page.paths import content
from lit_shift.results.page.plots import pens
from lit_shift.results.remarks import remarks
from lit_shift.results.terminal import measures, tables
from tests.results.page.test_paths import ELSEWHERE, model, under


def answering(answers, labels):
    metrics, arrays = under(images=len(answers))
    return model("net", (metrics, arrays | {"embed/answers": np.array(answers), "embed/labels": np.array(labels)}))


HALVES = [0, 1] * 10
SENTENCE = "net answers dog for {} whole images. A nearly constant answer hardly changes: "
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
    assert all(sentence in markdown([found]) for sentence in expected)
    assert shown(writer.terminal(path_table.tables([found]))).count("no good news") == len(expected)


def markdown(models):
    return writer.markdown(path_table.tables(models))


def shown(*parts):
    console = Console(file=io.StringIO(), width=400)
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
    drawn = gallery.draw([found])
    assert {"placement_agreement", "cost_agreement", "embed_probability", "embed_film_2"} < drawn.keys()
    assert not any("accuracy" in name for name in drawn)
    texts = [*map(words, drawn.values()), markdown([found]), writer.latex(path_table.tables([found]))]
    texts.append(shown(writer.terminal(path_table.tables([found])), measures(found.metrics)))
    for text in texts:
        assert "accuracy" not in text
        assert "correct class" not in text
    assert "P(answer on the whole image)" in words(drawn["embed_probability"]) + words(drawn["embed_film_2"])
    assert all("agreement" in text for text in texts[-3:])
    of_page = content([found], pens([found]))["protocols"]
    assert [each["correct"] for each in of_page] == ["answer on the whole image"] * 2


def test_beside_models_with_labels_both_are_named():
    models = [unlabelled(), model("labelled", under(), of=ELSEWHERE)]
    figure = path_figures.probability(models, "embed")
    assert "P(answer on the whole image or correct class)" in words(figure)
    assert "answer on the whole image or correct class enters" in markdown(models)


@pytest.mark.parametrize("steps", [9, 5])
def test_changes_are_given_per_step_where_paths_differ_in_length(steps):
    models = [model("a", under(steps=9)), model("b", under(steps=steps, seed=1))]
    times, share = "times that the correct class enters", "steps at which the correct class enters"
    titles = [ax.get_title() for ax in path_figures.jaggedness(models).axes]
    assert [title.startswith((times, share)) for title in titles].count(True) == 1
    assert any(title.startswith(share if steps == 5 else times) for title in titles)
    (table,) = path_table.tables(models)
    assert ("jagged steps" in table.frame, "jaggedness" in table.frame) == (steps == 5, steps == 9)
    rate, count = (models[1].metrics[f"embed/{name}_top1"] for name in ("jaggedness_rate", "jaggedness"))
    assert f"| {f'{100 * rate:.3g}' if steps == 5 else f'{count:.3g}'}" in re.sub(" +", " ", markdown(models))


def test_protocols_are_rows_and_their_options_are_told_below():
    models = [model("a", under(), under("circular", options="")), model("b", under(seed=1))]
    (table,) = path_table.tables(models)
    assert table.frame["protocol"].tolist() == ["embed", "", "circular"]
    assert table.notes == ["embed (fill=black)."]
    assert table.breaks == [0, 2]
    both = [model("a", under(), under("crop", options="size=8")), model("b", under(options="fill=grey"))]
    (table,) = path_table.tables(both)
    assert table.frame["protocol"].tolist() == ["embed (fill=black)", "crop", "embed (fill=grey)"]


def test_csv_along_paths_has_every_measure_with_its_ends():
    models = [model("a", under()), model("b", under("placement", 5, ordered=False, rate="agreement"))]
    first, second = csv.DictReader(io.StringIO(writer.csv(path_table.paths(models))))
    lead = ["model", "data", "images", "complete", "protocol"]
    assert list(first)[:5] == lead
    assert [first[name] for name in lead] == ["a", "imagefolder", "6", "1", "embed (fill=black)"]
    for name in ("accuracy", "jaggedness_top1", "jaggedness_rate_top1", "jagged_fraction_top1", "mad"):
        for end in ("", "_ci95_low", "_ci95_high"):
            assert float(first[name + end]) == pytest.approx(models[0].metrics[f"embed/{name}{end}"], rel=1e-5)
    for name in ("agreement", "accuracy_top5", "agreement_top5", "jaggedness_top5", "jaggedness_rate_top5"):
        assert first[name] == first[f"{name}_ci95_low"] == ""
    assert (second["accuracy"], second["mad"]) == ("", "")
    assert float(second["agreement"]) == pytest.approx(models[1].metrics["placement/agreement"], rel=1e-5)


def test_nonshiftability_of_unlike_paths_is_shown_as_a_share_of_their_steps():
    metrics = {"embed/steps": 9, "crop/steps": 9, "embed/nonshiftability/conv": 4.0, "crop/nonshiftability/conv": 2.0}
    (table,) = (table for table in tables(metrics) if table.title == "Non-shiftability")
    assert table.frame.to_dict("records") == [{"layer": "conv", "embed": "4", "crop": "2"}]
    (table,) = (table for table in tables(metrics | {"crop/steps": 5}) if table.title == "Non-shiftability")
    assert table.frame.to_dict("records") == [{"layer": "conv", "embed": "50", "crop": "50"}]
    assert "in percent" in table.caption
