import ctypes
import subprocess
import sys

import pytest

from lit_shift.training.memory import keep_freed_memory

FAULTS = """
import resource, torch
from lit_shift.training.memory import keep_freed_memory
keep_freed_memory({keep})
def work():
    for _ in range(20):
        torch.ones(2**24).add_(1)  # 64 MiB, which glibc by itself always gives back
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    """Pages that the kernel had to find while tensors were made and freed, in a process of its own."""
    code = FAULTS.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_memory_that_is_kept_need_not_be_found_again():
    assert faults(True) < faults(False) / 10


@pytest.mark.parametrize(
    ("variable", "value"), [("MALLOC_TRIM_THRESHOLD_", "0"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=10")]
)
def test_what_the_user_has_told_glibc_stays(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("glibc is told something else"))
    keep_freed_memory()


def test_without_glibc_nothing_changes(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
