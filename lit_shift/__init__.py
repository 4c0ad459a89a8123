"""lit_shift: why CNNs are not shift-invariant, and the low-pass cure, measured exactly."""

from lit_shift.utils.threads import wait_briefly

wait_briefly()  # must run before torch is imported

__version__ = "0.2.0"  # pyproject.toml reads it here
