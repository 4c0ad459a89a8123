"""What glibc does with the memory of freed tensors."""

import ctypes
import os

# Of malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
VARIABLES = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_"}  # by which a user sets the same


def keep_freed_memory(keep: bool = True) -> None:
    """Have large tensors reuse the memory of those freed before them, which on a CPU saves a tenth of a training step.

    Otherwise glibc gives it back to the kernel and asks for it anew, page by page. Where there is no glibc, or where
    the user's environment has told it what to do, nothing changes.

    Args:
        keep: False for what glibc does by itself once a program has freed a few large tensors.
    """
    if VARIABLES & os.environ.keys() or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    mallopt = None if os.name == "nt" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    settings = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
    if not keep:
        settings = {MMAP_MAX: 65536, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}
    for parameter, value in settings.items():
        mallopt(parameter, value)
