import importlib.util
import sys

import pytest


@pytest.fixture
def interpreted(monkeypatch):
    """The Triton kernels as its interpreter runs them on a CPU, in the place of those that need a GPU, by module."""
    found = {}
    for name in ("triton_border", "triton_norm", "triton_pool"):
        full = f"lit_shift.kernels.{name}"
        spec = importlib.util.find_spec(full)
        module = importlib.util.module_from_spec(spec)
        with monkeypatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, full, module)
        monkeypatch.setattr(f"lit_shift.kernels.{name}", module, raising=False)
        found[name] = module
    small = {"SAMPLES": 8, "CHANNELS": 16, "LANES": 64, "ADDED": 4, "SETTLED": 4}  # several programs on small maps
    for name, value in small.items():
        monkeypatch.setattr(found["triton_norm"], name, value)
    monkeypatch.setattr(found["triton_pool"], "CHANNELS", 16)
    monkeypatch.setattr(found["triton_pool"], "NUMBERS", 64)
    monkeypatch.setattr("lit_shift.kernels.gpu_pool.applies", lambda x: True)
    return found
