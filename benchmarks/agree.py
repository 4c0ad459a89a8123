"""What a GPU computes against a CPU in float64: ``python -m benchmarks.agree``.

Pools, batch norm with ReLU and border, the outputs at all shifts, and five training steps by whole steps on the GPU
against Lightning's way of stepping on a CPU. Each is told in one line; the exit code is 1 if one is off.
"""

import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.norm import by_steps
from benchmarks.timing import Options, describe, network
from benchmarks.train import Training, WholeSteps
from lit_shift.classifiers.classifier import full_precision
from lit_shift.data.chunks import ChunkLoader
from lit_shift.data.loader import Augmentation, BatchLoader, Images
from lit_shift.kernels import gpu_norm
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import orbit_logits
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS, Pool, bordered
from lit_shift.shifts import seeded

POOLS: dict[str, Callable[[], Pool]] = {"max": MaxPool, "avg": AvgPool}
POOLS |= {name: partial(MaxPoolBlurDS, name) for name in ("rect2", "tri5", "pascal7")}
MAPS = [(64, 32), (512, 4), (512, 2)]  # channels and side
# The most that results may differ, relative to their largest.
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def difference(found: Tensor, exact: Tensor) -> float:
    """Largest difference, relative to the largest exact value."""
    return float((found.cpu().double() - exact).abs().max() / exact.abs().max())


def worst(work: Callable[[Tensor], Tensor], exactly: Callable[[Tensor], Tensor], x: Tensor, to: Tensor) -> float:
    """Largest relative difference of a result and of its gradient. ``to`` has the device and type to be tried."""
    outcomes = []
    for function, leaf in ((work, x.to(to)), (exactly, x.to(to.dtype).double())):
        leaf = leaf.detach().requires_grad_()
        y = function(leaf)
        grad = torch.randn(y.shape, generator=seeded(1)).to(to.dtype)
        outcomes.append([y.detach(), *torch.autograd.grad(y, leaf, grad.to(y))])
    return max(difference(found, exact) for found, exact in zip(*outcomes, strict=True))


def levels(n: int, channels: int, side: int) -> Tensor:
    """Random whole numbers from -16 to 15, which bfloat16 holds, as maps."""
    return torch.randint(-16, 16, (n, channels, side, side), generator=seeded(0)).float()


def pools(to: Tensor, n: int) -> Iterator[float]:
    """Yield the difference of each pool on each map, with and without a border."""
    for make in POOLS.values():
        pool, exact = make(), make()
        for channels, side in MAPS:
            # No window has two equal samples, of which one would have to get the gradient.
            row, column = torch.arange(side)[:, None] % 2, torch.arange(side) % 2
            x = 4 * levels(n, channels, side) + 2 * row + column
            for border in (0, 1) if side > 2 else (0,):
                yield worst(partial(bordered, pool, border=border), partial(bordered, exact, border=border), x, to)


def norms(to: Tensor, n: int) -> Iterator[float]:
    """Yield the difference of batch norm, ReLU and border on each map, and of its running statistics."""
    for channels, side in MAPS:
        x = levels(n, channels, side)
        norm, exact = nn.BatchNorm2d(channels).to(to.device), nn.BatchNorm2d(channels).double()
        for each in (norm, exact):
            nn.init.constant_(each.bias, 0.3)  # so that no value is where ReLU bends, which rounding would decide
        fast = gpu_norm.applies(norm, x.to(to))
        ours = partial(gpu_norm.norm_relu, norm, border=1) if fast else partial(by_steps, norm)
        yield worst(ours, partial(by_steps, exact), x, to)
        yield difference(norm.running_mean, exact.running_mean)  # type: ignore[arg-type]
        yield difference(norm.running_var, exact.running_var)  # type: ignore[arg-type]


def orbits(to: Tensor, width: int) -> Iterator[float]:
    """Yield the difference of the outputs at all shifts for each pool."""
    x = torch.randn(2, 3, 32, 32, generator=seeded(0))
    for make in POOLS.values():
        model = network(make, width, torch.device("cpu"))
        exact = orbit_logits(deepcopy(model).double(), x.double())
        with full_precision(to.device):
            yield difference(orbit_logits(model.to(to.device), x.to(to.device)), exact)


def steps(to: Tensor, width: int) -> Iterator[float]:
    """Yield the relative difference of the losses after five training steps with augmentation, in float32."""
    images = Images(
        torch.randint(256, (80, 3, 32, 32), generator=seeded(0), dtype=torch.uint8),
        torch.randint(10, (80,), generator=seeded(0)),
    )
    augmentation = Augmentation(flip=True, shift=True)
    for make in (MaxPool, partial(MaxPoolBlurDS, "tri5")):
        torch.manual_seed(0)
        net = VGG13(make, width=width)
        plain = Training(deepcopy(net), BatchLoader(images, 16, augmentation), 5, torch.device("cpu"))
        held = Images(*(tensor.to(to.device) for tensor in images))
        whole = WholeSteps(net, ChunkLoader(5, held, 16, augmentation), 5, to.device)
        plain()
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            whole()
        losses = []
        for training in (plain, whole):
            with torch.no_grad(), full_precision(training.device):
                answers = training.net.eval()(images.pixels.to(training.device).float() / 255)
                losses.append(F.cross_entropy(answers.double().cpu(), images.labels))
        yield difference(losses[1], losses[0])


def main() -> None:
    parser = Options(__doc__)
    parser.add_device()
    options = parser.parse_args()
    n, width = (2, 4) if options.tiny else (16, 64)
    on_gpu = options.device.type == "cuda"
    print(f"{describe(options.device)} against a CPU in float64, largest relative difference:")
    wrong = False
    for dtype in (torch.float32, torch.bfloat16) if on_gpu else (torch.float32,):
        to = torch.empty((), device=options.device, dtype=dtype)
        parts = {"pools": (pools(to, n), CLOSE[dtype]), "norm, ReLU and border": (norms(to, n), CLOSE[dtype])}
        if dtype == torch.float32:
            parts["all shifts"] = orbits(to, width), 1e-5
            parts["loss after five steps"] = steps(to, width), 1e-2
        for name, (differences, close) in parts.items():
            largest = max(differences)
            verdict = "agrees" if largest <= close else f"IS OFF: more than {close:g}"
            wrong |= largest > close
            print(f"{name}, {str(dtype)[6:]}: {largest:.1e}, {verdict}")
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
