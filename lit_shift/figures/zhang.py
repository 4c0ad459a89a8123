"""The figures of Zhang's paper."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from lit_shift.figures.style import (
    DISTANCE_MAP,
    FAMILY_COLOURS,
    LENGTH_MARKERS,
    OTHER_FAMILY,
    OTHER_LENGTH,
    PUBLISHED_COLOUR,
    Array,
    filmstrip,
    legend_below,
    panels,
    probability_curves,
    styled,
)
from lit_shift.measures import MEASURES

# Bins of histograms of the variation, ten per decade.
VARIATION_EDGES = np.logspace(-5, 0, 51)
LEADER = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4}  # from a name to its point


class LayerDistance(NamedTuple):
    """A layer in :func:`equivariance`.

    ``by_shift`` (H, W), the mean distance at shift (h, w); ``between_images``, that between different images;
    ``resolution``, (height, width) of the layer's map.
    """

    by_shift: Array
    between_images: float
    resolution: tuple[int, int]


def equivariance(models: Mapping[str, Mapping[str, LayerDistance]], columns: int = 6) -> Figure:
    """Heat map per layer of the distance between its shifted features and its features of the shifted image.

    Distances from invariance, i.e. between features of the image and of the shifted image, are drawn alike. The
    unshifted image is at the centre. Blue is 0, red is half the layer's mean distance between different images. Models
    are drawn above each other, layer by layer.

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
            if column == 0 and len(models) > 1:
                ax.text(-0.4, 0.5, name, rotation=90, ha="right", va="center", transform=ax.transAxes, fontsize=8)
    for ax in axes[:, 0]:
        ax.tick_params(labelleft=True)
        ax.set_ylabel("shift h (px)", fontsize=6)
    for ax in axes[-1]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("shift w (px)", fontsize=6)
    if image is not None:
        bar = figure.colorbar(image, ax=axes, location="bottom", aspect=60, shrink=0.6, ticks=[0, 0.5, 1])
        bar.ax.set_xticklabels(["0", "1/4", "1/2"], fontsize=8)
        bar.set_label("cosine distance, in units of that between different images", fontsize=8)
    return figure


def _heat_map(ax: Axes, layer: LayerDistance) -> Any:
    height, width = layer.by_shift.shape
    top = layer.between_images / 2
    ax.set_axis_on()
    ax.set_xticks([-(width // 4), 0, width // 4])
    ax.set_yticks([-(height // 4), 0, height // 4])
    ax.tick_params(labelsize=6, labelleft=False, labelbottom=False)
    return ax.imshow(
        np.fft.fftshift(layer.by_shift) / (top if top > 0 else 1),
        cmap=DISTANCE_MAP,
        vmin=0,
        vmax=1,
        extent=(-width / 2 - 0.5, width / 2 - 0.5, height / 2 - 0.5, -height / 2 - 0.5),
        interpolation="nearest",
    )


def variation_counts(variations: Array) -> Array:
    """Number of images in each bin of :data:`VARIATION_EDGES`. The first bin includes those below it."""
    return np.histogram(np.maximum(variations, VARIATION_EDGES[0]), VARIATION_EDGES)[0]


def variation(variations: Mapping[str, Array]) -> Figure:
    """Histogram over images: the variance over shifts of the probability of the correct class.

    Args:
        variations: (N,) for each model, in [0, 1].

    Source: Zhang, section 4.2.3 and Fig. 6.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, values, style in styled(variations):
        label = f"{name} (mean {MEASURES['variation'].written(float(np.nanmean(values)))})"
        ax.stairs(variation_counts(values), VARIATION_EDGES, label=label, linewidth=1.5, **style)
    ax.set(
        xscale="log",
        xlabel="variation: variance over shifts of the probability of the correct class\n"
        "(images below $10^{-5}$ are in the first bin)",
        ylabel="test images",
        xlim=(VARIATION_EDGES[0], VARIATION_EDGES[-1]),
    )
    ax.set_ylim(bottom=0)
    legend_below(figure, ax, columns=2)
    return figure


def filter_tv(models: Mapping[str, Mapping[str, float]]) -> Figure:
    """Total variation of the learned filters by layer. Lower is smoother.

    Args:
        models: for each model, the total variation of each layer.

    Source: Zhang, Fig. 7.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, layers, style in styled(models):
        ax.plot(list(layers), list(layers.values()), marker="o", label=name, **style)
    ax.set(ylabel="total variation of the filters, normalised")
    ax.tick_params(axis="x", rotation=45)
    legend_below(figure, ax, columns=2)
    return figure


def filter_tv_course(models: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Total variation of each layer's filters during training, one panel per layer, all with one vertical axis.

    Args:
        models: for each model, ``epoch`` (E,) and the values (E,) of each layer.
    """
    layers = list(dict.fromkeys(layer for model in models.values() for layer in model if layer != "epoch"))
    figure, axes = panels(len(layers), 5, 2.3, 2, sharex=True, sharey=True)
    for ax, layer in zip(axes.flat, layers, strict=False):
        for name, model, style in styled(models):
            if layer in model:
                ax.plot(model["epoch"], model[layer], marker=".", markersize=4, label=name, **style)
        ax.set_title(layer, fontsize=9)
        ax.tick_params(labelsize=7)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes[-1]:
        ax.set_xlabel("epoch", fontsize=8)
    figure.supylabel("total variation of the filters", fontsize=9)
    legend_below(figure, axes.flat[0], columns=4)
    return figure


def stability(
    curves: Mapping[str, Array], pixels: Array, titles: Sequence[str], thumbnails: int = 8, columns: int = 2
) -> Figure:
    """Probability of the correct class along a diagonal shift, one panel per image, with shifted images below.

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
        probability_curves(ax, np.arange(steps), {name: curve[place] for name, curve in curves.items()})
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
        shifted = [np.roll(image, (d, d), (1, 2)) for d in shown]
        filmstrip(strip, shifted, shown, half, interpolation="nearest")  # each below its place on the curve
        for axis in (ax, strip):
            axis.set(xlim=(-half, steps - 1), xticks=shown)
        strip.tick_params(labelsize=7)
        strip.set_xlabel("diagonal shift in pixels", fontsize=8)
    legend_below(figure, ax, columns=2)
    return figure


class Point(NamedTuple):
    """A model in :func:`accuracy_consistency`, with rates in [0, 1]."""

    name: str
    family: str
    taps: int
    aug: bool
    accuracy: float
    consistency: float
    published: bool


def accuracy_consistency(points: Sequence[Point]) -> Figure:
    """Consistency against accuracy: shape by filter length, colour by family, published points in grey.

    There is one panel without shift augmentation and one with it, each with its own axes.

    Source: Zhang, Fig. 5.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, aug in zip(axes, (False, True), strict=True):
        for point in sorted(points, key=lambda point: not point.published):
            if point.aug == aug:
                ax.scatter(
                    100 * point.accuracy,
                    100 * point.consistency,
                    marker=LENGTH_MARKERS.get(point.taps, OTHER_LENGTH),
                    color=PUBLISHED_COLOUR if point.published else FAMILY_COLOURS.get(point.family, OTHER_FAMILY),
                    s=30 if point.published else 60,
                    zorder=1 if point.published else 2,
                )
        ax.set(title=f"{'with' if aug else 'without'} shifts in training")
        ax.set(xlabel="accuracy, percent", ylabel="consistency, percent")
        ax.grid(alpha=0.3)
        ours = [point for point in points if point.aug == aug and not point.published]
        # Parts of the names that all share are not shown.
        shared = set.intersection(*(set(point.name.split("-")) for point in ours)) if len(ours) > 1 else set()
        for point in ours:
            name = "-".join(part for part in point.name.split("-") if part not in shared)
            place = (100 * point.accuracy, 100 * point.consistency)
            how = {"textcoords": "offset points", "arrowprops": LEADER, "ha": "center", "va": "center", "fontsize": 8}
            ax.annotate(name or point.name, place, (0, 0), **how)
        if not ax.collections:
            ax.set(xticks=[], yticks=[])
        if not ours:
            ax.text(0.5, 0.5, "no run", transform=ax.transAxes, ha="center", color="0.5")
    families = [Line2D([], [], color=colour, marker="o", ls="", label=name) for name, colour in FAMILY_COLOURS.items()]
    lengths = [
        Line2D([], [], color="0.3", marker=m, ls="", label=f"{n} tap{'s' * (n > 1)}") for n, m in LENGTH_MARKERS.items()
    ]
    grey = [Line2D([], [], color=PUBLISHED_COLOUR, marker="o", ls="", label="published")]
    published = grey if any(point.published for point in points) else []
    figure.legend(
        handles=[*families, *published, *lengths], title="family, taps", loc="outside right center", fontsize=8
    )
    figure.draw_without_rendering()  # fixes the axes
    for ax in axes:
        _place_names(ax)
    return figure


def _place_names(ax: Axes) -> None:
    """Move each name to the nearest place beside its point where it covers no point and no other name."""
    unit = ax.figure.dpi / 72  # pixels per typographic point
    points = [ax.transData.transform(np.asarray(points.get_offsets()))[0] for points in ax.collections]
    taken = [Bbox.from_bounds(x - 4 * unit, y - 4 * unit, 8 * unit, 8 * unit) for x, y in points]
    for name in (text for text in ax.texts if isinstance(text, Annotation)):
        width, height = Text.get_window_extent(name).size
        for reach, angle in product((9, 18, 30, 45, 60, 80), np.pi / 4 * np.array([0, 4, 2, 6, 1, 3, 5, 7])):
            way = np.array([np.cos(angle) * (reach + width / unit / 2), np.sin(angle) * (reach + height / unit / 4)])
            left, bottom = ax.transData.transform(name.xy) + unit * way - (width / 2, height / 2)
            box = Bbox.from_bounds(left, bottom, width, height)
            inside = ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max)
            if inside and not any(box.overlaps(other) for other in taken):
                break
        name.set_position(tuple(way))
        taken.append(box)
