"""Networks from elsewhere become classifiers once they have been tried on an image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_shift.classifiers.class_names import class_names
from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.view import INTERPOLATIONS, View
from lit_shift.utils.errors import InputError, at_least, one_of


def seen_as(mean: Sequence[float], std: Sequence[float], size: int, resize: int | None, interpolation: str) -> View:
    """Return the view of a network with a square input, or raise an InputError if an option has no meaning.

    Args:
        mean: of each channel, for pixels in [0, 1], (3,).
        std: likewise.
        size: side of the input.
        resize: see :class:`lit_shift.data.view.View`.
        interpolation: likewise.
    """
    for key, values in (("mean", mean), ("std", std)):
        if not isinstance(values, Sequence) or len(values) != 3:
            raise InputError(f"{key}={values} must be three numbers, one for each channel.")
    one_of(INTERPOLATIONS, "interpolation", interpolation)
    at_least(1, "size", size)
    if resize is not None:
        at_least(1, "resize", resize)
    return View(size, size, resize, interpolation)


def adopted(
    net: nn.Module, mean: Sequence[float], std: Sequence[float], view: View, names: list[str] | None
) -> Classifier:
    """Make a classifier, after a first forward pass that finds the number of outputs."""
    try:
        with torch.no_grad():
            logits = net.cpu().eval()(torch.zeros(1, 3, view.height, view.width))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"The network cannot take an image of {view.height}x{view.width} pixels ({reason})."
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(f"The network returns {_described(logits)} for an image, not logits (1, K).")
    return Classifier(net, mean, std, class_names(names, logits.shape[1]), view)


def _described(output: object) -> str:
    return f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
