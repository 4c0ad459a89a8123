"""Plots of consistency against the cost of each row of Table 1. Needs no torch."""

from typing import Any

import pandas as pd

from lit_shift.results.page.zhang import Across, consistency_against

LABELS = {
    "multiplications": "multiplications per image",
    "speed_training": "images per second in training",
    "speed_forward": "images per second in forward passes",
}
SPREAD = 10  # ratio of the largest to the smallest value beyond which an axis is logarithmic


def content(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the plots against each cost that is known, with its name as ``text``."""
    made = []
    for cost, label in LABELS.items():
        values = rows.dropna(subset=["consistency"])[cost]
        kind = "log" if values.max() > SPREAD * values.min() > 0 else "linear"
        axis = {"title": label, "tickformat": "~s", "type": kind}
        if panels := consistency_against(Across(cost, label, axis, ".4~s"), rows, {}):
            made.append({"key": cost, "text": label, "panels": panels})
    return made
