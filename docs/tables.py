"""The site's tables of measures, made from their declarations: ``<!-- measures: WHERE -->`` in a page becomes one."""

import re
from math import inf
from typing import Any

from lit_shift.measures import ALONG, BY_LAYER, MEASURES, NETWORK, VOTES, Measure, standing
from lit_shift.metrics import IN_LAYERS, OVER_SHIFTS, OVER_STEPS

# Key in metrics.json, by part of the page, and the measures there.
PARTS = {
    "shifts": ("test/{}", [MEASURES[name] for name in ("accuracy", *OVER_SHIFTS, *OVER_STEPS)]),
    "paths": ("embed/{}", standing(ALONG)),
    "layers along paths": ("embed/{}/<layer>", [MEASURES[name] for name in IN_LAYERS]),
    "rates": ("test/{}", [MEASURES[name] for name in ("lie_derivative", "bandwidth")]),
    "layers": ("{}/<layer>", standing(BY_LAYER)),
    "network": ("network/{}", standing(NETWORK)),
    "votes": ("tta/{}_<passes>", standing(VOTES)),
}
PLACED = [measure for _, measures in PARTS.values() for measure in measures]
PARTS["others"] = "{}", [measure for measure in MEASURES.values() if measure not in PLACED]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the tables of a page."""
    return re.sub(r"<!-- measures: (.*) -->", lambda place: table(place[1]), markdown)


def table(part: str) -> str:
    """Return the table of a part of the page."""
    key, measures = PARTS[part]
    head = "| key | definition | range | unit in tables | better |", "|---|---|---|---|---|"
    return "\n".join([*head, *(_row(measure, key) for measure in measures)])


def _row(measure: Measure, key: str) -> str:
    low, high = measure.range
    name = f"{measure.name}_top<k>" if measure.tops is True else measure.name
    top = "; among the k most probable: `_top<k>`" if measure.tops == "beyond 1" and "passes" not in key else ""
    definition = measure.definition.replace("{k}", "k") + top
    spread = f"from {low}" if high == inf else f"{low} to {high:.4g}"
    return f"| `{key.format(name)}` | {definition} | {spread} | {measure.unit} | {measure.better} |"
