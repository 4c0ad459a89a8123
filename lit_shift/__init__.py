"""lit_shift: why CNNs are not shift-invariant, and the low-pass cure, measured exactly."""

from importlib.metadata import version

from lit_shift.utils.threads import wait_briefly

wait_briefly()  # must run before torch is imported

__version__ = version("lit-shift")
