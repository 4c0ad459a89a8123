"""Benchmarks, with OpenMP threads that wait as in the commands."""

import lit_shift  # noqa: F401 - must come before torch
