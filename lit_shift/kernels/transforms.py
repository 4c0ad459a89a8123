"""Transforms and exports of PyTorch, which need known operations: those written by hand make way for them."""

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def transformed(x: Tensor) -> bool:
    """True if ``x`` is differentiated in forward mode, a transform of ``torch.func`` is active, or :func:`exported`.

    A custom function with a formula for forward mode could not be compiled: ``torch.compile`` refuses them.
    """
    if exported() or torch._C._are_functorch_transforms_active():
        return True
    return unpack_dual(x).tangent is not None


def exported() -> bool:
    """True while ``torch.export``, ``torch.onnx.export`` or ``torch.jit.trace`` records a program."""
    # torch.compiler.is_exporting() returns this flag too, but torch.compile of PyTorch 2.11 takes it for always true.
    return torch.compiler._is_exporting_flag or torch.jit.is_tracing()
