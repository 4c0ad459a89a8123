"""lit_shift: why CNNs are not shift-invariant, and the low-pass cure, measured exactly."""

from lit_shift.utils.threads import wait_briefly

wait_briefly()  # must run before torch is imported

__version__ = "0.2.0"  # pyproject.toml reads it here


def __getattr__(name: str) -> object:
    if name == "antialias":  # on demand, because it imports torch
        from lit_shift.surgery import antialias

        return antialias
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
