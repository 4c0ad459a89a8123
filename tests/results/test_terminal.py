"""What people read: rates in percent and variation as the variance that it is, in every table alike."""

import io

import pytest
from rich.console import Console

from lit_shift.cli.tables import runs
from lit_shift.results import path_table, writer
from lit_shift.results.terminal import in_order, measures
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
    trained = text(runs([tmp_path / "cifar10-blur-tri5-noaug-s0-1a1b2c3d"]))
    assert words(trained, "blur tri5 no 0")[4:] == ["91.2", "90.2", "87.5", "0.00131"]
    measured = text(measures({key: float(value) for key, value in run.metrics.items()}))
    expected = {"accuracy": "91.25", "accuracy_random": "90.25", "consistency": "87.5", "variation": "0.00131"}
    expected |= {"mad": "2.04", "jaggedness": "1.5", "images": "100", "shifts": "1024"}
    for measure, value in expected.items():
        assert words(measured, f"test/{measure}")[1] == value
    for shown in (trained, measured):
        assert "variation is a variance" in " ".join(shown.split())


def test_measures_along_paths_are_told_alike_by_both_tables():
    each = model("net", under("embed", seed=1), under("circular", seed=2))
    measured, compared = text(measures(each.metrics)), text(writer.terminal(path_table.tables([each])))
    shown = (("accuracy", 100), ("jaggedness_top1", 1), ("jagged_fraction_top1", 100), ("mad", 100))
    for protocol in ("embed", "circular"):
        for measure, times in shown:
            ends = ("", "_ci95_low", "_ci95_high")
            mean, low, high = (times * each.metrics[f"{protocol}/{measure}{end}"] for end in ends)
            digits = len(f"{mean:#.3g}".partition(".")[2])
            for told in (measured, compared):
                assert f" {mean:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})" in told


@pytest.mark.parametrize("many", [False, True])
def test_nothing_along_paths_is_cut_in_80_columns(many):
    names = ("embed", "scale", "circular", "placement")
    models = [model(f"a-name-of-{i}", *(under(name, seed=i) for name in names)) for i in range(1 + 3 * many)]
    out = io.StringIO()
    console = Console(width=80, file=out)
    console.print(measures(models[0].metrics), writer.terminal(path_table.tables(models)))
    assert "…" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
    for found in models:
        for name in names:
            low, high = (100 * found.metrics[f"{name}/mad_ci95_{end}"] for end in ("low", "high"))
            assert f"({low:.1f}-{high:.1f})" in out.getvalue() or f"({low:.2f}-{high:.2f})" in out.getvalue()


def test_layers_and_the_test_set_fit_into_80_columns():
    names = [
        f"{name}{block}{end}" for block in range(1, 6) for name, end in (("conv", "_1"), ("conv", "_2"), ("pool", ""))
    ]
    metrics = {
        f"{kind}/pool{block}_dense": 0.001234 for kind in ("equivariance", "invariance") for block in range(1, 6)
    }
    for key in (*(f"lie_derivative/{name}" for name in names), "test/lie_derivative", "test/bandwidth", "tv/conv1_1"):
        metrics |= {key: 0.0123456789, f"{key}_ci95_low": 0.0113456789, f"{key}_ci95_high": 0.0133456789}
    out = io.StringIO()
    Console(width=80, file=out).print(measures(metrics))
    assert "…" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert words(out.getvalue(), "test/lie_derivative")[1:] == ["0.0123457", "0.0113457", "..", "0.0133457"]
    assert words(out.getvalue(), "pool3")[1:] == ["0.01235"]


def test_layers_are_in_the_networks_order():
    seen = ["pixels", "conv1_2", "pool1_dense", "pool1_ds", "conv2_2", "softmax"]
    convolutions = ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]
    expected = ["pixels", "conv1_1", "conv1_2", "pool1_dense", "pool1_ds", "conv2_1", "conv2_2", "softmax"]
    assert in_order(seen, convolutions) == in_order(dict.fromkeys(seen), [], convolutions) == expected
    metrics = {f"equivariance/{name}": 0.1 for name in seen} | {f"tv/{name}": 1.5 for name in convolutions}
    lines = [line.split()[0] for line in text(measures(metrics)).splitlines() if line.split()]
    assert [line for line in lines if line in expected] == expected
