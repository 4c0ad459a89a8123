"""Signals, their subsampling and its filters: why aliasing happens."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lit_shift.figures.style import Array, panels


def downsampling(signal: Array, steps: Mapping[str, Sequence[Array]]) -> Figure:
    """A one-dimensional signal and its shift by one sample, step by step through a pool, with spectra below.

    A shift changes no magnitude as long as every sample is kept. Where subsampling has folded frequencies onto each
    other, the spectra differ.

    Args:
        signal: (n,)
        steps: for each step or pool, the results for the signal and for its shift: two arrays (n,) or (n / 2,).

    Source: Zhang, Fig. 3.
    """
    figure = Figure(figsize=(2.6 * (len(steps) + 1), 5), layout="constrained")
    axes = figure.subplots(2, len(steps) + 1, sharey="row")
    places = np.arange(len(signal))
    panels = {"input": (signal, np.roll(signal, 1)), **steps}
    for above, below, (name, pair) in zip(*axes, panels.items(), strict=True):
        stride = len(signal) // len(pair[0])
        for values, label, style in zip(pair, ("signal", "shifted by one"), ("o-", "s--"), strict=True):
            above.plot(places[::stride], values, style, label=label)
            below.plot(*spectrum(np.asarray(values), stride), style)
        above.set(ylim=(-0.1, 1.1), xticks=places)
        above.set_title(name, fontsize=10)
        above.set_xlabel("sample of the input", fontsize=8)
        below.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=[0, 0.5, 1])
        below.set_xlabel("frequency / Nyquist frequency of the input", fontsize=8)
    axes[1, 0].set_ylabel("magnitude", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def spectrum(values: Array, stride: int = 1) -> tuple[Array, Array]:
    """Frequencies and magnitudes of a signal's Fourier components; that of frequency 0 is its mean.

    Args:
        values: (n,)
        stride: number of input samples per sample of the signal.

    Returns:
        (n // 2 + 1,) each; frequencies in units of the input's Nyquist frequency, from 0 to 1 / stride.
    """
    n = len(values)
    return 2 * np.arange(n // 2 + 1) / (n * stride), np.abs(np.fft.rfft(values)) / n


def frequency_responses(
    families: Mapping[str, Mapping[str, Array]],
    measured: Mapping[str, tuple[Array, Array]] | None = None,
    columns: int = 3,
    points: int = 256,
) -> Figure:
    """Magnitude of filters' frequency responses, from 0 to the Nyquist frequency, one panel per family.

    The dashed line is the ideal filter before subsampling by 2, which can keep half of the band.

    Args:
        families: taps (n,) of each filter of each family.
        measured: for some filters, frequencies (k,) in units of the Nyquist frequency and gains (k,), drawn as dots.
    """
    figure, axes = panels(len(families), columns, 6.4 if len(families) == 1 else 3.4, 2.8, sharex=True, sharey=True)
    omega = np.linspace(0, np.pi, points)
    for ax, (family, filters) in zip(axes.flat, families.items(), strict=False):
        for name, taps in filters.items():
            gain = np.abs(np.exp(-1j * np.outer(omega, np.arange(len(taps)))) @ taps)
            (line,) = ax.plot(omega / np.pi, gain, label=name)
            if places := (measured or {}).get(name):
                ax.plot(*places, "o", color=line.get_color(), markersize=4, clip_on=False)
        ax.plot([0, 0.5, 0.5, 1], [1, 1, 0, 0], "k--", linewidth=1, label="ideal")
        ax.set(xlim=(0, 1))
        ax.set_title(family, fontsize=10)
        ax.legend(fontsize=8)
        ax.tick_params(labelbottom=True)
    figure.supxlabel("frequency / Nyquist frequency", fontsize=10)
    figure.supylabel("gain", fontsize=10)
    return figure


def aliasing(curve: Array, samples: Mapping[str, Array]) -> Figure:
    """A continuous signal, and its samples before and after several ways of subsampling, one panel below the other.

    Args:
        curve: (m,), the signal, sampled so finely that it looks continuous; drawn in grey in every panel.
        samples: by name, arrays (n,) of any length, equally spaced over the curve's extent. The longest sets the unit
            of the axis.

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
    """Maps of one channel in grey, a row for each model and a column for each kind. Black is 0.

    Args:
        models: for each model, maps (h, w) by name, at least 0, of any size. White is 1, or a larger maximum.
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
