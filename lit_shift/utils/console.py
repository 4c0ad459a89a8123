"""Output for the user: messages on standard error, results on standard output, by default from one process only."""

import os
import sys

from rich.console import Console, RenderableType


def say(text: str, anyone: bool = False) -> None:
    """Print a line unchanged on standard error. ``anyone``: also from processes other than the first."""
    if anyone or is_first_process():
        print(text, file=sys.stderr, flush=True)  # rich would write into its own live view of a sweep


def show(result: RenderableType) -> None:
    """Print a table on standard output."""
    Console().print(result)


def is_first_process() -> bool:
    """True in the first of the processes that share a run."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
