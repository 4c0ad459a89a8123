"""Cost of each row of Table 1: parameters, multiplications, and speed on the machine of its runs. Needs no torch."""

from math import isnan, nan

import pandas as pd

from lit_shift.measures import measure_of
from lit_shift.results.frame import SPEEDS
from lit_shift.results.rows.against import names_of
from lit_shift.results.writer import Table

COUNTS = ("network/parameters", "network/multiplications")
COSTS = {key: key.replace("network/", "").replace("/", "_") for key in (*COUNTS, *SPEEDS)}
COLUMNS = list(COSTS.values())
HEADS = {"speed_training": "training", "speed_forward": "forward"}


def with_costs(rows: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Return Table 1 with a column for each cost: its mean over the row's runs, NaN if it is unknown.

    Speeds are unknown if the row's runs were on different devices.

    Args:
        rows: from :func:`lit_shift.results.table1`.
        frame: the runs, as :func:`lit_shift.results.load` returns them.

    Returns:
        The rows with ``parameters`` and ``multiplications`` (of a forward pass, an image), ``speed_training`` and
        ``speed_forward`` (images per second), and ``devices``, those that the speeds were measured on.
    """
    runs = frame.reindex(columns=["name", "device", *COSTS]).set_index("name")
    members = [runs.loc[names] for names in rows["runs"]]
    timed = [each.dropna(subset=list(SPEEDS), how="all") for each in members]
    devices = [list(dict.fromkeys(each["device"])) for each in timed]
    costs = {cost: [each[key].mean() for each in members] for key, cost in COSTS.items()}
    for cost in (COSTS[key] for key in SPEEDS):
        costs[cost] = [nan if len(those) > 1 else mean for those, mean in zip(devices, costs[cost], strict=True)]
    return rows.assign(**costs, devices=devices)


def for_csv(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns for a CSV file."""
    return rows[["pool", "filter", "aug", "n", *COLUMNS, "devices", "recipe"]]


def tables(rows: pd.DataFrame) -> list[Table]:
    """Return a table for each recipe, of rows with a known cost. Augmentation is a column only if rows differ in it."""
    made = []
    for recipe, members in rows.dropna(subset=COLUMNS, how="all").groupby("recipe"):
        lead = ["pool", "filter", *(["aug"] if members["aug"].nunique() > 1 else [])]
        cells = members[lead].replace({"aug": {True: "yes", False: "no"}})
        for key, cost in COSTS.items():
            cells[HEADS.get(cost, cost)] = [_written(key, value) for value in members[cost]]
        devices = list(dict.fromkeys(device for each in members["devices"] for device in each))
        where = f" on {devices[0]}" if len(devices) == 1 else ""
        caption = f"Multiplications of a forward pass for an image; training and forward: images per second{where}."
        made.append(Table(cells, str(recipe), caption, _by_device(members, devices), words=len(lead)))
    return made


def _written(key: str, value: float) -> str:
    counted = key in COUNTS and not isnan(value)
    return measure_of(key).written(round(value) if counted else value)


def _by_device(rows: pd.DataFrame, devices: list[str]) -> list[str]:
    """Return a note on the rows whose speeds were measured on each device, if there are several."""
    names = {
        device: [
            f"{names_of(row)[0]}{' aug' * row['aug']}" for row in rows.to_dict("records") if device in row["devices"]
        ]
        for device in devices
    }
    told = "; ".join(f"on {device}: {', '.join(those)}" for device, those in names.items())
    return [f"Speeds on different devices do not compare; {told}."] if len(devices) > 1 else []
