"""What surrounds a command: errors in a sentence, sweeps, live view, exit codes. Needs no torch."""
