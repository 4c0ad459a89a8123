"""Time of a training step besides its network: ``python -m benchmarks.host``.

A GPU runs behind the program and cannot be faster than it. At batch 128, an epoch of CIFAR-10 in 0.6 seconds leaves 1.5
milliseconds per step for everything that Lightning and Python do. Here a network with almost no work is trained with
all that ``train.py`` logs and watches, in turns with a bare loop.
"""

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.timing import Options, describe, positive, quartiles
from benchmarks.train import CLASSES, Training
from lit_shift.data.loader import Augmentation, BatchLoader, Images
from lit_shift.runs.config import composed
from lit_shift.runs.run import Run
from lit_shift.training.build import build_training
from lit_shift.training.module import LitClassifier

SIDE = 2  # pixels per side of the images


class Colours(nn.Module):
    """Classifier of the mean colour: (N, 3, H, W) -> (N, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x.mean((2, 3)))


class Turns(Callback):
    """Callback that times the steps of each epoch, and then as many steps of the bare loop."""

    def __init__(self, loop: Training) -> None:
        self.loop = loop
        self.trained: list[float] = []
        self.looped: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.began = self._now()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.trained.append(self._now() - self.began)
        began = self._now()
        self.loop()
        self.looped.append(self._now() - began)

    def _now(self) -> float:
        if self.loop.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def main() -> None:
    parser = Options(__doc__, rounds=10)
    parser.add_argument("--steps", type=positive, default=391, help="steps per turn, 391 by default")
    parser.add_device()
    options = parser.parse_args()
    batch, steps, rounds = (4, 3, 1) if options.tiny else (128, options.steps, options.rounds)

    pixels = torch.randint(256, (batch * steps, 3, SIDE, SIDE), dtype=torch.uint8, device=options.device)
    labels = torch.randint(CLASSES, (batch * steps,), device=options.device)
    loader = BatchLoader(Images(pixels, labels), batch, Augmentation(flip=True, shift=False))
    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=5e-4)
    half = torch.full((3,), 0.5)
    classifier = LitClassifier(Colours(), half, half, sgd, [0.5, 0.75], 0.1, compile=False)
    turns = Turns(Training(Colours(), loader, steps, options.device))
    never = [f"callbacks.{name}.every_n_epochs=1000000" for name in ("shift_measures", "equivariance")]
    accelerator = "gpu" if options.device.type == "cuda" else "cpu"
    how = [f"trainer.max_epochs={rounds + 1}", f"trainer.accelerator={accelerator}", "logger=csv", *never]
    with TemporaryDirectory() as folder:
        trainer = build_training(composed("train", how), Run(Path(folder)))
        trainer.callbacks.insert(0, turns)  # type: ignore[attr-defined]
        # The second loader is for validation, which does not take place; without it Lightning warns.
        trainer.fit(classifier, loader, loader)

    table = Table("a step without a network", title=f"batch {batch}, rounds {rounds}, {describe(options.device)}")
    for column in ("ms", "times the bare loop"):
        table.add_column(column, justify="right")
    times = {"train.py": np.array(turns.trained[1:]), "bare loop": np.array(turns.looped[1:])}  # without the warm-up
    for name, measured in times.items():
        milliseconds = quartiles(1000 * measured / steps, ".3f")
        table.add_row(name, milliseconds, quartiles(measured / times["bare loop"], ".2f"))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
