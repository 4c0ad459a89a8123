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
Pens = dict[str, dict[str, str]]  # colour and dash by the model's name
LEGEND: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "y": 1,
    "yanchor": "bottom",
    "itemclick": False,
    "itemdoubleclick": False,
}


def pens(models: Sequence[Findings]) -> Pens:
    """Each model's colour and dash, by name: those that the figures give it."""
    return {
        name: {"color": style["color"], "dash": DASHES[style["linestyle"]]}
        for name, _, style in styled({model.name: model for model in models})
    }


def templates() -> dict[str, Any]:
    """Plotly's template for each of the page's themes."""
    made = {}
    for name, theme in THEMES.items():
        axis: dict[str, Any] = {
            "gridcolor": theme["grid"],
            "linecolor": theme["rule"],
            "tickcolor": theme["rule"],
            "ticks": "outside",
        }
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
    """A plot for the template; ``narrow`` is what its layout has instead on a narrow screen.

    ``has`` are the names of the models that it shows.
    """
    base = go.Layout(height=height, margin={"l": 56, "r": 12, "t": 12, "b": 48}, hovermode="closest", legend=LEGEND)
    made = go.Figure(traces, base.update(layout)).to_dict()
    made["layout"].pop("template", None)
    return made | {"has": sorted({name for trace in made["data"] for name in trace.get("meta", ())}), "narrow": narrow}


def words(text: str) -> str:
    """Text for plotly, which reads tags in what it writes."""
    return escape(text, quote=False)


def line(name: str, x: Any, y: Any, pens: Pens, width: float = 2, **more: Any) -> go.Scatter:
    """A model's line."""
    more = {"mode": "lines", "name": words(name)} | more
    return go.Scatter(x=x, y=y, meta=[name], line=pens[name] | {"width": width}, **more)


def band(name: str, x: Sequence[Any], intervals: np.ndarray, pens: Pens) -> go.Scatter:
    """The 95% intervals (S, 3) around a line: mean, lower and upper end at each x, left out where they are NaN."""
    known = np.flatnonzero(~np.isnan(intervals).any(1))
    ends = np.concatenate([intervals[known, 2], intervals[known[::-1], 1]])
    trace = line(name, [x[i] for i in (*known, *known[::-1])], ends, pens, 0, showlegend=False, hoverinfo="skip")
    return trace.update(fill="toself", fillcolor=f"{pens[name]['color']}2e")


def filmed(pictures: Sequence[str], places: Sequence[float], width: float, of: str) -> dict[str, Any]:
    """The layout of a curve of the probability ``of`` a class, below pictures so wide, each above its place."""
    images = [
        {"source": source, "x": place, "y": 1, "sizex": width, "sizey": 0.24, "sizing": "contain"}
        | {"xref": "x", "yref": "paper", "xanchor": "center", "yanchor": "top"}
        for source, place in zip(pictures, places, strict=True)
    ]
    yaxis = {"title": f"probability of {words(of)} (%)", "range": [-2, 102], "domain": [0, 0.72]}
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
