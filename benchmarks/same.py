"""Compare all numbers of runs before and after a change: ``python -m benchmarks.same BEFORE AFTER``.

BEFORE and AFTER are folders of runs that the same commands trained on the same machine. Runs are paired by name,
without the hash of their config. Every number of ``metrics.json`` and ``eval/metrics.json`` must be equal to the last
digit.
"""

import json
import re
import sys
from pathlib import Path

TIMES = re.compile(r"milliseconds|seconds")  # the only numbers that differ between repetitions


def numbers(folder: Path) -> dict[str, float]:
    """Return all numbers of the runs in a folder, except times, by folder and key."""
    found = {}
    for file in sorted(folder.rglob("metrics.json")):
        where = re.sub(r"-[0-9a-f]{8}(?=/|$)", "", str(file.parent.relative_to(folder)))
        found |= {f"{where}: {key}": value for key, value in json.loads(file.read_text()).items()}
    return {key: value for key, value in found.items() if not TIMES.search(key)}


def main(before: str, after: str) -> None:
    """Print how many numbers are equal and which are not; exit with code 1 if any differ or there are none."""
    old, new = numbers(Path(before)), numbers(Path(after))
    differ = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    for key in differ:
        print(f"{key}: {old.get(key)} -> {new.get(key)}")
    print(f"{len({*old, *new}) - len(differ)} numbers equal, {len(differ)} not")
    sys.exit(1 if differ or not old else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
