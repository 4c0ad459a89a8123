"""Transforms of PyTorch that need a formula of each operation, which those written by hand do not have."""

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def transformed(x: Tensor) -> bool:
    """True if ``x`` is differentiated in forward mode, or a transform of ``torch.func`` is active.

    A custom function with a formula for forward mode could not be compiled: ``torch.compile`` refuses them.
    """
    return unpack_dual(x).tangent is not None or torch._C._are_functorch_transforms_active()
