"""The page that compares runs: one HTML file that needs nothing beside it, neither network nor server."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from lit_shift.figures.style import DISTANCE_MAP, PROBABILITY_MAP
from lit_shift.results.page import plots


def render(content: dict[str, Any]) -> str:
    """The page that shows ``content``, as one HTML file.

    Args:
        content: its title and what is shown of each data set, from :func:`lit_shift.results.page.runs.content`.

    Returns:
        The text of the file, to be written as UTF-8. It holds its style, its script and plotly.js (4.8 MB).
    """
    loader = PackageLoader("lit_shift.results.page", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # As plotly writes it: NaN, which a diverged run has and JSON has not, is null. Jinja escapes <, > and & in it.
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
