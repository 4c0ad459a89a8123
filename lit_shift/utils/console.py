"""What the user sees: words on standard error, results on standard output, mostly from the first process alone."""

import os
import sys

from rich.console import Console, RenderableType


def say(text: str, anyone: bool = False) -> None:
    """Print a line as it is, on standard error; from ``anyone``, what one process alone may know."""
    if anyone or is_first_process():
        print(text, file=sys.stderr, flush=True)  # not by rich, which would write into its own live view of a sweep


def show(result: RenderableType) -> None:
    """Print a table on standard output."""
    Console().print(result)


def is_first_process() -> bool:
    """Whether this is the process that speaks, of several that share a run."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
