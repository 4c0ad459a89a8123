"""lit_shift: why CNNs are not shift-invariant, and the low-pass cure, measured exactly."""
