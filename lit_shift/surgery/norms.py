"""Statistics of batch norms, estimated anew on images without labels."""

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_shift.utils.errors import InputError


def has_norms(net: nn.Module) -> bool:
    """True if a network has batch norms that keep statistics."""
    return any(isinstance(module, _BatchNorm) and module.track_running_stats for module in net.modules())


@torch.no_grad()
def with_norms_of(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy of a network, in eval mode, whose batch norms have the statistics of these images.

    In each pass the norms use the batch's own mean and variance, as in training; all else is in eval mode. The
    statistics are means over batches, weighted by their numbers of images.

    Args:
        net: the network.
        batches: normalised images (N, C, H, W), at least two values in each channel of every map.

    Raises:
        InputError: there are no images, or no batch norms.
    """
    net = deepcopy(net).eval()
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        raise InputError("The network has no batch norms whose statistics could be estimated anew.")
    momenta, seen = [norm.momentum for norm in norms], 0
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    for batch in batches:
        seen += len(batch)
        for norm in norms:
            norm.momentum = len(batch) / seen
        net(batch)
    if not seen:
        raise InputError("There are no images on which the batch norms' statistics could be estimated anew.")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return net.eval()
