"""VGG13 for 32x32 images, with its pools passed in (Zhang, section 4.1)."""

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.kernels import fourier_conv, gpu_norm
from lit_shift.padding import PADDINGS, Padding, pad
from lit_shift.pools.pool import Pool, bordered
from lit_shift.utils.errors import InputError, at_least, one_of, true_or_false


class ConvNormReLU(nn.Conv2d):
    """3x3 convolution at stride 1 with border ``padding``, batch norm and ReLU: ``conv1_1`` etc. in Zhang's Fig. 4.

    With ``fourier`` it uses :func:`lit_shift.kernels.fourier_conv.convolve` where that is faster.
    """

    def __init__(self, in_channels: int, out_channels: int, padding: Padding, fourier: bool = True) -> None:
        one_of(PADDINGS, "padding", padding)
        # No bias, because the batch norm has one.
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode=padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.fourier = fourier and padding == "circular"

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolve(x)), inplace=True)

    def bordered(self, x: Tensor, border: int) -> Tensor:
        """Do the same to a map with a circular border of 1, and give the result a ``border`` of 0 or 1."""
        return gpu_norm.norm_relu(self.norm, F.conv2d(x, self.weight), border)

    def convolve(self, x: Tensor) -> Tensor:
        """Apply the convolution alone."""
        if self.padding_mode == "zeros":
            return super().forward(x)
        if self.fourier and fourier_conv.is_faster(x, self.weight):
            return fourier_conv.convolve(x, self.weight)
        return F.conv2d(pad(x, 1, 1, self.padding_mode), self.weight)  # type: ignore[arg-type]


class VGG13(nn.Module):
    """Five blocks of two (3x3 convolution, batch norm, ReLU) and a pool, then one linear layer on the mean of the map.

    On a 32x32 image the last map is 1x1 and its mean is itself. Layers are named as in Zhang's Fig. 4: ``conv1_1``,
    ``conv1_2`` (each with its batch norm and ReLU), ``pool1``, ... ``pool5`` in ``features``, then ``classifier``.

    Args:
        pool: called without arguments for each of the five pools.
        num_classes: number of outputs.
        width: channels of the first block; the others have 2, 4, 8 and 8 times as many. The paper's width is 64.
        padding: border handling of the convolutions.
        fourier: convolve small circular maps in the Fourier basis where that is faster, with the same result.

    Shapes: (N, 3, H, W) -> (N, num_classes), H and W multiples of 32; ValueError otherwise.
    """

    def __init__(
        self,
        pool: Callable[[], Pool],
        num_classes: int = 10,
        width: int = 64,
        padding: Padding = "circular",
        fourier: bool = True,
    ) -> None:
        super().__init__()
        at_least(1, "width", width)
        true_or_false("fourier", fourier)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for block, multiple in enumerate((1, 2, 4, 8, 8), start=1):
            for i in (1, 2):
                layers[f"conv{block}_{i}"] = ConvNormReLU(channels, multiple * width, padding, fourier)
                channels = multiple * width
            layers[f"pool{block}"] = pool()
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(channels, num_classes)
        self.to(memory_format=torch.channels_last)  # several times faster for pools and convolutions on a CPU

    def classify(self, maps: Tensor) -> Tensor:
        """Compute logits from the last maps: (N, C, h, w) -> (N, num_classes)."""
        return self.classifier(maps.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        if h % 32 or w % 32 or not h * w:
            raise InputError(f"VGG13 halves the image five times, so its sides must be multiples of 32, not {h}x{w}.")
        x = x.contiguous(memory_format=torch.channels_last)
        return self.classify(self._by_borders(x) if self._has_borders(x) else self.features(x))

    def _has_borders(self, x: Tensor) -> bool:
        """True if :meth:`_by_borders` applies: in training on a GPU, with circular padding, without hooks.

        A hook that watches a layer expects its map without a border.
        """
        if not x.is_cuda or not self.training:
            return False
        if any(module._forward_hooks or module._forward_pre_hooks for module in self.features.modules()):
            return False
        convolutions = [layer for layer in self.features if isinstance(layer, ConvNormReLU)]
        return all(layer.padding_mode == "circular" and gpu_norm.applies(layer.norm, x) for layer in convolutions)

    def _by_borders(self, x: Tensor) -> Tensor:
        """Compute ``features`` on a GPU, where each layer writes the border that the next convolution reads."""
        layers = list(self.features)
        x = pad(x, 1, 1, "circular")
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            border = int(isinstance(following, ConvNormReLU))
            x = layer.bordered(x, border) if isinstance(layer, ConvNormReLU) else bordered(layer, x, border)
        return x
