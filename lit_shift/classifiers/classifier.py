"""A classifier to measure: any network with its normalisation, classes and input size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

from lit_shift.data.view import View

__all__ = ["Classifier", "Key", "View", "full_precision", "in_full_precision"]

Key = tuple[int, ...]  # identifies a frame: the index of its image and its step on the path


class Classifier(nn.Module):
    """A network with its normalisation, its classes and the view it expects, in eval mode.

    Args:
        net: normalised images (N, 3, H, W) -> logits (N, K).
        mean: of each channel, for pixels in [0, 1], (3,).
        std: likewise.
        classes: names of the K outputs, in order.
        view: how images are brought to the network's input.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, net: nn.Module, mean: Sequence[float], std: Sequence[float], classes: Sequence[str], view: View
    ) -> None:
        super().__init__()
        self.net = net
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(3, 1, 1))
        self.classes = list(classes)
        self.view = view
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, K) of images (N, 3, H, W) with values in [0, 1]."""
        return self.net(self.normalised(images))

    def normalised(self, images: Tensor) -> Tensor:
        """Normalise images for the network."""
        return (images - self.mean) / self.std

    def answer(self, images: Tensor, keys: Sequence[Key]) -> Tensor:
        """Like :meth:`forward`; classifiers that draw at random seed the draws by the ``keys`` of the N images."""
        return self(images)


def in_full_precision(net: nn.Module) -> nn.Module:
    """Return the network in float32 or better: a float32 copy if its weights have 16 bits, else the network itself."""
    half = any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in net.parameters())
    return deepcopy(net).float() if half else net


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Disable autocast, TF32 and gradients: bf16 moves logits more than shifts of an anti-aliased network do.

    cuDNN searches for the fastest algorithm of each convolution, which is several times faster than its first choice.
    On a GPU the last digits may therefore differ from run to run.
    """
    matmul = torch.backends.cuda.matmul
    before, precision = matmul.allow_tf32, matmul.fp32_precision
    matmul.allow_tf32 = False
    with (
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(
            enabled=True,
            benchmark=True,
            deterministic=torch.backends.cudnn.deterministic,
            allow_tf32=False,
        ),
    ):
        try:
            yield
        finally:
            matmul.allow_tf32 = before
            matmul.fp32_precision = precision  # changed by the line above, which would make torch.compile recompile
