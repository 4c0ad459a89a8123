"""What people read: rates in percent and variation as the variance that it is, in every table alike."""

import io

import pytest
from rich.console import Console

from lit_shift.results import path_table, terminal
from lit_shift.units import factor
from tests.findings import findings
from tests.results.page.test_paths import model, under
from tests.results.test_results import save


def text(*shown):
    out = io.StringIO()
    Console(width=200, file=out).print(*shown)
    return out.getvalue()


def words(shown, first):
    """The words of the line that begins so, without the table's frame."""
    lines = [line.replace("│", " ").replace("┃", " ").split() for line in shown.splitlines()]
    return next(line for line in lines if line[: len(first.split())] == first.split())


def test_a_training_and_a_measurement_are_told_in_the_same_units(tmp_path):
    run = findings(accuracy=0.9125, consistency=0.875)
    run.metrics.update({"test/variation": 0.00131, "test/mad": 0.0204, "test/jaggedness": 1.5})
    save(tmp_path / "cifar10-blur-tri5-noaug-s0-1a1b2c3d", run)
    trained = text(terminal.runs([tmp_path / "cifar10-blur-tri5-noaug-s0-1a1b2c3d"]))
    assert words(trained, "blur tri5 no 0")[4:] == ["91.2", "90.2", "87.5", "0.00131"]
    measured = text(*terminal.measures(run.metrics))
    expected = {"accuracy": "91.25", "accuracy_random": "90.25", "consistency": "87.5", "variation": "0.00131"}
    expected |= {"mad": "2.04", "jaggedness": "1.5", "images": "100", "shifts": "1024"}
    for measure, value in expected.items():
        assert words(measured, f"test/{measure}")[1] == value
    for shown in (trained, measured):
        assert "variation is a variance" in " ".join(shown.split())


def test_measures_along_paths_are_told_in_the_units_of_the_tables_that_compare_them():
    each = model("net", under(protocol="embed"))
    measured, compared = text(*terminal.measures(each.metrics)), text(path_table.terminal([each]))
    for measure, times in (("accuracy", 100), ("mad", 100), ("jagged_fraction_top1", 100), ("jaggedness_top1", 1)):
        value = times * each.metrics[f"embed/{measure}"]
        assert words(measured, measure)[1] == f"{value:.4g}"
        assert f"{value:.3g}" in compared


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        *((key, 100) for key in ("test/accuracy", "embed/accuracy_top5", "tta/consistency_16", "consistency/pairs")),
        *((key, 100) for key in ("embed/agreement", "embed/mad", "embed/jagged_fraction_top5")),
        *((key, 1) for key in ("test/variation", "test/jaggedness", "embed/n", "embed/steps", "tta/milliseconds_16")),
    ],
)
def test_a_rate_is_known_by_its_name(key, expected):
    assert factor(key) == expected
