"""The site's tables of measures, made from their declarations: ``<!-- measures: WHERE -->`` in a page becomes one."""

import re
from math import inf
from typing import Any

from lit_shift.measures import ALONG, BY_LAYER, LAYERS_ALONG_PATHS, MEASURES, NETWORK, SHIFTS, TABLE1, VOTES, Measure

# Key in metrics.json, by part of the page, and what of a declaration places a measure there.
PARTS = {
    "shifts": ("test/{}", {SHIFTS, TABLE1}),
    "paths": ("embed/{}", {ALONG}),
    "layers along paths": ("embed/{}/<layer>", {LAYERS_ALONG_PATHS}),
    "layers": ("{}/<layer>", {BY_LAYER}),
    "network": ("network/{}", {NETWORK}),
    "votes": ("tta/{}_<passes>", {VOTES}),
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the tables of a page."""
    return re.sub(r"<!-- measures: (.*) -->", lambda place: table(place[1]), markdown)


def table(part: str) -> str:
    """Return the table of a part of the page, or of ``others``, the measures that are in none."""
    if part == "others":
        placed = set.union(*(places for _, places in PARTS.values()))
        key, shown = "{}", [measure for measure in MEASURES.values() if not placed & _places(measure)]
    else:
        key, places = PARTS[part]
        shown = [measure for measure in MEASURES.values() if places & _places(measure)]
    head = "| key | definition | range | unit in tables | better |", "|---|---|---|---|---|"
    return "\n".join([*head, *(_row(measure, key) for measure in shown)])


def _row(measure: Measure, key: str) -> str:
    low, high = measure.range
    name = f"{measure.name}_top<k>" if measure.tops is True else measure.name
    top = "; among the k most probable: `_top<k>`" if measure.tops == "beyond 1" and "passes" not in key else ""
    definition = measure.definition.replace("{k}", "k") + top
    spread = f"from {low}" if high == inf else f"{low} to {high}"
    return f"| `{key.format(name)}` | {definition} | {spread} | {measure.unit} | {measure.better} |"


def _places(measure: Measure) -> set[str]:
    return {*measure.taken, *measure.tables}
