"""Finished runs side by side."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.table import Column, Table

from lit_shift.run import scalars

RATES = {"test/accuracy": "accuracy", "test/accuracy_random": "random", "test/consistency": "consistency"}


def table(folders: Iterable[Path]) -> Table:
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


def measures(logged: Mapping[str, Any]) -> Table:
    """Every measure, with the 95% interval of those that have one."""
    metrics = scalars(logged)
    shown = Table("measure", Column("value", justify="right"), Column("95% interval", justify="right"))
    for name, value in sorted(metrics.items()):
        if not name.endswith("_ci95"):
            half = metrics.get(f"{name}_ci95")
            shown.add_row(name, f"{value:.6g}", f"± {half:.2g}" if half else "")
    return shown
