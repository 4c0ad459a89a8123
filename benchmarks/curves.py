"""Loss curves of our training and of the plain loop: ``python -m benchmarks.curves``.

``train.py`` and a plain PyTorch loop (``benchmarks/plain.py``) each train VGG13 with tri5 from several seeds, with the
same settings: those of the quickstart, or given as for ``train.py``, for example

    python -m benchmarks.curves data=imagefolder data.root=FOLDER model=vgg13_slim trainer.max_epochs=5

They share no random numbers, not even seeds, so their curves may differ as much as those of different seeds.
"""

import argparse
import math
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader

from benchmarks.plain import Pictures, plain_vgg
from benchmarks.timing import Options, positive
from lit_shift.data.module import ImageDataModule
from lit_shift.runs.findings import Findings
from lit_shift.training.build import build_data
from lit_shift.training.module import milestone_epochs

ROOT = Path(__file__).parents[1]
FIXED = {"pool": "blur", "filter": "tri5", "aug": "false", "padding": "circular", "logger": "csv", "compile": "false"}


class Course(NamedTuple):
    """Results of one training: loss and accuracy on the training images by epoch, and the final test accuracy."""

    losses: list[float]
    accuracies: list[float]
    test_accuracy: float


def train_ours(overrides: list[str], seed: int) -> tuple[Course, DictConfig]:
    """Train with ``train.py``. Return the results and the config of the run."""
    with TemporaryDirectory() as runs:
        fixed = [f"{switch}={value}" for switch, value in FIXED.items()]
        command = [sys.executable, "train.py", *overrides, *fixed, f"seed={seed}", f"runs={runs}"]
        if code := subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(code)  # the reason has been printed
        found = Findings.load(next(Path(runs).glob("*-s*")), "train.py")
    losses, accuracies = ([row[key] for row in found.history] for key in ("train/loss", "train/accuracy"))
    return Course(losses, accuracies, found.metrics["test/accuracy"]), OmegaConf.create(found.config)


def train_plain(cfg: DictConfig, data: ImageDataModule, seed: int) -> Course:
    """Train with the plain loop and the settings of a run."""
    torch.manual_seed(seed)
    net = plain_vgg(cfg.model.width, len(data.classes))
    optimizer = instantiate(cfg.optimizer)(net.parameters())
    epochs = cfg.trainer.max_epochs
    scheduler = MultiStepLR(optimizer, milestone_epochs(cfg.schedule.milestones, epochs), cfg.schedule.gamma)
    mean, std = data.mean.tolist(), data.std.tolist()
    pictures = DataLoader(Pictures(data.train, mean, std, cfg.data.flip), cfg.data.batch_size, shuffle=True)
    losses, accuracies = [], []
    for _ in track(range(epochs), f"plain loop, seed {seed}", console=Console(stderr=True)):
        found = []
        for x, labels in pictures:
            logits = net.train()(x)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append((len(labels), loss.item() * len(labels), (logits.argmax(1) == labels).sum().item()))
        scheduler.step()
        images, loss_sum, correct = map(sum, zip(*found, strict=True))
        losses.append(loss_sum / images)
        accuracies.append(correct / images)
    return Course(losses, accuracies, test(net, DataLoader(Pictures(data.test, mean, std, flip=False), 256)))


@torch.no_grad()
def test(net: nn.Module, pictures: DataLoader[tuple[torch.Tensor, int]]) -> float:
    """Compute the accuracy."""
    return torch.cat([net.eval()(x).argmax(1) == labels for x, labels in pictures]).double().mean().item()


def compared(ours: np.ndarray, plain: np.ndarray) -> list[str]:
    """Cells of a row: mean and standard deviation of both over their seeds, and their difference in standard errors.

    Args:
        ours, plain: (seeds,)
    """
    means, deviations = zip(*((values.mean(), values.std(ddof=1)) for values in (ours, plain)), strict=True)
    error = math.hypot(*deviations) / math.sqrt(len(ours))
    cells = [f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in zip(means, deviations, strict=True)]
    return [*cells, f"{(means[0] - means[1]) / error:+.1f}" if error else "-"]


def drawn(courses: dict[str, list[Course]], title: str) -> Figure:
    """Plot training loss and accuracy by epoch, one line per seed."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for ax, name in zip(figure.subplots(1, 2), ("losses", "accuracies"), strict=True):
        for (way, found), color in zip(courses.items(), ("C0", "C1"), strict=True):
            for course, label in zip(found, (way, *[None] * len(found)), strict=False):
                values = getattr(course, name)
                ax.plot(range(1, len(values) + 1), values, color=color, linewidth=1, alpha=0.7, label=label)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    figure.axes[0].set(ylabel="training loss", yscale="log")
    for ticks in (figure.axes[0].yaxis.set_major_formatter, figure.axes[0].yaxis.set_minor_formatter):
        ticks(LogFormatter())  # 1.2 instead of 1.2 x 10^0
    figure.axes[1].set(ylabel="training accuracy")
    return figure


def main() -> None:
    parser = Options(__doc__)
    parser.add_argument("overrides", nargs="*", default=["experiment=quickstart"], help="as for train.py")
    parser.add_argument("--seeds", type=several, default=3, help="trainings of each, 3 by default")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="the picture, curves.png by default")
    options = parser.parse_args()
    for override in options.overrides:
        if (switch := override.split("=")[0].lstrip("+~")) in {*FIXED, "seed", "runs", "trainer.precision"}:
            parser.error(
                f"{switch} is the benchmark's own: it compares VGG13 with tri5 in float32, from several seeds."
            )
    if not options.out.absolute().parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}.")
    overrides = [*options.overrides, "trainer.max_epochs=2"] if options.tiny else options.overrides
    courses: dict[str, list[Course]] = {"train.py": [], "plain loop": []}
    for seed in range(options.seeds):
        course, cfg = train_ours(overrides, seed)
        courses["train.py"].append(course)
        courses["plain loop"].append(train_plain(cfg, build_data(cfg), options.seeds + seed))

    ours, plain = (np.array([course.losses for course in found]) for found in courses.values())
    title = f"{cfg.choices.data}, VGG13 of width {cfg.model.width} with tri5, seeds {options.seeds}"
    table = Table("epoch", *(f"{way}, loss" for way in courses), "difference / standard error", title=title)
    for column in table.columns:
        column.justify = "right"
    for epoch, (a, b) in enumerate(zip(ours.T, plain.T, strict=True), start=1):
        table.add_row(str(epoch), *compared(a, b))
    table.add_section()
    tests = [np.array([course.test_accuracy for course in found]) for found in courses.values()]
    table.add_row("test accuracy", *compared(*tests))
    between_seeds = math.sqrt(np.mean([way.var(0, ddof=1) for way in (ours, plain)]))
    between_ways = math.sqrt(np.mean((ours.mean(0) - plain.mean(0)) ** 2))
    expected = between_seeds * math.sqrt(2 / options.seeds)
    said = (
        f"Root mean square over epochs: losses of different seeds deviate by {between_seeds:.4f}, so means of "
        f"{options.seeds} differ by {expected:.4f} where the ways are the same; these differ by {between_ways:.4f}."
    )
    Console(width=110).print(table, said, sep="\n")
    drawn(courses, title).savefig(options.out, dpi=150)


def several(text: str) -> int:
    """Parse a whole number of at least 2, since one seed has no spread."""
    if (number := positive(text)) < 2:
        raise argparse.ArgumentTypeError("one has no spread; say 2 or more.")
    return number


if __name__ == "__main__":
    main()
