"""Everything that only a GPU shows, in the minutes of a borrowed machine: ``python -m benchmarks.gpu --minutes 9``.

In this order, each step within a time limit of its own and with what it found in one line: the machine and its
versions; what it computes against a CPU; the speed of kernels, passes and training steps; then rows of Table 1 by
``train.py experiment=gpu``, the most telling first, as many as will finish in time. It runs from a source tree with
``PYTHONPATH`` alone, and needs no W&B; pools of packages that are not installed are left out.

In ``--out`` it leaves ``report.md``, ``rows.csv``, ``results.tar.xz`` with each run's config, history, metrics and
arrays, at most 12 MiB, and the first two rows' weights in half precision as ``weights.00``, ``weights.01`` ... (parts
of a ``.tar``: ``cat weights.* | tar x``). All of it is kept up to date after each step.
"""

import json
import lzma
import os
import platform
import subprocess
import sys
import tarfile
import time
from argparse import Namespace
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.timing import Options, describe, positive
from lit_shift.filters import FILTERS
from lit_shift.results.comparison import PUBLISHED
from lit_shift.runs.records import versions
from lit_shift.utils.files import atomic_text, atomic_write

ROOT = Path(__file__).parents[1]
FIRST = ["delta", "tri5", "pascal7", "rect2", "tri3"]
ROWS = [(filter, aug) for filter in [*FIRST, *(f for f in FILTERS if f not in FIRST)] for aug in (False, True)]
ROW_SECONDS = 180  # of a row, before one has been trained
ARCHIVE, PART = 12 * 2**20, 15 * 2**20  # bytes at most
MEASURED = {"accuracy": "accuracy", "accuracy_random": "random accuracy", "consistency": "consistency"}


class Session:
    """The minutes on the machine, and what has been found in them.

    Args:
        minutes: in all.
        out: folder of the results.
        device: ``cuda``, or ``cpu`` to try everything.
        tiny: only check that it works.
    """

    def __init__(self, minutes: float, out: Path, device: torch.device, tiny: bool) -> None:
        self.began = time.monotonic()
        self.end = self.began + 60 * minutes
        self.out = out
        self.device = device.type
        self.tiny = tiny
        self.report: list[str] = ["# What a GPU shows", f"{time.strftime('%Y-%m-%d')}, `{' '.join(sys.argv)}`"]
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def tell(self, line: str) -> None:
        """Print a line, with the time, and add it to the report."""
        print(f"{time.monotonic() - self.began:4.0f} s  {line}", flush=True)
        self.add(line)

    def add(self, text: str) -> None:
        """Add text to the report."""
        self.report.append(text)
        atomic_text(self.out / "report.md", "\n\n".join(self.report) + "\n")

    def run(self, command: Sequence[str], limit: float) -> tuple[int | None, str, str, float]:
        """Run a command for at most this time.

        Returns:
            Its exit code (None if it was cut off), its output, its errors and its seconds.
        """
        began = time.monotonic()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment | {"COLUMNS": "150", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                text, errors = process.communicate(timeout=max(1.0, min(limit, self.left)))
                code: int | None = process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                text, errors = process.communicate()
                code = None
        return code, text.strip(), errors.strip(), time.monotonic() - began

    def benchmark(self, name: str, limit: float, *arguments: str) -> None:
        """Run one of the benchmarks, and add what it prints to the report."""
        title = " ".join([f"benchmarks.{name}", *arguments])
        if self.left < 5:
            self.tell(f"{title}: no time left")
            return
        command = ["-m", f"benchmarks.{name}", "--device", self.device, *arguments]
        code, text, errors, seconds = self.run([*command, *(["--tiny"] if self.tiny else [])], limit)
        if code == 0:
            told = f"done in {seconds:.0f} s"
        elif code is None:
            told = f"cut off after {seconds:.0f} s"
        else:
            told = f"FAILED with exit code {code} after {seconds:.0f} s{last_of(errors)}"
        self.tell(f"{title}: {told}")
        self.add(f"```\n{text}\n{errors if code else ''}\n```")


def last_of(errors: str) -> str:
    """Return the last line of what a command has printed as errors, after a colon; empty if there is none."""
    return "".join(f": {line.strip()}" for line in errors.splitlines()[-1:])


def machine(device: torch.device) -> str:
    """Card, versions and processors, in a line."""
    found = versions(["torch", "triton", "pytorch-lightning", "torchmetrics", "hydra-core"])
    told = ", ".join(f"{package} {version}" for package, version in found.items())
    return f"{describe(device)}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {told}"


def noise(folder: Path) -> Path:
    """Make a few images of noise, for ``--tiny``."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("first", "second"):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(12):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def train(session: Session, data: Path, rows: Sequence[tuple[str, bool]]) -> list[dict[str, Any]]:
    """Train rows while there is time for another one, and keep the results of each."""
    runs, found, slowest = session.out / "runs", [], 0.0
    for filter, aug in rows:
        if session.left < 1.05 * (slowest or (1 if session.tiny else ROW_SECONDS)):
            session.tell(f"{len(found)} of {len(rows)} rows: there is no time for another one")
            break
        pool = ["pool=max"] if filter == "delta" else ["pool=blur", f"filter={filter}"]
        command = ["train.py", "experiment=gpu", *pool, f"aug={str(aug).lower()}", "logger=csv"]
        command += ["data=imagefolder", f"data.root={data}", f"runs={runs}"]
        if session.device == "cpu":
            command += ["trainer.accelerator=cpu"]
        if session.tiny:
            command += ["trainer.max_epochs=2", "model.width=2", "data.batch_size=8", "callbacks.equivariance.images=2"]
            command += ["callbacks.shift_measures.images=4"]
        before = set(runs.glob("*"))
        code, text, errors, seconds = session.run(command, session.left)
        title = f"{filter}, {'aug' if aug else 'noaug'}"
        made = set(runs.glob("*")) - before
        if code != 0 or not made:
            session.tell(f"{title}: FAILED with exit code {code} after {seconds:.0f} s{last_of(errors)}")
            session.add(f"```\n{text}\n{errors[-4000:]}\n```")
            continue
        (folder,) = made
        slowest = max(slowest, seconds)
        row: dict[str, Any] = {"filter": filter, "aug": aug, "seconds": round(seconds, 1), "run": folder.name}
        row |= rates(folder, filter, aug)
        found.append(row)
        pd.DataFrame(found).to_csv(session.out / "rows.csv", index=False)
        told = ", ".join(f"{name} {100 * row[key]:.2f}" for key, name in MEASURED.items())
        session.tell(f"{title}: {told}; {seconds:.0f} s")
        session.add(f"```\n{errors}\n```")
        archive(session.out, [runs / row["run"] for row in found])
    return found


def rates(folder: Path, filter: str, aug: bool) -> dict[str, float]:
    """Return a run's measures, each with the published one, as fractions."""
    metrics = json.loads((folder / "metrics.json").read_text())
    printed, found = PUBLISHED[filter, aug], {}
    for key in MEASURED:
        found |= {key: metrics[f"test/{key}"], f"{key}_published": printed[key]}
    return found | {"variation": metrics["test/variation"]}


def archive(out: Path, folders: Sequence[Path]) -> None:
    """Write ``results.tar.xz``, without arrays from where it would become too large, and the first rows' weights."""
    content = packed(folders, ("config.yaml", "environment.json", "history.csv", "metrics.json", "arrays.npz"))
    if len(content) > ARCHIVE:
        content = packed(folders, ("config.yaml", "environment.json", "history.csv", "metrics.json"))
    atomic_write(out / "results.tar.xz", lambda file: file.write(content))
    if len(folders) > 2:  # whose weights are there
        return
    weights = BytesIO()
    with tarfile.open(fileobj=weights, mode="w") as tar:
        for folder in folders:
            state = torch.load(folder / "checkpoints" / "last.ckpt", "cpu", weights_only=True)["state_dict"]
            halved = BytesIO()
            torch.save({name: t.half() if t.is_floating_point() else t for name, t in state.items()}, halved)
            add(tar, f"{folder.name}.pt", halved.getvalue())
    whole = weights.getvalue()
    for number, start in enumerate(range(0, len(whole), PART)):
        part = whole[start : start + PART]
        atomic_write(out / f"weights.{number:02}", lambda file, part=part: file.write(part))  # type: ignore[misc]


def packed(folders: Sequence[Path], names: Sequence[str]) -> bytes:
    """Return a compressed archive of some files of runs."""
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in folders:
            for name in names:
                if (folder / name).exists():
                    add(tar, f"{folder.name}/{name}", (folder / name).read_bytes())
    return lzma.compress(content.getvalue())


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, BytesIO(content))


def main() -> None:
    parser = Options(__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="in all, 9 by default")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    data = "images as data=imagefolder takes them; without, no rows are trained"
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=data)
    parser.add_argument("--rows", type=positive, default=len(ROWS), help="rows of Table 1 at most, all 38 by default")
    parser.add_device()
    options = parser.parse_args()
    if options.data is not None and not options.data.is_dir():
        parser.error(f"There is no folder {options.data}.")
    session = Session(options.minutes, options.out.absolute(), options.device, options.tiny)
    session.tell(machine(options.device))
    session.benchmark("agree", 90)
    half, full, rounds = ("--dtype", "bfloat16"), ("--dtype", "float32"), ("--rounds", "5")
    for name, limit in (("forward", 30), ("train", 60), ("orbit", 30)):
        session.benchmark(name, limit, *rounds)
    for name, limit in (("norm", 30), ("pool", 40)):
        session.benchmark(name, limit, *half, *rounds)
    train_rows(session, options)
    if not options.tiny:  # if time is left
        for name in ("checkpoint", "convolution", "host"):
            session.benchmark(name, 40, *rounds)
        for name in ("norm", "pool"):
            session.benchmark(name, 60, *full, *rounds)


def train_rows(session: Session, options: Namespace) -> None:
    """Train rows of Table 1, and tell how long all would take."""
    data = noise(session.out / "noise") if options.tiny and options.data is None else options.data
    if data is None:
        session.tell("No rows of Table 1: give their images by --data FOLDER.")
        return
    found = train(session, data.absolute(), ROWS[: options.rows])
    if found:
        frame = pd.DataFrame(found)
        each = frame["seconds"].iloc[1:].mean() if len(frame) > 1 else frame["seconds"].mean()
        session.tell(f"{len(frame)} rows; all {len(ROWS)} would take {len(ROWS) * each / 60:.0f} minutes at this rate")
        session.add(frame.drop(columns="run").to_markdown(index=False, floatfmt=".4f"))


if __name__ == "__main__":
    main()
