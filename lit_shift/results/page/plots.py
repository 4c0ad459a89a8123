"""Plotly traces and layouts for the page, in the colours of the matplotlib figures. Needs no torch.

The ``meta`` of a trace lists the models that it shows. The page's script shows the trace while one of them is ticked,
and always if it lists none.
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

# Colours of the page and of its plots, for both colour schemes.
THEMES = {
    "light": {"paper": "#ffffff", "ink": "#1d2126", "muted": "#626b76", "rule": "#b9c0c8", "grid": "#e8ebee"},
    "dark": {"paper": "#15181c", "ink": "#e4e7ea", "muted": "#9aa4af", "rule": "#4b535d", "grid": "#292e35"},
}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
NEUTRAL = "#808890"  # visible on light and dark backgrounds
PATTERNS = {"solid": "", "dash": "/", "dot": ".", "dashdot": "x"}  # patterns of bars, by the dash of a line
Pens = dict[str, dict[str, str]]  # colour and dash, by the model's name
LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}


def pens(models: Sequence[Findings]) -> Pens:
    """Return each model's colour and dash, by name, as in the figures."""
    return {
        name: {"color": style["color"], "dash": DASHES[style["linestyle"]]}
        for name, _, style in styled({model.name: model for model in models})
    }


def templates() -> dict[str, Any]:
    """Return Plotly's template for each of the page's themes."""
    made = {}
    for name, theme in THEMES.items():
        axis: dict[str, Any] = {"showline": True, "ticks": "outside", "ticklen": 4, "zeroline": False}
        axis |= {
            "gridcolor": theme["grid"],
            "linecolor": theme["rule"],
            "tickcolor": theme["rule"],
            "title_standoff": 8,
        }
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


def plot(traces: Sequence[Any], height: int = 360, **layout: Any) -> dict[str, Any]:
    """Return a plot of a height in pixels for the template, with the names of the models that it shows as ``has``."""
    base = go.Layout(height=height, margin={"l": 56, "r": 12, "t": 12, "b": 48}, hovermode="closest", legend=LEGEND)
    made = go.Figure(traces, base.update(layout)).to_dict()
    made["layout"].pop("template", None)
    return made | {"has": sorted({name for trace in made["data"] for name in trace.get("meta", ())})}


def thinned(count: int, most: int) -> np.ndarray:
    """Return the indices of ``count`` items, or of ``most`` evenly spaced ones if there are more."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def words(text: str) -> str:
    """Escape a text for plotly, which interprets HTML tags."""
    return escape(text, quote=False)


def line(name: str, x: Any, y: Any, pens: Pens, width: float = 2, **more: Any) -> go.Scatter:
    """Return a model's line."""
    more = {"mode": "lines", "name": words(name)} | more
    return go.Scatter(x=x, y=y, meta=[name], line=pens[name] | {"width": width}, **more)


def band(name: str, x: Sequence[Any], intervals: np.ndarray, pens: Pens) -> go.Scatter:
    """Return the band of 95% intervals (S, 3), mean and ends at each x. Points with NaN are left out."""
    known = np.flatnonzero(~np.isnan(intervals).any(1))
    ends = np.concatenate([intervals[known, 2], intervals[known[::-1], 1]])
    trace = line(name, [x[i] for i in (*known, *known[::-1])], ends, pens, 0, showlegend=False, hoverinfo="skip")
    return trace.update(fill="toself", fillcolor=f"{pens[name]['color']}2e")


def filmed(pictures: Sequence[str], places: Sequence[float], width: float, of: str) -> dict[str, Any]:
    """Return the layout of a curve of the probability of class ``of``, below pictures centred at given places."""
    images = [
        {"source": source, "x": place, "y": 1, "sizex": width, "sizey": 0.24, "sizing": "contain"}
        | {"xref": "x", "yref": "paper", "xanchor": "center", "yanchor": "top"}
        for source, place in zip(pictures, places, strict=True)
    ]
    yaxis = {"title": f"probability of {words(of)} (%)", "range": [-2, 102], "domain": [0, 0.72]}
    return {"images": images, "yaxis": yaxis, "hovermode": "x unified"}


def colour_scale(colour_map: str, steps: int = 17) -> list[list[Any]]:
    """Return a matplotlib colour map in plotly's form."""
    return [[float(at), to_hex(colormaps[colour_map](at))] for at in np.linspace(0, 1, steps)]


def gradient(colour_map: str) -> str:
    """Return a matplotlib colour map as a CSS gradient."""
    return f"linear-gradient(90deg, {', '.join(colour for _, colour in colour_scale(colour_map))})"


def percent(values: Any) -> np.ndarray:
    """Convert rates to percent, in single precision to keep the page small."""
    return (100 * np.asarray(values, float)).astype(np.float32)
