"""How OpenMP is told to wait, before torch is loaded."""

import os
import subprocess
import sys

import pytest

from lit_shift.utils.threads import SPINS
from tests.conftest import ROOT

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# What imports each before anything else: the scripts, the modules that are run, and the tests.
STARTS = ["train", "eval", "lit_shift.results", "lit_shift.bias", "benchmarks.host", "tests.conftest"]
LOOK = """
import builtins, os, sys
real = builtins.__import__
def look(name, *rest):
    if name.partition(".")[0] == "torch" and "torch" not in sys.modules:
        print([os.environ.get(name) for name in {names}])
        raise SystemExit
    return real(name, *rest)
builtins.__import__ = look
import {start}
import torch
"""


def seen_by_torch(start, **given):
    """What the environment says when torch is about to be loaded."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | given
    command = [sys.executable, "-c", LOOK.format(names=NAMES, start=start)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("start", STARTS)
def test_threads_wait_briefly_in_every_command(start):
    assert seen_by_torch(start) == str([None, str(SPINS)])


def test_what_the_user_says_of_waiting_counts():
    assert seen_by_torch("train", OMP_WAIT_POLICY="ACTIVE") == str(["ACTIVE", None])
    assert seen_by_torch("train", GOMP_SPINCOUNT="7") == str([None, "7"])
