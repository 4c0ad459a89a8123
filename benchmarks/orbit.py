"""Logits at all 1,024 circular shifts, all at once against one pass per shift: ``python -m benchmarks.orbit``.

Methods and batch sizes take turns. Brute force uses direct convolutions and glibc's own handling of memory; with tri5
it is also timed on a plain PyTorch network (``benchmarks/plain.py``). A ratio is the median, with quartiles, of the
time of brute force at its best batch size, relative to the time of the method in the same round.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.plain import load_ours, plain_vgg
from benchmarks.timing import Options, describe, network, peak_memory, quartiles, take_turns
from lit_shift.classifiers.classifier import full_precision
from lit_shift.filters import FILTERS
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import orbit_logits, sampled_logits
from lit_shift.pools.pool import MaxPool, MaxPoolBlurDS
from lit_shift.shifts import draw_offsets, seeded
from lit_shift.training.memory import keep_freed_memory

SIDE = 32
ALL, EACH, PLAIN = "all shifts at once", "brute force", "plain network, brute force"


def at_once(model: VGG13, images: Tensor) -> Tensor:
    """Compute all shifts at once, as eval.py does."""
    keep_freed_memory()
    with full_precision(images.device):
        return orbit_logits(model, images)


def brute_force(model: VGG13, image: Tensor, offsets: Tensor, batch: int) -> Tensor:
    """Compute logits (S, K) of one image (1, C, H, W) at offsets (S, 2), ``batch`` of them per pass."""
    keep_freed_memory(False)
    with full_precision(image.device):
        return sampled_logits(model, image.expand(batch, -1, -1, -1), offsets.view(batch, -1, 2)).flatten(0, 1)


def ways(
    model: VGG13, direct: VGG13, plain: nn.Module | None, images: Tensor, offsets: Tensor
) -> dict[str, tuple[Callable[[], Tensor], float]]:
    """Each method with each batch size: the work, and the number of images it completes."""
    works: dict[str, tuple[Callable[[], Tensor], float]] = {}
    for n in (1, 4, 8, 16) if images.device.type == "cpu" else (16, 64, 128):
        works[f"{ALL}, {n} images"] = partial(at_once, model, images[:n]), n
    shifts = len(offsets)
    for n in (shifts // 8, shifts // 4, shifts // 2, shifts):
        works[f"{EACH}, {n} shifts"] = partial(brute_force, direct, images[:1], offsets, n), shifts / SIDE**2
    if plain:
        works[PLAIN] = partial(brute_force, plain, images[:1], offsets, shifts // 2), shifts / SIDE**2
    return works


def main() -> None:
    parser = Options(__doc__, rounds=5)
    parser.add_argument("--pool", choices=("max", "blur"), default="blur")
    parser.add_argument("--filter", choices=FILTERS, metavar="FILTER", help="for --pool blur, tri5 by default")
    parser.add_device()
    options = parser.parse_args()
    if options.pool == "max" and options.filter:
        parser.error("--filter needs --pool blur, since max pooling has no filter.")
    name = options.filter or "tri5"
    pool, title = (MaxPool, "MaxPool") if options.pool == "max" else (partial(MaxPoolBlurDS, name), f"blur {name}")
    widths, rounds = ((4,), 1) if options.tiny else ((64, 16), options.rounds)
    # On a CPU a part of the shifts takes long enough; a GPU is fastest with all of them in one batch.
    shifts = 128 if options.device.type == "cpu" else SIDE**2

    table = Table(
        "in a batch",
        title=f"Logits of VGG13 with {title} at all {SIDE**2:,} shifts, rounds {rounds}, {describe(options.device)}",
        caption=f"Seconds are per 1,000 images. Brute force was timed on {shifts:,} shifts of an image and scaled. "
        "MiB are what a batch takes at its worst, beside the network.",
    )
    cells: dict[str, list[str]] = {}
    notes = []
    images = torch.randn(128, 3, SIDE, SIDE, generator=seeded(0)).to(options.device)
    offsets = draw_offsets((shifts,), SIDE, SIDE, seeded(0)).to(options.device)
    rows, cols = offsets.unbind(1)
    for width in widths:
        model = network(pool, width, options.device)
        direct, plain = network(pool, width, options.device, fourier=False), None
        if title == "blur tri5":
            plain = plain_vgg(width, direct.classifier.out_features).eval().to(options.device)
            load_ours(plain, direct)
        works = ways(model, direct, plain, images, offsets)
        times = take_turns({name: work for name, (work, _) in works.items()}, rounds, options.device, f"width {width}")
        times = {name: 1000 * measured / works[name][1] for name, measured in times.items()}
        orbit, brute = (
            min((name for name in times if name.startswith(way)), key=lambda name: np.median(times[name]))
            for way in (ALL, EACH)
        )
        peaks = {name: peak_memory(work, options.device) for name, (work, _) in works.items()}
        for column in (f"width {width}:\nseconds", "times\nas fast", "MiB"):
            table.add_column(column, justify="right")
        for name, measured in times.items():
            figures = f"{np.median(measured):,.1f}", quartiles(times[brute] / measured, ".2f"), f"{peaks[name]:,.0f}"
            cells.setdefault(name, []).extend(figures)
        at_shifts, forced = at_once(model, images[:1])[0, rows, cols], works[PLAIN if plain else brute][0]()
        exact = at_once(deepcopy(model).double(), images[:4].double())
        error = (at_once(model, images[:4]) - exact).abs().max() / exact.abs().max()
        notes += [
            f"Width {width}: relative to the largest logit, the error against float64 is at most {error:.1e}.",
            f"Width {width}: best with {orbit} and with {brute}.",
            f"Width {width}: logits differ by at most {(at_shifts - forced).abs().max():.1e} between the two ways; "
            f"they vary with the shift by {forced.std(0).mean():.1e}.",
        ]
    for name, row in cells.items():
        table.add_row(name, *row)
    Console(width=130).print(table, *notes, sep="\n")


if __name__ == "__main__":
    main()
