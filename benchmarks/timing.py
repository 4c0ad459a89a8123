"""Shared parts of the benchmarks: options, networks, and timing of candidates that take turns.

Machines are shared and their speed drifts, so only times of the same round are compared.
"""

import argparse
import ctypes
import random
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from lit_shift.kernels.replay import Replay
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import Pool


class Options(argparse.ArgumentParser):
    """Command line with ``--tiny`` and, for timings, ``--rounds``. Errors are printed in one sentence."""

    def __init__(self, description: str | None, rounds: int | None = None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        if rounds:
            help = f"measurements of each, {rounds} by default"
            self.add_argument("--rounds", type=positive, default=rounds, help=help)
        self.add_argument("--tiny", action="store_true", help="only check that it works")

    def add_device(self) -> None:
        """Add ``--device``, by default the GPU if there is one."""
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.add_argument("--device", type=usable_device, default=default, metavar="cpu|cuda")

    def add_maps(self) -> None:
        """Add ``--batch`` and ``--dtype`` of maps, and ``--device``."""
        self.add_argument("--batch", type=positive, default=128, help="images, 128 by default")
        self.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
        self.add_device()

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number, 1 or more.")
    return int(text)


def usable_device(text: str) -> torch.device:
    """Parse ``cpu``, or ``cuda`` if there is a GPU."""
    if text not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"{text} must be cpu or cuda.")
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("cuda needs a GPU that PyTorch can use, and there is none.")
    return torch.device(text)


def describe(device: torch.device) -> str:
    """Name of the device, for a title."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, threads {torch.get_num_threads()}"


def network(pool: Callable[[], Pool], width: int, device: torch.device, fourier: bool = True) -> VGG13:
    """VGG13 in eval mode with seeded weights, scaled so that logits depend on the image."""
    torch.manual_seed(0)
    model = VGG13(pool, width=width, fourier=fourier)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model.eval().to(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Duration of one call, until the device has finished."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_memory(work: Callable[[], object], device: torch.device) -> float:
    """Peak memory of a call in MiB, beyond that in use before. NaN if it cannot be measured."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    forget, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not forget.exists():
        return float("nan")

    def kibibytes(what: str) -> int:
        return int(status.read_text().split(f"{what}:")[1].split()[0])

    ctypes.CDLL(None).malloc_trim(0)
    forget.write_text("5")  # resets the peak, see proc_pid_clear_refs(5)
    before = kibibytes("VmRSS")
    work()
    return (kibibytes("VmHWM") - before) / 2**10


def take_turns(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    title: str,
    eager: Container[str] = (),
) -> dict[str, np.ndarray]:
    """Seconds of each candidate in each round, after the calls of a warm-up.

    The order is shuffled every round, so that caches are not always left by the same neighbour. On a GPU a turn replays
    a CUDA graph of the work, because launching small operations one by one takes longer than they do.

    Args:
        eager: candidates that are called as they are, such as those that read images from the CPU.
    """
    works = {name: work if name in eager else replayed(work, device) for name, work in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    order, shuffler = list(works), random.Random(0)
    for turn in track(range(rounds + 1), title, console=Console(stderr=True)):
        shuffler.shuffle(order)
        for name in order:
            if turn == 0 and device.type == "cuda":
                for _ in range(Replay.FIRST_CALLS + 1):
                    works[name]()
            times[name].append(seconds(works[name], device))
    return {name: np.array(measured[1:]) for name, measured in times.items()}


def replayed(work: Callable[[], object], device: torch.device) -> Replay:
    """Return the work as one that a GPU replays. What it returns is dropped."""

    def alone() -> None:
        work()

    return Replay(alone, device)


def quartiles(values: np.ndarray, form: str) -> str:
    """Median, with the lower and upper quartile in brackets."""
    low, middle, high = (f"{value:{form}}" for value in np.percentile(values, [25, 50, 75]))
    return f"{middle} ({low}-{high})"
