import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
# What makes a run small: 4 channels, images of the test's own making.
TINY = ["data=imagefolder", "model.width=4", "data.batch_size=16", "logger=csv", "optimizer.lr=0.02"]
TINY += ["callbacks.shift_measures.every_n_epochs=2", "callbacks.shift_measures.images=8"]
TINY += ["callbacks.filter_tv.every_n_epochs=2"]


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def save_images(folder: Path, count: int, size: int = 32, seed: int = 0) -> None:
    """``count`` images of bright or dark noise for each of two classes, in train/ and test/."""
    rng = np.random.default_rng(seed)
    for split, number in (("train", count), ("test", max(count // 4, 2))):
        for name, level in (("dark", 60), ("light", 120)):
            target = folder / split / name
            target.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(level, level + 80, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(target / f"{i:03}.png")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save_images(folder, 80)
    return folder


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts ``python SCRIPT ARGUMENTS`` in a folder of its own, as a user without a W&B account would."""

    def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "LOCAL_", "LIT_SHIFT"))}
        environment |= {"HOME": str(tmp_path), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, str(ROOT / script), *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


class Finished:
    """What a command left: its exit code, results and words."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.out, self.err = process.communicate(timeout=120)
        self.code = process.returncode


@pytest.fixture
def run(command: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Finished]:
    """Runs a command to its end."""
    return lambda *arguments: Finished(command(*arguments))
