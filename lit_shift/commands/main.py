"""Entry point of the installed command ``lit-shift``."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import lit_shift
from lit_shift.utils.console import say
from lit_shift.utils.errors import unknown

COMMANDS = {
    "train": "train a network with a pool of your choice and measure how it responds to shifts",
    "eval": "measure a run, or any trained classifier",
    "remedies": "find out what would make a classifier less jagged, and what that costs",
    "results": "put finished runs side by side: tables, figures, one HTML page",
    "bias": "test whether the objects of a data set are uniformly placed and sized",
}
USAGE = "lit-shift COMMAND ARGUMENTS\n\n" + "".join(f"  {name:<9} {job}\n" for name, job in COMMANDS.items())
USAGE += "\nlit-shift COMMAND --help says more; lit-shift --version prints the version.\n"


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE, end="")
    elif name == "--version":
        print(lit_shift.__version__)
    elif name in COMMANDS:
        command = _command(name)
        # Distributed training starts its other processes with this file.
        sys.argv = [str(Path(__file__).with_name(f"{name}.py")), *arguments]
        command()
    else:
        say(f"error: {unknown('command', name, COMMANDS)}")
        sys.exit(2)


def _command(name: str) -> Callable[[], None]:
    where = {"results": "lit_shift.results.__main__", "bias": "lit_shift.bias.__main__"}
    function: Callable[[], None] = import_module(where.get(name, f"lit_shift.commands.{name}")).main
    return function
