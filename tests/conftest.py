import gc
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.forked import run_script

ROOT = Path(__file__).parents[1]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.preloaded", "tests.forked"])
HANGS = 3600  # seconds after which a process can be said to: no test is to depend on how fast a machine is
# What makes a run small: 4 channels, images of the test's own making.
TINY = ["data=imagefolder", "model.width=4", "data.batch_size=16", "logger=csv", "optimizer.lr=0.02"]
TINY += ["trainer.accelerator=cpu"]  # where equal bits can be asked for
TINY += ["callbacks.shift_measures.every_n_epochs=2", "callbacks.shift_measures.images=8"]
TINY += ["callbacks.filter_tv.every_n_epochs=2", "callbacks.equivariance.every_n_epochs=2"]
TINY += ["callbacks.equivariance.images=2", "callbacks.consistency_readings.images=2"]
TINY += ["callbacks.lie_derivative.images=2"]
TINY += ["callbacks.shown_images.least_stable=2", "callbacks.shown_images.sample=2"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"))


def pytest_collection_finish() -> None:
    gc.enable()  # which tests/__init__.py has disabled


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def save_images(folder: Path, count: int, size: int = 32, seed: int = 0, brighter: int = 0) -> None:
    """``count`` images for each of two classes: noise with a bright patch in the upper or the lower half.

    Where the patch is tells the class, so a classifier that learns it changes its mind under circular shifts.
    """
    rng = np.random.default_rng(seed)
    for split, number in (("train", count), ("test", max(count // 4, 2))):
        for name, top in (("above", 2), ("below", size // 2 + 2)):
            target = folder / split / name
            target.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 120, (size, size, 3))
                row, col = top + rng.integers(0, 5), rng.integers(0, size - 8)
                pixels[row : row + 8, col : col + 8] += 80
                Image.fromarray((pixels + brighter).clip(0, 255).astype(np.uint8)).save(target / f"{i:03}.png")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save_images(folder, 80)
    return folder


class Command:
    """``python SCRIPT ARGUMENTS`` in a folder of its own, as a user without a W&B account would run it.

    The process is forked from a server that has imported what all commands do: the imports take longer than the runs.
    """

    def __init__(self, folder: Path, script: str, *arguments: object, **environment: str) -> None:
        self.log = Path(tempfile.mkdtemp(dir=folder, prefix=".log"))
        asked = (folder, self.log, ROOT / script, [str(argument) for argument in arguments], environment)
        self.process = SERVER.Process(target=run_script, args=asked)
        with pytest.MonkeyPatch.context() as patch:  # the first one starts the server, which is to find the tests
            patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
            self.process.start()
        self.pid = self.process.pid

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    def finish(self) -> "Command":
        """Wait for its end; then ``code``, ``out`` and ``err`` are known."""
        self.process.join(HANGS)
        assert not self.running, self.err
        self.code = self.process.exitcode
        return self

    @property
    def out(self) -> str:
        return (self.log / "out").read_text()

    @property
    def err(self) -> str:
        return (self.log / "err").read_text()


def train_tiny(folder: Path, images: Path, *arguments: str) -> Path:
    """Train a small network by the command; the folder of its run."""
    assert Command(folder, "train.py", *TINY, f"data.root={images}", *arguments).finish().code == 0
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Command]:
    """Starts a command in the test's folder."""
    return lambda *arguments, folder=tmp_path, **environment: Command(folder, *arguments, **environment)


@pytest.fixture
def run(command: Callable[..., Command]) -> Callable[..., Command]:
    """Runs a command in the test's folder to its end."""
    return lambda *arguments, **options: command(*arguments, **options).finish()


@pytest.fixture
def run_two(command: Callable[..., Command]) -> Callable[..., list[Command]]:
    """Runs a command in two processes of one training or measurement to their end.

    They are started as torchrun would start them, each with its rank: forked, they need not import torch again.
    """

    def run(*arguments: object, **options: str) -> list[Command]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
        arguments = (*arguments, "trainer.strategy=ddp", "trainer.devices=2")
        both = [command(*arguments, LOCAL_RANK=str(rank), **meeting, **options) for rank in range(2)]
        return [process.finish() for process in both]

    return run
