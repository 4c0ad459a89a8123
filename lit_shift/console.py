"""Words for the user, on standard error, so that standard output holds results alone."""

from rich.console import Console


def say(text: str) -> None:
    """Print a line as it is."""
    Console(stderr=True).print(text, highlight=False, soft_wrap=True, markup=False)
