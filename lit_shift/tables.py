"""What a command has found, as tables for the terminal."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from rich.table import Column, Table
from rich.text import Text

RATES = {"test/accuracy": "accuracy", "test/accuracy_random": "random", "test/consistency": "consistency"}


def runs(folders: Iterable[Path]) -> Table:
    """A row for each finished run: rates in percent, variation (a variance of probabilities) in thousandths."""
    rows = []
    for folder in folders:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        metrics = json.loads((folder / "metrics.json").read_text())
        choices = config["choices"]
        row = {
            "data": f"{choices['data']}, {choices['model']}, {config['trainer']['max_epochs']} epochs",
            "pool": choices["pool"],
            "filter": config["pool"].get("filter", "-"),
            "aug": "yes" if config["aug"] else "no",
            "seed": str(config["seed"]),
        }
        row |= {name: _cell(metrics, key, 100, 1) for key, name in RATES.items()}
        rows.append(row | {"variation": _cell(metrics, "test/variation", 1000, 2)})
    shown = Table(caption="random: accuracy under random shifts. Rates in percent, variation x 1000.")
    data = {row["data"] for row in rows}
    if len(data) == 1:  # then it is no column but a title
        shown.title = data.pop()
        rows = [{name: cell for name, cell in row.items() if name != "data"} for row in rows]
    for name in rows[0]:
        shown.add_column(name, justify="right" if name in (*RATES.values(), "variation") else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row.values())
    return shown


def _cell(metrics: dict[str, float], key: str, factor: float, decimals: int) -> str:
    return f"{factor * metrics[key]:.{decimals}f}" if key in metrics else "-"


def measures(metrics: Mapping[str, float]) -> list[Table]:
    """What eval.py has measured: on the test set, layer by layer, and consistency as others read it."""
    return [table for table in (_tests(metrics), _layers(metrics), _readings(metrics)) if table.rows]


def _tests(metrics: Mapping[str, float]) -> Table:
    shown = Table("measure", Column("value", justify="right"), Column("95% interval", justify="right"))
    for name, value in metrics.items():
        if name.startswith("test/") and not name.endswith("_ci95"):
            half = metrics.get(f"{name}_ci95")
            shown.add_row(name, f"{value:.6g}", f"± {half:.2g}" if half else "")
    return shown


def _layers(metrics: Mapping[str, float]) -> Table:
    shown = Table("layer", Column("equivariance", justify="right"), Column("tv", justify="right"))
    shown.caption = "equivariance: mean cosine distance over shifts; tv: total variation of the filters"
    names = dict.fromkeys(key.split("/")[1] for key in metrics if key.startswith(("equivariance/", "tv/")))
    for name in names:
        cells = (metrics.get(f"{measure}/{name}") for measure in ("equivariance", "tv"))
        shown.add_row(name, *("" if cell is None else f"{cell:.4g}" for cell in cells))
    return shown


def _readings(metrics: Mapping[str, float]) -> Table:
    from lit_shift.readings import DEFINITIONS  # not at the top: it needs torch

    shown = Table("consistency", Column("value", justify="right"), Column("± 95%", justify="right"), show_lines=True)
    shown.add_column("definition, source")
    shown.title = "Readings of consistency, in percent"
    for name, (definition, source) in DEFINITIONS.items():
        if f"consistency/{name}" in metrics:
            half = metrics.get(f"consistency/{name}_ci95")
            value = f"{100 * metrics[f'consistency/{name}']:.1f}"
            explained = Text.assemble(definition, "\n", (source, "dim"))
            shown.add_row(name, value, "" if half is None else f"{100 * half:.1f}", explained)
    return shown
