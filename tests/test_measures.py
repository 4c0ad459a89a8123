"""What is declared of measures, against what is computed and what is written."""

import math
import re

import pytest

from lit_shift import functional, measures, metrics
from lit_shift.consistency_variants import DEFINITIONS
from lit_shift.measures import ENDS, MEASURES, along_paths, interval_in, measure_of


def undeclared(found):
    """Keys of a ``metrics.json`` or ``history.csv`` that no declaration is of, or whose value it says cannot be."""
    declared = {key: measure_of(key) for key in found}
    return [
        key
        for key, measure in declared.items()
        if measure.name not in MEASURES or not measure.range[0] <= found[key] <= measure.range[1]
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *((f"test/{name}", name) for name in ("accuracy", "accuracy_random", "consistency", "variation", "exact")),
        *((f"consistency/{reading}", "consistency") for reading in DEFINITIONS),
        ("consistency/within_3_ci95_low", "consistency"),
        ("embed/accuracy_top5_ci95_high", "accuracy"),
        ("embed/jaggedness_rate_top12", "jaggedness_rate"),
        ("embed/nonshiftability/layer1.0.conv1", "nonshiftability"),
        ("tta/agreement_16_ci95_low", "agreement"),
        ("subset/variation", "variation"),
        ("test/flip_rate_ci95_low", "flip_rate"),
        ("test/flip_rate_diagonal", "flip_rate_diagonal"),
        ("lr", "lr"),
    ],
)
def test_a_key_is_of_one_measure(key, name):
    assert measure_of(key).name == name


def test_a_measure_that_nobody_has_declared_is_a_number():
    assert measure_of("test/my_own").written(0.25) == "0.25"
    assert undeclared({"test/my_own": 0.25, "test/accuracy": 1.5, "test/mad": 0.5}) == ["test/my_own", "test/accuracy"]


def test_declared_metrics_are_there_and_as_declared():
    for measure in MEASURES.values():
        assert measure.better in ("higher", "lower", "")
        assert not measure.tops or "{k}" in measure.label or measure.tops == "beyond 1"
        if measure.factor == 100:
            assert measure.range == (0, 1)
    listed = metrics.OVER_SHIFTS | metrics.OVER_STEPS | metrics.ALONG_PATHS | metrics.IN_LAYERS
    assert all(MEASURES[name].interval == measures.OVER_IMAGES for name in listed)
    # Every formula of a declared measure is listed; accuracy stands beside each list.
    assert {name for name in vars(functional) if name in MEASURES} - {"accuracy"} <= listed.keys()


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("accuracy", 0.98612, "98.61"),
        ("mad", 0.0204, "2.04"),
        ("variation", 0.0013, "0.00130"),
        ("variation", 0.0773940, "0.0774"),
        ("jaggedness", 5.041667, "5.04167"),
        ("images", 10000.0, "10000"),
        ("parameters", 138357544, "138,357,544"),
        ("multiplications", 228888576, "228,888,576"),
        ("speed", 302.4, "302"),
        ("speed", 12345.6, "12,300"),
        ("speed", 9.876, "9.88"),
        ("speed", math.nan, "-"),
        ("accuracy", math.nan, "-"),
    ],
)
def test_values_for_people(name, value, written):
    assert MEASURES[name].written(value) == written


def test_a_table_of_runs_has_a_decimal_of_percentages():
    assert MEASURES["accuracy"].written(0.98612, decimals=1) == "98.6"
    assert MEASURES["variation"].written(0.00193, decimals=1) == "0.00193"


@pytest.mark.parametrize(
    ("name", "interval", "written"),
    [
        ("accuracy", (0.151, 0.098, 0.208), "15.1 (9.8-20.8)"),
        ("accuracy", (1, 0.988, 1), "100.0 (98.8-100.0)"),
        ("jaggedness", (1.649, 1.52, 1.8), "1.65 (1.52-1.80)"),
        ("jaggedness", (0, 0, 0.013), "0.00 (0.00-0.01)"),
        ("variation", (0.0415, 0.0408, 0.0422), "0.0415 (0.0408-0.0422)"),
        ("mad", (0.087, math.nan, math.nan), "8.70"),
        ("mad", (math.nan,) * 3, "-"),
    ],
)
def test_intervals_have_the_decimals_of_their_mean(name, interval, written):
    assert MEASURES[name].with_interval(*interval) == written


def test_along_paths_every_k_has_its_measures_and_its_words():
    by_k = along_paths(["embed/jaggedness_top3", "embed/jaggedness_top3_ci95_low", "embed/mad"])
    assert list(by_k) == [1, 3, 5]
    names = [measure.name for measure in by_k[1]]
    assert names[0] == "accuracy"
    assert names[-1] == "mad"
    for k, of_top in by_k.items():
        numbers = {int(number) for measure in of_top for number in re.findall(r"top.(\d+)", measure.label)}
        assert numbers == {k}
        assert "jaggedness" in [measure.heading for measure in of_top]
    assert by_k[5][0].axis == "top-5 accuracy, over all frames (%)"


def test_an_interval_that_is_not_there_is_not_a_number():
    found = interval_in({"a": 1.0, "a_ci95_low": 0.5}, "a")
    assert found[:2] == (1.0, 0.5)
    assert math.isnan(found[2])
    assert all(end.startswith("_ci95") for end in ENDS)
