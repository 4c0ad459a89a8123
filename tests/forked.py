"""What a process of tests.conftest's Command does. Each imports this, so that it imports little itself."""

import os
import runpy
import signal
import sys
from pathlib import Path


def run_script(folder: Path, log: Path, script: Path, arguments: list[str], environment: dict[str, str]) -> None:
    """Run a script in a folder as a user without a W&B account would, with its output in ``log``."""
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("WANDB_", "LOCAL_", "LIT_SHIFT", "SLURM_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(folder), "COLUMNS": "200", **environment}
    for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
        os.dup2(os.open(log / name, os.O_WRONLY | os.O_CREAT), stream.fileno())
    sys.argv = [str(script), *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the server of forks ignores
    runpy.run_path(str(script), run_name="__main__")
