"""The page's plots: plotly traces and layouts in the colours of the matplotlib figures. Needs no torch.

A trace carries in ``meta`` the names of the models that it shows. The page's script shows it while one of them is
ticked, and always where it carries none.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib import colormaps
from matplotlib.colors import to_hex

from lit_shift.figures.style import DASHES, styled
from lit_shift.runs.findings import Findings

# Of the page and of its plots, in both colour schemes.
THEMES = {
    "light": {"paper": "#ffffff", "ink": "#1d2126", "muted": "#626b76", "rule": "#b9c0c8", "grid": "#e8ebee"},
    "dark": {"paper": "#15181c", "ink": "#e4e7ea", "muted": "#9aa4af", "rule": "#4b535d", "grid": "#292e35"},
}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
NEUTRAL = "#808890"  # can be seen on light and on dark paper
PATTERNS = {"solid": "", "dash": "/", "dot": ".", "dashdot": "x"}  # of bars, in place of a line's dash
LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}


def pens(models: Sequence[Findings]) -> dict[str, dict[str, str]]:
    """Each model's colour and dash, by name: those that the figures give it."""
    return {
        name: {"color": style["color"], "dash": DASHES[style["linestyle"]]}
        for name, _, style in styled({model.name: model for model in models})
    }


def templates() -> dict[str, Any]:
    """Plotly's template for each of the page's themes."""
    made = {}
    for name, theme in THEMES.items():
        axis = {"gridcolor": theme["grid"], "linecolor": theme["rule"], "tickcolor": theme["rule"], "ticks": "outside"}
        axis |= {"showline": True, "ticklen": 4, "zeroline": False, "title": {"standoff": 8}}
        layout = go.Layout(
            font={"family": FONT, "size": 12, "color": theme["ink"]},
            paper_bgcolor=theme["paper"],
            plot_bgcolor=theme["paper"],
            hoverlabel={"bgcolor": theme["paper"], "bordercolor": theme["rule"]},
            xaxis=axis | {"spikecolor": theme["muted"], "spikethickness": 1, "spikedash": "solid"},
            yaxis=axis,
            shapedefaults={"fillcolor": theme["grid"], "line": {"color": theme["grid"]}, "layer": "below"},
        )
        made[name] = {"layout": layout.to_plotly_json()}
    return made


def plot(traces: Sequence[Any], height: int = 360, narrow: Any = None, **layout: Any) -> dict[str, Any]:
    """A plot for the template's ``plot``; ``narrow`` is what its layout has instead on a narrow screen."""
    base = {"height": height, "margin": {"l": 56, "r": 12, "t": 12, "b": 48}, "hovermode": "closest", "legend": LEGEND}
    made = go.Figure(traces, base | layout).to_dict()
    made["layout"].pop("template", None)
    wanted = sorted({name for trace in made["data"] for name in trace.get("meta", ())})
    return made | {"has": wanted, "narrow": narrow}


def words(text: str) -> str:
    """Text for plotly, which reads tags in what it writes."""
    return escape(text, quote=False)


def line(name: str, x: Any, y: Any, pen: dict[str, str], width: float = 2, **more: Any) -> go.Scatter:
    """A model's line; its hover text is ``y``, unless told otherwise."""
    more = {"mode": "lines", "name": words(name), "legendgroup": name} | more
    return go.Scatter(x=x, y=y, meta=[name], line=pen | {"width": width, **more.pop("line", {})}, **more)


def band(name: str, x: Sequence[Any], intervals: np.ndarray, pen: dict[str, str]) -> go.Scatter:
    """The 95% intervals (S, 3) around a line: mean, lower and upper end at each x, left out where they are NaN."""
    known = np.flatnonzero(~np.isnan(intervals).any(1))
    back = known[::-1]
    return go.Scatter(
        x=[x[i] for i in (*known, *back)],
        y=np.concatenate([intervals[known, 2], intervals[back, 1]]),
        meta=[name],
        fill="toself",
        fillcolor=f"{pen['color']}2e",
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def filmed(pictures: Sequence[str], places: Sequence[float], width: float, of: str) -> dict[str, Any]:
    """The layout of a curve of the probability ``of`` a class, below pictures so wide, each above its place."""
    images = [
        {"source": source, "x": place, "y": 1, "sizex": width, "sizey": 0.24, "sizing": "contain"}
        | {"xref": "x", "yref": "paper", "xanchor": "center", "yanchor": "top"}
        for source, place in zip(pictures, places, strict=True)
    ]
    yaxis = {"title": {"text": f"probability of {words(of)} (%)"}, "range": [-2, 102], "domain": [0, 0.72]}
    return {"images": images, "yaxis": yaxis, "hovermode": "x unified"}


def colour_scale(colour_map: str, steps: int = 17) -> list[list[Any]]:
    """A colour map of matplotlib's for plotly."""
    return [[float(at), to_hex(colormaps[colour_map](at))] for at in np.linspace(0, 1, steps)]


def gradient(colour_map: str) -> str:
    """The same for CSS."""
    return f"linear-gradient(90deg, {', '.join(colour for _, colour in colour_scale(colour_map))})"


def percent(values: Any) -> np.ndarray:
    """Rates as percentages, in single precision to keep the page small."""
    return (100 * np.asarray(values, float)).astype(np.float32)


def thinned(count: int, most: int) -> np.ndarray:
    """The indices of all of ``count`` things, or of ``most`` of them, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)
