"""GPUs that can run the Triton kernels."""

import warnings
from functools import cache

import torch

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@torch.compiler.assume_constant_result
def runs_on(device: torch.device) -> bool:
    """True if the kernels run on this GPU, found by running them once. If they do not, a warning says why."""
    return _tried(device)


@cache
def _tried(device: torch.device) -> bool:
    try:
        from lit_shift.kernels import triton_norm, triton_pool  # here, because not every platform has Triton

        x, vector = torch.zeros(2, 1, 2, 2, device=device), torch.ones(1, device=device)
        triton_pool.backward(x, triton_pool.forward(x, (1.0,)), (1.0,))
        y, statistics, scale = triton_norm.forward(x, vector, vector, (vector.clone(), vector.clone()), 0.1, 1e-5, 1)
        triton_norm.backward(x, y, statistics, scale, vector, 1e-5, 1)
        torch.cuda.synchronize(device)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        message = f"Pools and norms take several steps, which is slower: their kernels do not run here ({reason})."
        warnings.warn(message, stacklevel=1)
        return False
    return True
