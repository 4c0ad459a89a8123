"""Training steps of VGG13 with tri5, ours against a plain PyTorch loop: ``python -m benchmarks.train``.

The plain loop has a ``DataLoader`` of PIL images, torchvision's transforms, circular ``padding_mode`` and the blur
written as its definition. Candidates take turns. A ratio is the median, with quartiles, of the time of the plain loop
relative to the candidate's in the same round. On a GPU, ours trains in float32, with bfloat16 autocast, compiled by
``torch.compile``, and by whole steps as with ``experiment=gpu``. How many images a second Lightning's own loop can ask
for at most is in ``benchmarks.host``.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.plain import Pictures, load_ours, plain_vgg
from benchmarks.timing import Options, describe, positive, quartiles, take_turns
from lit_shift.classifiers.classifier import full_precision
from lit_shift.data.chunks import ChunkLoader
from lit_shift.data.loader import Augmentation, BatchLoader, Images
from lit_shift.models.vgg import VGG13
from lit_shift.padding import Padding
from lit_shift.pools.pool import MaxPoolBlurDS
from lit_shift.training.memory import keep_freed_memory
from lit_shift.training.whole_steps import Steps

SIDE, CLASSES = 32, 10


def endless(loader: DataLoader[tuple[Tensor, int]] | BatchLoader) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches, epoch after epoch."""
    while True:
        yield from loader  # type: ignore[misc]


class Training:
    """Training of a network, by ``steps`` batches per call.

    Args:
        keep: as for :func:`keep_freed_memory`.
        dtype: of matrix products and convolutions.
        fast: compiled, with SGD in one pass over the weights.
    """

    def __init__(
        self,
        net: nn.Module,
        loader: DataLoader[tuple[Tensor, int]] | BatchLoader,
        steps: int,
        device: torch.device,
        keep: bool = True,
        dtype: torch.dtype = torch.float32,
        fast: bool = False,
    ) -> None:
        self.keep = keep
        self.net = net.train().to(device)
        self.run: Callable[[Tensor], Tensor] = self.net
        if fast:
            self.run = torch.compile(self.net, mode="reduce-overhead", dynamic=False)
        self.batches = endless(loader)
        self.steps = steps
        self.device = device
        self.dtype = dtype
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=fast or None)

    def __call__(self) -> None:
        keep_freed_memory(self.keep)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            self.train()

    def train(self) -> None:
        """Train, under autocast."""
        for _ in range(self.steps):
            x, labels, *_ = (tensor.to(self.device) for tensor in next(self.batches))
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.answer(x), labels)
            with torch.autocast(self.device.type, enabled=False):
                loss.backward()
                self.optimizer.step()

    def answer(self, x: Tensor) -> Tensor:
        """Compute logits of images, which are uint8 or normalised."""
        return self.run((x.float() / 255 - 0.5) / 0.25 if x.dtype == torch.uint8 else x)


class WholeSteps(Training):
    """The same, by steps that a GPU replays, as with ``experiment=gpu``."""

    def __init__(self, net: nn.Module, loader: ChunkLoader, *args: Any, **kwargs: Any) -> None:
        super().__init__(net, loader, *args, **kwargs)
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
        self.whole = Steps(self.answer, self.optimizer, self.device)

    def train(self) -> None:
        self.whole.train(next(self.batches))  # type: ignore[arg-type]


def multiplications(net: nn.Module) -> int:
    """Number of multiplications in a forward pass of one image, with direct convolutions."""
    found = 0

    def count(module: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal found
        found += output.numel() * module.in_channels * 9

    hooks = [module.register_forward_hook(count) for module in net.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, SIDE, SIDE, device=next(net.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found


def check_same(ours: nn.Module, plain: nn.Module, x: Tensor) -> None:
    """Check that both networks compute the same."""
    load_ours(plain, ours)
    with full_precision(x.device):
        torch.testing.assert_close(ours.eval()(x), plain.eval()(x), rtol=1e-3, atol=1e-4)


def main() -> None:
    parser = Options(__doc__, rounds=10)
    parser.add_argument("--batch", type=positive, default=128, help="images, 128 by default")
    parser.add_argument("--width", type=positive, default=64, help="channels of the first block, 64 by default")
    parser.add_argument("--steps", type=positive, help="batches per turn; 2 by default, on a GPU 50")
    parser.add_device()
    options = parser.parse_args()
    device: torch.device = options.device
    on_gpu = torch.backends.cudnn.benchmark = device.type == "cuda"  # as of experiment=gpu
    steps = options.steps or (50 if on_gpu else 2)
    if options.tiny:
        options.batch, options.width, steps, options.rounds = 4, 4, 1, 1

    count = steps * options.batch
    images = Images(
        torch.randint(256, (count, 3, SIDE, SIDE), dtype=torch.uint8),
        torch.randint(CLASSES, (count,)),
    )
    held = Images(*(tensor.to(device) for tensor in images))

    def ours(padding: Padding = "circular", fourier: bool = True, whole: bool = False, **how: Any) -> Training:
        net = VGG13(partial(MaxPoolBlurDS, padding=padding), CLASSES, options.width, padding, fourier)
        augmentation = Augmentation(flip=True, shift=False)
        if whole:
            loader = ChunkLoader(steps, held, options.batch, augmentation)
            return WholeSteps(net, loader, steps, device, **how)
        return Training(net, BatchLoader(held, options.batch, augmentation), steps, device, **how)

    pictures = Pictures(images, [0.5] * 3, [0.25] * 3, flip=True)
    plain = DataLoader(pictures, options.batch, shuffle=True, drop_last=True)
    candidates = {
        "plain loop": Training(plain_vgg(options.width, CLASSES), plain, steps, device, keep=False),
        "ours": ours(),
    }
    if on_gpu:
        candidates["ours, bfloat16"] = ours(dtype=torch.bfloat16)
        candidates["ours, bfloat16, compiled"] = ours(dtype=torch.bfloat16, fast=True)
        candidates["experiment=gpu"] = ours(dtype=torch.bfloat16, whole=True)
        candidates["experiment=gpu, float32"] = ours(whole=True)
        candidates["experiment=gpu, zero-padded"] = ours("zeros", dtype=torch.bfloat16, whole=True)
    else:
        candidates["ours, whole steps"] = ours(whole=True)
        candidates["ours, direct convolutions"] = ours(fourier=False)
        candidates["ours, freed memory given back"] = ours(keep=False)
        candidates["ours, zero-padded"] = ours("zeros")
    check_same(candidates["ours"].net, candidates["plain loop"].net, torch.randn(2, 3, SIDE, SIDE, device=device))
    for training in candidates.values():
        training.net.train()

    side = 256 if options.tiny else 8192 if on_gpu else 2048
    works: dict[str, Callable[[], object]] = {**candidates}
    for dtype in {training.dtype for training in candidates.values()}:
        works[str(dtype)] = partial(torch.matmul, *torch.randn(2, side, side, dtype=dtype, device=device))
    times = take_turns(works, options.rounds, device, "training steps", eager=candidates)
    rates = {name: 2 * side**3 / times.pop(name) for name in works.keys() - candidates.keys()}
    trained = options.batch * steps
    # A backward pass takes twice the multiplications of a forward pass.
    work = 3 * 2 * multiplications(candidates["ours"].net) * trained
    how = f"width {options.width}, batch {options.batch}, rounds {options.rounds}, {describe(device)}"
    table = Table("training step", title=f"VGG13 with tri5, {how}")
    for column in ("images/s", "times as fast", "share of the matrix product's rate"):
        table.add_column(column, justify="right")
    for name, measured in times.items():
        shares = work / measured / rates[str(candidates[name].dtype)]
        faster = quartiles(times["plain loop"] / measured, ".2f")
        table.add_row(name, f"{trained / np.median(measured):,.0f}", faster, f"{np.median(shares):.0%}")
    speeds = ", ".join(f"{np.median(rate) / 1e9:,.0f} GFLOP/s in {name[6:]}" for name, rate in rates.items())
    note = "The share counts the multiplications of the direct form; Winograd's and the Fourier basis need fewer."
    Console(width=130).print(table, f"A matrix product: {speeds}.", note, sep="\n")


if __name__ == "__main__":
    main()
