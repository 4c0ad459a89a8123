"""The papers' figures: arrays in, a matplotlib figure out.

Models are told apart by name: a mapping from name to data draws each in a colour of its own, in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array = NDArray[Any]
Data = TypeVar("Data")

FAMILY_COLOURS = {"delta": "black", "rect": "tab:blue", "tri": "tab:orange", "pascal": "tab:green"}
FAMILY_COLOURS |= {"window": "tab:red", "ls": "tab:purple"}
LENGTH_MARKERS = {1: "x", 2: "d", 3: "^", 4: "s", 5: "p", 6: "h", 7: "o"}
# For models: ten colours, then the same dashed and dotted.
STYLES = [{"color": f"C{number}", "linestyle": dash} for dash in ("-", "--", ":", "-.") for number in range(10)]


class LayerDistance(NamedTuple):
    """What :func:`equivariance` draws of a layer.

    ``by_shift`` (H, W), the mean distance at shift (h, w); ``between_images``, that between different images;
    ``resolution`` (height, width) of the layer's map.
    """

    by_shift: Array
    between_images: float
    resolution: tuple[int, int]


def equivariance(models: Mapping[str, Mapping[str, LayerDistance]], columns: int = 6) -> Figure:
    """A heat map for each layer: how far its shifted features are from the features of the shifted image.

    No shift is in the middle. Blue is 0, red is half of the layer's mean distance between different images. Models are
    drawn above each other, layer by layer.

    Source: Zhang, Fig. 4.
    """
    layers = list(dict.fromkeys(layer for model in models.values() for layer in model))
    columns = max(1, min(columns, len(layers)))
    bands = -(-len(layers) // columns)
    figure = Figure(figsize=(1.75 * columns, (1.6 * len(models) + 0.5) * bands + 0.8), layout="constrained")
    axes = figure.subplots(bands * len(models), columns, squeeze=False)
    image = None
    for ax in axes.flat:
        ax.set_axis_off()
    for place, layer in enumerate(layers):
        band, column = divmod(place, columns)
        for row, (name, model) in enumerate(models.items()):
            ax = axes[band * len(models) + row, column]
            if layer in model:
                image = _heat_map(ax, model[layer])
            if row == 0:
                height, width = next(model[layer] for model in models.values() if layer in model).resolution
                ax.set_title(f"{layer} [{height}x{width}]", fontsize=8)
            if column == 0:
                ax.text(-0.12, 0.5, name, rotation=90, ha="right", va="center", transform=ax.transAxes, fontsize=8)
    if image is not None:
        bar = figure.colorbar(image, ax=axes, location="bottom", aspect=60, shrink=0.6, ticks=[0, 0.5, 1])
        bar.ax.set_xticklabels(["0", "1/4", "1/2"], fontsize=8)
        bar.set_label("cosine distance, in units of that between different images", fontsize=8)
    return figure


def _heat_map(ax: Axes, layer: LayerDistance) -> Any:
    height, width = layer.by_shift.shape
    top = layer.between_images / 2
    ax.set_axis_on()
    ax.set_xticks([0], ["0"], fontsize=6)
    ax.set_yticks([0], ["0"], fontsize=6)
    return ax.imshow(
        np.fft.fftshift(layer.by_shift) / (top if top > 0 else 1),
        cmap="RdYlBu_r",
        vmin=0,
        vmax=1,
        extent=(-width / 2 - 0.5, width / 2 - 0.5, height / 2 - 0.5, -height / 2 - 0.5),
        interpolation="nearest",
    )


def variation(deviations: Mapping[str, Array], bins: int = 50) -> Figure:
    """Histogram over images of the standard deviation, over shifts, of the probability of the correct class.

    Args:
        deviations: (N,) for each model, in [0, 0.5].

    Source: Zhang, section 4.2.3 and Fig. 6.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    edges = np.linspace(0, max(0.5, *(values.max() for values in deviations.values())), bins + 1)
    for name, values, style in _styled(deviations):
        counts, label = np.histogram(values, edges)[0], f"{name} (mean {values.mean():.3f})"
        ax.stairs(counts, edges, label=label, linewidth=1.5, **style)
    ax.set(
        yscale="log",
        xlabel="standard deviation over shifts of the probability of the correct class",
        ylabel="test images",
        xlim=(edges[0], edges[-1]),
    )
    ax.set_ylim(bottom=0.5)
    _legend_below(figure, ax, columns=2)
    return figure


def filter_tv(models: Mapping[str, Mapping[str, float]]) -> Figure:
    """Total variation of the learned filters by layer; lower is smoother.

    Args:
        models: for each model, the total variation of each layer.

    Source: Zhang, Fig. 7.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, layers, style in _styled(models):
        ax.plot(list(layers), list(layers.values()), marker="o", label=name, **style)
    ax.set(ylabel="total variation of the filters, normalised")
    ax.tick_params(axis="x", rotation=45)
    _legend_below(figure, ax, columns=2)
    return figure


def _styled(models: Mapping[str, Data]) -> Iterator[tuple[str, Data, dict[str, Any]]]:
    """Each model's name, data and line style."""
    for (name, data), style in zip(models.items(), cycle(STYLES), strict=False):
        yield name, data, style


def _legend_below(figure: Figure, ax: Axes, columns: int) -> None:
    """The models' names below the panels, in a sheet that is higher for many."""
    handles, names = ax.get_legend_handles_labels()
    columns = min(columns, len(names))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8)


def filter_tv_course(models: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Total variation of each layer's filters over training, a panel for each layer.

    Args:
        models: for each model, ``epoch`` (E,) and the values (E,) of each layer.
    """
    layers = list(dict.fromkeys(layer for model in models.values() for layer in model if layer != "epoch"))
    columns = min(5, max(1, len(layers)))
    rows = max(1, -(-len(layers) // columns))
    figure = Figure(figsize=(2.3 * columns, 2 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for ax in axes.flat[len(layers) :]:
        ax.set_axis_off()
    for ax, layer in zip(axes.flat, layers, strict=False):
        for name, model, style in _styled(models):
            if layer in model:
                ax.plot(model["epoch"], model[layer], marker=".", markersize=4, label=name, **style)
        ax.set_title(layer, fontsize=9)
        ax.tick_params(labelsize=7)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes[-1]:
        ax.set_xlabel("epoch", fontsize=8)
    figure.supylabel("total variation of the filters", fontsize=9)
    _legend_below(figure, axes.flat[0], columns=4)
    return figure


def stability(
    curves: Mapping[str, Array], pixels: Array, titles: Sequence[str], thumbnails: int = 8, columns: int = 2
) -> Figure:
    """Probability of the correct class along a diagonal shift, an image a panel, with the shifted images below.

    Args:
        curves: for each model (M, D), the probability at the shifts (d, d).
        pixels: (M, 3, H, W) uint8.
        titles: of the M panels.

    Source: Zhang, Fig. 2.
    """
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    figure = Figure(figsize=(5 * columns, 2.7 * rows + 0.4), layout="constrained")
    panels = np.array(figure.subfigures(rows, columns, squeeze=False)).flat
    steps = next(iter(curves.values())).shape[1]
    shown = np.linspace(0, steps, thumbnails, endpoint=False).astype(int)
    half = 0.48 * steps / thumbnails
    for panel, image, title, place in zip(panels, pixels, titles, range(len(pixels)), strict=False):
        ax, strip = panel.subplots(2, 1, height_ratios=(3.2, 1))
        for name, probabilities, style in _styled(curves):
            ax.plot(np.arange(steps), probabilities[place], label=name, linewidth=1.5, **style)
        ax.set(ylim=(-0.03, 1.03), ylabel="P(correct class)")
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
        for d in shown:  # each below its place on the curve
            thumbnail = np.roll(image, (d, d), (1, 2)).transpose(1, 2, 0)
            strip.imshow(thumbnail, extent=(d - half, d + half, 0, 1), aspect="auto", interpolation="nearest")
        for axis in (ax, strip):
            axis.set(xlim=(-half, steps - 1), xticks=shown)
        strip.set_yticks([])
        strip.tick_params(labelsize=7)
        strip.set_xlabel("diagonal shift in pixels", fontsize=8)
    _legend_below(figure, ax, columns=2)
    return figure


class Point(NamedTuple):
    """A model in :func:`accuracy_consistency`: rates in [0, 1]."""

    name: str
    family: str
    taps: int
    aug: bool
    accuracy: float
    consistency: float
    published: bool


def accuracy_consistency(points: Sequence[Point]) -> Figure:
    """Accuracy against consistency: shape by filter length, colour by family, published points in grey.

    One panel without shift augmentation, one with it.

    Source: Zhang, Fig. 5.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, aug in zip(axes, (False, True), strict=True):
        for point in sorted(points, key=lambda point: not point.published):
            if point.aug == aug:
                ax.scatter(
                    100 * point.consistency,
                    100 * point.accuracy,
                    marker=LENGTH_MARKERS.get(point.taps, "*"),
                    color="0.75" if point.published else FAMILY_COLOURS.get(point.family, "tab:brown"),
                    s=30 if point.published else 60,
                    zorder=1 if point.published else 2,
                )
        ax.set(title=f"{'with' if aug else 'without'} shifts in training")
        ax.set(xlabel="consistency, percent", ylabel="accuracy, percent")
        ax.grid(alpha=0.3)
        middle = sum(ax.get_xlim()) / 2
        for point in points:
            if point.aug == aug and not point.published:
                place = (100 * point.consistency, 100 * point.accuracy)
                left = place[0] > middle  # names stay within the panel
                offset, side = ((-6, 4), "right") if left else ((6, 4), "left")
                ax.annotate(point.name, place, offset, textcoords="offset points", ha=side, fontsize=8)
        if not any(point.aug == aug and not point.published for point in points):
            ax.text(0.5, 0.5, "no run", transform=ax.transAxes, ha="center", color="0.5")
    families = [Line2D([], [], color=colour, marker="o", ls="", label=name) for name, colour in FAMILY_COLOURS.items()]
    lengths = [
        Line2D([], [], color="0.3", marker=m, ls="", label=f"{n} tap{'s' * (n > 1)}") for n, m in LENGTH_MARKERS.items()
    ]
    grey = Line2D([], [], color="0.75", marker="o", ls="", label="published")
    figure.legend(handles=[*families, grey, *lengths], title="family, taps", loc="outside right center", fontsize=8)
    return figure


def downsampling(signal: Array, steps: Mapping[str, Sequence[Array]]) -> Figure:
    """A one-dimensional signal and what becomes of it and of its shift by one sample, step by step.

    Args:
        signal: (n,)
        steps: for each step or way of pooling, what comes of the signal and of its shift: two arrays (n,) or (n / 2,).

    Source: Zhang, Fig. 3.
    """
    figure = Figure(figsize=(3 * (len(steps) + 1), 3), layout="constrained")
    axes = figure.subplots(1, len(steps) + 1, sharey=True)
    places = np.arange(len(signal))
    panels = {"input": (signal, np.roll(signal, 1)), **steps}
    for ax, (name, pair) in zip(axes, panels.items(), strict=True):
        stride = len(signal) // len(pair[0])
        for values, label, style in zip(pair, ("signal", "shifted by one"), ("o-", "s--"), strict=True):
            ax.plot(places[::stride], values, style, label=label)
        ax.set(ylim=(-0.1, 1.1), xticks=places)
        ax.set_title(name, fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def frequency_responses(
    filters: Mapping[str, Array], measured: Mapping[str, tuple[Array, Array]] | None = None, points: int = 256
) -> Figure:
    """Magnitude of filters' frequency responses, from 0 to the Nyquist frequency.

    The dashed line is the ideal filter before a subsampling by 2, which can keep half of the band.

    Args:
        filters: taps (n,) of each.
        measured: for some filters, frequencies (k,) in units of the Nyquist frequency and gains (k,), drawn as dots.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    _responses(ax, filters, points)
    for line in ax.get_lines():
        if places := (measured or {}).get(str(line.get_label())):
            ax.plot(*places, "o", color=line.get_color(), markersize=4, clip_on=False)
    ax.set(xlabel="frequency / Nyquist frequency", ylabel="gain")
    ax.legend()
    return figure


def filter_families(families: Mapping[str, Mapping[str, Array]], columns: int = 3, points: int = 256) -> Figure:
    """What :func:`frequency_responses` draws, a panel for each family of filters.

    Args:
        families: taps (n,) of each filter of each family.
    """
    columns = min(columns, len(families))
    rows = -(-len(families) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(families) :]:
        ax.set_axis_off()
    for ax, (family, filters) in zip(axes.flat, families.items(), strict=False):
        _responses(ax, filters, points)
        ax.set_title(family, fontsize=10)
        ax.legend(fontsize=8)
        ax.tick_params(labelbottom=True)
    figure.supxlabel("frequency / Nyquist frequency", fontsize=10)
    figure.supylabel("gain", fontsize=10)
    return figure


def _responses(ax: Axes, filters: Mapping[str, Array], points: int) -> None:
    omega = np.linspace(0, np.pi, points)
    for name, taps in filters.items():
        ax.plot(omega / np.pi, np.abs(np.exp(-1j * np.outer(omega, np.arange(len(taps)))) @ taps), label=name)
    ax.plot([0, 0.5, 0.5, 1], [1, 1, 0, 0], "k--", linewidth=1, label="ideal")
    ax.set_xlim(0, 1)


def aliasing(curve: Array, samples: Mapping[str, Array]) -> Figure:
    """A continuous signal, and samples of it before and after each of several ways of subsampling, below each other.

    Args:
        curve: (m,), the signal, so finely sampled that it looks continuous; drawn in grey in every panel.
        samples: by name, each (n,) with an n of its own, equally spaced over the curve's extent; the longest tells the
            unit of the axis.

    Source: the sampling theorem, whose neglect Zhang's paper is about.
    """
    figure = Figure(figsize=(9, 1.3 * len(samples) + 0.5), layout="constrained")
    axes = figure.subplots(len(samples), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    extent = max(map(len, samples.values()))
    for ax, (name, values) in zip(axes, samples.items(), strict=True):
        ax.plot(np.arange(len(curve)) * extent / len(curve), curve, color="0.8", linewidth=1)
        ax.plot(np.arange(len(values)) * extent / len(values), values, "o-", markersize=4, linewidth=1.5)
        ax.set_title(name, fontsize=9, loc="left")
        ax.set(xlim=(-0.5, extent), ylim=(-1.1 * np.abs(curve).max(), 1.1 * np.abs(curve).max()))
        ax.tick_params(labelsize=8)
    axes[-1].set_xlabel("sample of the input", fontsize=9)
    return figure


def maps(models: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Maps of one channel in grey, a row for each model and a column for each kind; black is 0.

    Args:
        models: for each model, maps (h, w) by name, at least 0, of whatever sizes. White is 1, or the largest value.
    """
    columns = max(map(len, models.values()))
    figure = Figure(figsize=(2.2 * columns + 0.3, 2.4 * len(models)), layout="constrained")
    axes = figure.subplots(len(models), columns, squeeze=False)
    white = max(1, *(shown.max() for model in models.values() for shown in model.values()))
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.set_frame_on(False)
    for row, (name, model) in zip(axes, models.items(), strict=True):
        row[0].set_ylabel(name, fontsize=10)
        for ax, (kind, shown) in zip(row, model.items(), strict=False):
            ax.imshow(shown, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
            ax.set_title(kind, fontsize=10)
    return figure
