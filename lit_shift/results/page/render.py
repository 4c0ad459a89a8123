"""Self-contained HTML page that compares runs; it needs neither network nor server."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from lit_shift.figures.style import DISTANCE_MAP, PROBABILITY_MAP
from lit_shift.results.page import plots


def render(content: dict[str, Any]) -> str:
    """Render the page as one HTML file.

    Args:
        content: title and content of each data set, from :func:`lit_shift.results.page.runs.content`.

    Returns:
        Text of the file, to be written as UTF-8. It includes style sheet, script and plotly.js (4.8 MB).
    """
    loader = PackageLoader("lit_shift.results.page", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Plotly's encoder turns the NaN of a diverged run, which JSON lacks, into null. Jinja escapes <, > and & in it.
    environment.policies["json.dumps_function"] = lambda value, **_: json.dumps(value, cls=PlotlyJSONEncoder)
    source = {name: Markup(loader.get_source(environment, f"page.{name}")[0]) for name in ("css", "js")}
    return environment.get_template("page.html").render(
        content,
        source=source,
        plotly=Markup(get_plotlyjs()),
        themes=plots.THEMES,
        font=Markup(plots.FONT),
        templates=plots.templates(),
        distances=plots.gradient(DISTANCE_MAP),
        probabilities=plots.gradient(PROBABILITY_MAP),
    )
