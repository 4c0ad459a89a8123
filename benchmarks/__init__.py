"""Benchmarks, on threads that wait as those of the commands do."""

import lit_shift  # noqa: F401 - before torch
