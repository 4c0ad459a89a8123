import ctypes
import subprocess
import sys

import pytest

from lit_shift.training.memory import keep_freed_memory

FAULTS = """
import resource, torch
from lit_shift.training.memory import keep_freed_memory
def faults(keep):
    keep_freed_memory(keep)
    def work():
        for _ in range(5):
            torch.ones(2**24).add_(1)  # 64 MiB, which glibc by itself always gives back
    work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(False), faults(True))
"""


def test_memory_that_is_kept_need_not_be_found_again():
    """Counting the pages that the kernel had to find while tensors were made and freed, in a process of its own."""
    out = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    given_back, kept = map(int, out.split())
    assert kept < given_back / 10


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
