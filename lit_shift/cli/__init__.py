"""Everything around a command: error sentences, sweeps, live view, exit codes. Needs no torch."""
