"""Data read back from a figure's artists."""

import numpy as np
from matplotlib.collections import FillBetweenPolyCollection

RNG = np.random.default_rng(0)
LONG = "torchvision inception_resnet_v2"


def intervals(size):
    mean = RNG.random(size)
    return np.stack([mean, mean - 0.1 * RNG.random(size), mean + 0.1 * RNG.random(size)], axis=1)


def band(collection):
    """The places, lower and upper ends of what fill_between has drawn."""
    (path,) = collection.get_paths()
    ends = {}
    for x, y in path.vertices:
        low, high = ends.get(x, (y, y))
        ends[x] = (min(low, y), max(high, y))
    return [(x, *ends[x]) for x in sorted(ends)]


def bands(ax):
    return [band(drawn) for drawn in ax.collections if isinstance(drawn, FillBetweenPolyCollection)]


def labelled(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def names_fit(figure):
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
