"""lit_shift: why CNNs are not shift-invariant, and the low-pass cure, measured exactly."""

from lit_shift.utils.threads import wait_briefly

wait_briefly()  # here, as it must come before torch
