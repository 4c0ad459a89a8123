"""Antialiasing of any convolutional network, layer by layer."""

from collections.abc import Collection
from contextlib import suppress
from copy import deepcopy

import torch
from torch import Tensor, nn

from lit_shift.filters import FILTERS
from lit_shift.models.anatomy import multiplications
from lit_shift.padding import PADDINGS, Padding
from lit_shift.surgery.report import Report
from lit_shift.surgery.steps import DENSE_FIRST, ORDERS
from lit_shift.surgery.surgeon import Surgeon
from lit_shift.surgery.survey import Survey, survey
from lit_shift.utils.errors import InputError, one_of, unknown

SIZES = (224, 32, 299, 64, 28)  # of the images that are tried if no example is given


def antialias(
    model: nn.Module,
    filter: str = "tri3",
    order: str = DENSE_FIRST,
    padding: Padding | None = None,
    leave: Collection[str] = (),
    example: Tensor | None = None,
) -> nn.Module:
    """Return a copy of a network in which a low-pass filter precedes each subsampling.

    Every strided convolution, max and average pool, and slicing by a step of 2, becomes dense (at stride 1), then
    blurred, then subsampled. Behind a convolution its norm and activation come before the blur. A 1x1 convolution with
    nothing nonlinear behind it, as on a shortcut, is blurred first, which is the same for fewer multiplications. A
    stride of 4 or 8 is subsampled by 2 in turn, with a blur each time. Parameters and their names stay the same, as do
    the shapes of outputs at every input size.

    Args:
        model: images (N, C, H, W) -> anything. It is not changed.
        filter: one of :data:`lit_shift.filters.FILTERS`; ``delta`` changes no result.
        order: ``dense_first``, Zhang's; or ``blur_first``, where the blur is followed by the strided layer as it was,
            which costs little but lets the layer itself alias.
        padding: border of the blurs. None takes each layer's own: that of a convolution's ``padding_mode``; for layers
            without a border, circular if those of all convolutions are, else ``reflect``.
        leave: names of layers to leave as they are, such as the first convolution, which Zhang left.
        example: images (1, C, H, W) of the size that the network is meant for, with which it is run once. None tries
            224, 32, 299, 64 and 28.

    Returns:
        The copy, in the mode of ``model``. Its attribute ``surgery`` is a :class:`~lit_shift.surgery.report.Report`.

    Raises:
        InputError: unknown filter, order or padding; the network cannot be run on the example, nothing subsamples, a
            transformer, or a forward pass that cannot be traced.

    Source: Zhang, section 3, for max pools and for any strided layer.
    """
    one_of(FILTERS, "filter", filter)
    one_of(ORDERS, "order", order)
    if padding is not None:
        one_of(PADDINGS, "padding", padding)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise InputError("Layers inside TorchScript cannot be changed: antialias the network that was scripted.")
    net = deepcopy(model).eval()
    example = _runs(net, example)
    found = survey(net, example)
    _check(net, found)
    names = {each.path for each in found.subsamplings}
    if strangers := [name for name in leave if name not in names]:
        raise unknown("layer to leave", strangers[0], sorted(names))
    surgeon = Surgeon(net, found, filter, order, padding, leave, example)
    rows = tuple(surgeon.treat(each) for each in found.subsamplings)
    surgeon.finish()
    if not any(row.became for row in rows):
        named = "; ".join(f"{row.name} ({row.left})" for row in rows)
        raise InputError(f"No subsampling of the network can be antialiased: {named}.")
    total = 0
    with suppress(Exception):  # a network whose forward pass depends on values, which counting does not compute
        total = multiplications(model, example)
    net.surgery = Report(rows, total, (example.shape[2], example.shape[3]))  # type: ignore[assignment]
    modes = {path: module.training for path, module in model.named_modules()}
    for path, module in net.named_modules():
        module.training = modes.get(path, model.training)
    return net


def _runs(net: nn.Module, example: Tensor | None) -> Tensor:
    """Return an example on which the network runs, or raise an InputError."""
    first = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise InputError("The network has no convolution, so there is nothing to antialias.")
    examples = [torch.zeros(1, first.in_channels, size, size) for size in SIZES] if example is None else [example]
    reasons = []
    for each in examples:
        each = each.to(first.weight)
        try:
            with torch.no_grad():
                net(each)
            return each
        except Exception as error:
            reasons.append(" ".join(f"{type(error).__name__}: {error}".split()))
    tried = " and ".join("x".join(map(str, each.shape)) for each in examples[:1])
    raise InputError(f"The network cannot be run on images {tried} ({reasons[0]}): say example=, images that it takes.")


def _check(net: nn.Module, found: Survey) -> None:
    if found.attends:
        raise InputError(
            f"{type(net).__name__} attends, as transformers do: tokens are no map that could be blurred, so surgery is "
            "out of reach; a vote over shifted copies (tta=16) needs no change of the network."
        )
    if not found.subsamplings:
        raise InputError("The network has nothing that subsamples (or it is antialiased already).")
