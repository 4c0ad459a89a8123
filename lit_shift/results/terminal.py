"""What a command has found, as tables for the terminal."""

import math
from collections.abc import Mapping

from rich.table import Column, Table
from rich.text import Text

from lit_shift.units import factor, written

PERCENT = "Rates and mad in percent"


NETWORK = {
    "parameters": "parameters",
    "depth": "depth (convolutions and linear layers)",
    "accuracy": "accuracy",
    "accuracy_top5": "accuracy, top 5",
    "subsampling": "subsampling factor s",
    "exact_share": "translations with exact invariance, 1/s²",
    "copies": "copies for augmentation, s²",
}


def measures(metrics: Mapping[str, float]) -> list[Table]:
    """What eval.py has measured.

    Of the network itself, on the test set, along paths, layer by layer, and consistency as others read it.
    """
    made = (_network, _tests, _paths, _votes, _nonshiftability, _layers, _readings)
    tables = (table(metrics) for table in made)
    return [table for table in tables if table.rows]


def _network(metrics: Mapping[str, float]) -> Table:
    """Azulay & Weiss's Table 1, and what they say of subsampling."""
    shown = Table("network", Column("", justify="right"))
    shown.caption = "Of the network, and of its answers on whole images; rates in percent."
    for name in NETWORK:
        if (key := f"network/{name}") in metrics:
            value = metrics[key]
            cell = f"{value:,}" if isinstance(value, int) else written(key, value)
            shown.add_row(NETWORK[name], "  ".join(filter(None, (cell, _ends(metrics, key)))))
    return shown


def _tests(metrics: Mapping[str, float]) -> Table:
    shown = Table("measure", Column("value", justify="right"), Column("95% interval", justify="right"))
    shown.caption = f"{PERCENT}; variation is a variance."
    for name, value in sorted(metrics.items(), key=lambda metric: metric[0] != "test/accuracy"):
        if name.startswith("test/") and "_ci95" not in name:
            shown.add_row(name, written(name, value), _ends(metrics, name))
    return shown


def protocols(metrics: Mapping[str, float]) -> list[str]:
    """The protocols under which anything was measured."""
    return [key.removesuffix("/steps") for key in metrics if key.endswith("/steps")]


def _paths(metrics: Mapping[str, float]) -> Table:
    """A column for each protocol."""
    names = protocols(metrics)
    shown = Table(
        Column("along paths", no_wrap=True), *(Column(name, justify="right") for name in names), show_lines=True
    )
    shown.caption = f"Mean over images, and its 95% interval. {PERCENT}."
    measured = (key.split("/") for key in metrics if key.partition("/")[0] in names and "_ci95_" not in key)
    for measure in sorted({rest[0] for _, *rest in measured if len(rest) == 1}):
        shown.add_row(measure, *(_interval(metrics, f"{name}/{measure}") for name in names))
    return shown


def _votes(metrics: Mapping[str, float]) -> Table:
    """A row for each number of passes of test-time augmentation."""
    rate = "agreement" if any(key.startswith("tta/agreement_") for key in metrics) else "accuracy"
    measures = (rate, "consistency", "milliseconds")
    shown = Table("passes", *(Column(name, justify="right") for name in measures), title="Test-time augmentation")
    shown.caption = "Under random shifts, percent, with 95% intervals over images; milliseconds for an image."
    numbers = sorted(int(key.rpartition("_")[2]) for key in metrics if key.startswith("tta/milliseconds_"))
    for number in numbers:
        shown.add_row(str(number), *(_interval(metrics, f"tta/{name}_{number}") for name in measures))
    return shown


def _interval(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return ""
    return f"{factor(key) * metrics[key]:.4g}\n{_ends(metrics, key)}".strip()


def _ends(metrics: Mapping[str, float], key: str) -> str:
    ends = (metrics.get(end) for end in (f"{key}_ci95_low", f"{key}_ci95_high"))
    return " .. ".join(f"{factor(key) * end:.4g}" for end in ends if end is not None)


def _layers(metrics: Mapping[str, float]) -> Table:
    measures = ["equivariance", "invariance", "tv"]
    shown = Table("layer", *(Column(name, justify="right") for name in measures))
    shown.caption = (
        "Mean cosine distance over shifts, of the shifted features (equivariance) or the features (invariance) to the "
        "features of the shifted image; tv: total variation of the filters"
    )
    return _by_layer(metrics, shown, dict.fromkeys(measures, 1))


def _nonshiftability(metrics: Mapping[str, float]) -> Table:
    names = [name for name in protocols(metrics) if any(key.startswith(f"{name}/nonshiftability/") for key in metrics)]
    shown = Table("layer", *(Column(name, justify="right") for name in names), title="Non-shiftability")
    steps = {f"{name}/nonshiftability": metrics[f"{name}/steps"] - 1 for name in names}
    if len(set(steps.values())) > 1:
        shown.caption = "Share of the steps of the path at which the sum of a feature map changes, in percent."
        return _by_layer(metrics, shown, {key: 100 / number for key, number in steps.items()})
    shown.caption = "Steps of the path at which the sum of a feature map changes."
    return _by_layer(metrics, shown, dict.fromkeys(steps, 1))


def _by_layer(metrics: Mapping[str, float], shown: Table, measures: Mapping[str, float]) -> Table:
    """A row for each layer, a column for each measure, multiplied by what is given for it."""
    found = (key.rpartition("/") for key in metrics if "_ci95_" not in key)
    layers = dict.fromkeys(layer for measure, _, layer in found if measure in measures)
    for layer in layers:
        cells = ((factor, metrics.get(f"{measure}/{layer}")) for measure, factor in measures.items())
        shown.add_row(layer, *("" if cell is None else f"{factor * cell:.4g}" for factor, cell in cells))
    return shown


def _readings(metrics: Mapping[str, float]) -> Table:
    from lit_shift.consistency_variants import DEFINITIONS  # not at the top: it needs torch

    shown = Table("consistency", Column("value", justify="right"), Column("95%", justify="right"), show_lines=True)
    shown.add_column("definition, source")
    shown.title = "Readings of consistency, in percent"
    for name, (definition, source) in DEFINITIONS.items():
        if f"consistency/{name}" in metrics:
            ends = [100 * metrics.get(f"consistency/{name}_ci95_{end}", math.nan) for end in ("low", "high")]
            value = f"{100 * metrics[f'consistency/{name}']:.1f}"
            explained = Text.assemble(definition, "\n", (source, "dim"))
            shown.add_row(name, value, "{:.1f} .. {:.1f}".format(*ends), explained)
    return shown
