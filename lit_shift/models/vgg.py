"""VGG13 for 32x32 images, with its pools passed in (Zhang, section 4.1)."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lit_shift.kernels import gpu_norm
from lit_shift.models.conv import ConvNormReLU
from lit_shift.padding import Padding, pad
from lit_shift.pools.pool import bordered, made
from lit_shift.utils.errors import InputError, at_least


class VGG13(nn.Module):
    """Five blocks of two (3x3 convolution, batch norm, ReLU) and a pool, then one linear layer on the mean of the map.

    On a 32x32 image the last map is 1x1 and its mean is itself. Layers are named as in Zhang's Fig. 4: ``conv1_1``,
    ``conv1_2`` (each with its batch norm and ReLU), ``pool1``, ... ``pool5`` in ``features``, then ``classifier``.

    Args:
        pool: called for each of the five pools, with their ``channels`` if it takes them; see
            :func:`lit_shift.pools.pool.made`.
        num_classes: number of outputs.
        width: channels of the first block; the others have 2, 4, 8 and 8 times as many. The paper's width is 64.
        padding: border handling of the convolutions.
        fourier: convolve small circular maps in the Fourier basis where that is faster, with the same result.

    Shapes: (N, 3, H, W) -> (N, num_classes). With circular padding, H and W are multiples of 32; ValueError otherwise.
    """

    def __init__(
        self,
        pool: Callable[..., nn.Module],
        num_classes: int = 10,
        width: int = 64,
        padding: Padding = "circular",
        fourier: bool = True,
    ) -> None:
        super().__init__()
        at_least(1, "width", width)
        self.padding = padding
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for block, multiple in enumerate((1, 2, 4, 8, 8), start=1):
            for i in (1, 2):
                layers[f"conv{block}_{i}"] = ConvNormReLU(channels, multiple * width, padding, fourier)
                channels = multiple * width
            layers[f"pool{block}"] = made(pool, channels)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(channels, num_classes)
        self.to(memory_format=torch.channels_last)  # several times faster for pools and convolutions on a CPU

    def classify(self, maps: Tensor) -> Tensor:
        """Compute logits from the last maps: (N, C, h, w) -> (N, num_classes)."""
        return self.classifier(maps.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        if self.padding == "circular" and (h % 32 or w % 32 or not h * w):
            raise InputError(
                f"VGG13 halves the image five times, so its sides must be multiples of 32, not {h}x{w}, unless "
                "padding=zeros or padding=reflect."
            )
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
