"""How long a checkpoint holds up a training: ``python -m benchmarks.checkpoint``.

The state of VGG13 and its optimizer, 75 MB at full width, is saved at once and in the background, with training steps
before and after. A figure is the median, with quartiles, in milliseconds: of the call that saves, until the file is
written, until the steps after it are done, and of as many steps without a checkpoint.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Options, describe, positive, quartiles
from benchmarks.train import CLASSES, SIDE, WholeSteps
from lit_shift.data.chunks import ChunkLoader
from lit_shift.data.loader import Augmentation, Images
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPoolBlurDS
from lit_shift.training.checkpoint import AtomicCheckpointIO, BackgroundCheckpointIO


def main() -> None:
    parser = Options(__doc__, rounds=5)
    parser.add_argument("--width", type=positive, default=64, help="channels of the first block, 64 by default")
    parser.add_argument("--steps", type=positive, help="of a turn; 2 by default, on a GPU 391")
    parser.add_device()
    options = parser.parse_args()
    on_gpu = options.device.type == "cuda"
    batch, width, steps, rounds = 128, options.width, options.steps or (391 if on_gpu else 2), options.rounds
    if options.tiny:
        batch, width, steps, rounds = 4, 4, 2, 1

    pixels = torch.randint(256, (batch * steps, 3, SIDE, SIDE), dtype=torch.uint8, device=options.device)
    images = Images(pixels, torch.randint(CLASSES, (batch * steps,), device=options.device))
    dtype = torch.bfloat16 if on_gpu else torch.float32
    loader = ChunkLoader(steps, images, batch, Augmentation(flip=True, shift=False))
    training = WholeSteps(VGG13(MaxPoolBlurDS, CLASSES, width), loader, steps, options.device, dtype=dtype)
    training()  # after which the optimizer has its momentum
    state = {"state_dict": training.net.state_dict(), "optimizer_states": [training.optimizer.state_dict()]}

    def now() -> float:
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    table = Table(title=f"VGG13 of width {width}, {steps} steps a turn, rounds {rounds}, {describe(options.device)}")
    for column in ("checkpoint", "the call, ms", "written after, ms", "steps, ms", "steps without, ms"):
        table.add_column(column, justify="right" if column != "checkpoint" else "left")
    for name, io in (("at once", AtomicCheckpointIO()), ("in the background", BackgroundCheckpointIO())):
        calls, writes, with_one, without = [], [], [], []
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(rounds + 1):
                for _ in range(4 if turn == 0 else 1):
                    training()
                began = now()
                training()
                without.append(now() - began)
                began = now()
                io.save_checkpoint(state, Path(folder) / "last.ckpt")
                calls.append(time.perf_counter() - began)
                training()
                with_one.append(now() - began)
                io.teardown()
                writes.append(time.perf_counter() - began)
        row = (1000 * np.array(measured[1:]) for measured in (calls, writes, with_one, without))
        table.add_row(name, *(quartiles(measured, ",.0f") for measured in row))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
