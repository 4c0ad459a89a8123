"""Rates of change of answers and layers as an image begins to shift: Lie derivatives (Gruver et al. 2023).

The image lies on a torus and shifts by fractions of a pixel, as in :func:`lit_shift.shifts.fourier_shift`. Rates are
its derivatives at shift 0, per pixel, found by differentiating the network in forward mode: they are exact, and need
neither steps nor circular boundaries.

Source: Gruver et al. 2023, *The Lie Derivative for Measuring Learned Equivariance*.
"""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from lit_shift.models.layers import Layers

AXES = (2, 3)  # of vertical and horizontal shifts


class LieDerivatives(NamedTuple):
    """Logits (N, K) of images, and their Lie derivatives (N,): of the output and, by name, of each layer."""

    logits: Tensor
    output: Tensor
    layers: dict[str, Tensor]


def lie_derivatives(layers: Layers, x: Tensor) -> LieDerivatives:
    """Rates per pixel at which a network's answers and layers change, each the mean of both directions of shift.

    For the output, this is :func:`probability_rate`, for a layer its :func:`departure`. What the network detaches from
    differentiation counts as constant. At a kink, such as the maximum of equal samples, PyTorch takes the rate of one
    side.

    Args:
        layers: of the network, which computes logits (N, K).
        x: (N, 3, H, W) of floats.

    Raises:
        NotImplementedError: an operation of the network has no formula for forward mode.
    """
    outputs: list[Tensor] = []
    departures: defaultdict[str, list[Tensor]] = defaultdict(list)
    for axis in AXES:

        def see(name: str, map: Tensor, axis: int = axis) -> None:
            departures[name].append(departure(*_with_rate(map), x.shape, axis))

        # In inference mode, in which Lightning tests, all rates would be 0 without a warning.
        with torch.inference_mode(False), torch.no_grad(), dual_level(), layers.watch(see):
            answers = layers.net(make_dual(x.clone(), shift_rate(x, axis)))
            constant = unpack_dual(answers).tangent is None
            logits, rates = _with_rate(answers)
        # After the watch, which is not to see this pass.
        if constant and not torch.equal(logits, layers.net(x.roll(1, axis))):
            raise NotImplementedError("its answers leave PyTorch's differentiation, as by detach() or NumPy")
        outputs.append(probability_rate(logits, rates))
    return LieDerivatives(logits, _mean(outputs), {name: _mean(each) for name, each in departures.items()})


def _with_rate(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return a tensor computed from the shifting image, and its rate."""
    value, rate = unpack_dual(y)
    return value, torch.zeros_like(value) if rate is None else rate


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean(0)


def shift_rate(x: Tensor, axis: int) -> Tensor:
    """Rate at which maps change as they begin to shift along an axis, per sample.

    A shift by t multiplies the frequency of f cycles per sample by exp(-2 pi i f t), so its rate is -2 pi i f. The
    Nyquist frequency is multiplied by cos(pi t), whose rate is 0.

    Args:
        x: (N, C, H, W) of floats.
        axis: one of :data:`AXES`.

    Returns:
        (N, C, H, W)
    """
    size = x.shape[axis]
    rates = -2j * torch.pi * torch.fft.rfftfreq(size, dtype=torch.float64)
    if size % 2 == 0:
        rates[-1] = 0
    spectrum = torch.fft.rfft(x, dim=axis)
    return torch.fft.irfft(spectrum * rates.to(spectrum).view(-1, *[1] * (3 - axis)), n=size, dim=axis)


def probability_rate(logits: Tensor, rates: Tensor) -> Tensor:
    """Mean over classes of the absolute rate of their probabilities, given the rates of the logits.

    Args:
        logits: (N, K)
        rates: (N, K)

    Returns:
        (N,) float64, at least 0.
    """
    probabilities, rates = logits.double().softmax(1), rates.double()
    rates = rates - (probabilities * rates).sum(1, keepdim=True)  # adding a number to all logits changes nothing
    return (probabilities * rates).abs().mean(1)


def departure(maps: Tensor, rates: Tensor, images: torch.Size, axis: int) -> Tensor:
    """Rate at which a layer departs from shifting with the image, relative to its map's mean absolute value.

    An equivariant layer F of stride s shifts by t / s samples if the image shifts by t pixels. The departure is the
    mean absolute value of ``d/dt F(shift_t(x)) - d/dt shift_{t/s}(F(x))`` at t = 0, divided by that of ``F(x)``, so
    that layers compare whatever their scale.

    Args:
        maps: (N, C, h, w), F(x).
        rates: (N, C, h, w), their rates as the image shifts along the axis.
        images: shape of the images, (N, 3, H, W). The stride is the ratio of their size to the map's.
        axis: one of :data:`AXES`.

    Returns:
        (N,), at least 0; not finite where a map is 0 everywhere.
    """
    expected = shift_rate(maps, axis) * (maps.shape[axis] / images[axis])
    return (rates - expected).abs().mean((1, 2, 3)) / maps.abs().mean((1, 2, 3))


def bandwidth(x: Tensor) -> Tensor:
    """Root mean square spatial frequency of images about their mean, as a fraction of the Nyquist frequency.

    This is ``sqrt(sum P (u^2 + v^2) / sum P)`` over all frequencies except zero, where P is the power, summed over
    channels, and u and v are the vertical and horizontal frequency divided by half a cycle per pixel. The higher it
    is, the faster the image itself changes as it shifts.

    Args:
        x: (N, C, H, W)

    Returns:
        (N,) float64 in [0, sqrt 2]: 1 for vertical stripes one pixel wide, sqrt 2 for a chessboard of pixels, and NaN
        for a constant image.
    """
    x = x.double()
    x = x - x[:, :, :1, :1]  # a constant image becomes exactly 0
    power = torch.fft.fft2(x).abs().square().sum(1)
    power[:, 0, 0] = 0
    rows, cols = (2 * torch.fft.fftfreq(size, dtype=torch.float64, device=x.device) for size in x.shape[2:])
    squares = rows[:, None].square() + cols.square()
    return ((power * squares).sum((1, 2)) / power.sum((1, 2))).clamp(max=2).sqrt()
