"""How measures are written for people: rates in percent, all else as it is. Files hold rates in [0, 1]."""

RATES = ("accuracy", "agreement", "average", "consistency", "jagged_fraction", "jaggedness_rate", "mad")


def factor(key: str) -> int:
    """By how much people see a measure multiplied: 100, to percent, where it is a rate or a probability."""
    return 100 if any(part.startswith(RATES) for part in key.split("/")) else 1


def written(key: str, value: float) -> str:
    """A value for a table of people: ``93.2`` percent, a variation of ``0.00130``, a count of ``10000``."""
    if factor(key) == 100:
        return f"{100 * value:.4g}"
    return f"{value:#.3g}" if key.endswith("variation") else f"{value:.6g}"
