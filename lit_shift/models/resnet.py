"""ResNet-18 for 32x32 images, with its pools passed in."""

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.models.conv import ConvNorm, ConvNormReLU
from lit_shift.padding import Padding
from lit_shift.pools.choosing import ChoosingPool, pool_both
from lit_shift.pools.pool import Pool, made
from lit_shift.utils.errors import InputError, at_least


class ResNet18(nn.Module):
    """A 3x3 convolution, four stages of two residual blocks, and one linear layer on the mean of the map.

    The first block of the last three stages halves the map. Where He et al. have a convolution of stride 2, it has
    stride 1 here, and a pool follows its batch norm and ReLU (Zhang, section 3). On the shortcut, a pool precedes the
    1x1 convolution. A pool that begins with a 2x2 max skips it, as the convolution takes its place; another dense
    operation is kept. With ``MaxPool``, a trained network computes what the plain, strided ResNet would.

    Args:
        pool: called for each of the six pools, with their ``channels`` if it takes them; see
            :func:`lit_shift.pools.pool.made`.
        num_classes: number of outputs.
        width: channels of the first stage; the others have 2, 4 and 8 times as many. The usual width is 64.
        padding: border handling of the convolutions.
        fourier: convolve small circular maps in the Fourier basis where that is faster, with the same result.

    Shapes: (N, 3, H, W) -> (N, num_classes). With circular padding, H and W are multiples of 8; ValueError otherwise.

    Source: He et al. 2016, with the first layer usual for CIFAR-10: 3x3, stride 1, no pool.
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
        layers: OrderedDict[str, nn.Module] = OrderedDict(stem=ConvNormReLU(3, width, padding, fourier))
        channels = width
        for stage, multiple in enumerate((1, 2, 4, 8), start=1):
            for i in (1, 2):
                halves = stage > 1 and i == 1
                layers[f"block{stage}_{i}"] = Block(
                    channels, multiple * width, padding, fourier, pool if halves else None
                )
                channels = multiple * width
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(channels, num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        if self.padding == "circular" and (h % 8 or w % 8 or not h * w):
            raise InputError(
                f"ResNet18 halves the image three times, so its sides must be multiples of 8, not {h}x{w}, unless "
                "padding=zeros or padding=reflect."
            )
        x = x.contiguous(memory_format=torch.channels_last)
        return self.classifier(self.features(x).mean((2, 3)))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut past both, added before the last ReLU.

    With a pool, the first convolution and the shortcut are each followed by one, and a 1x1 convolution ends the
    shortcut.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        padding: Padding,
        fourier: bool,
        pool: Callable[..., nn.Module] | None,
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormReLU(in_channels, out_channels, padding, fourier)
        self.conv2 = ConvNorm(out_channels, out_channels, padding, fourier)
        self.halves = pool is not None
        if pool:
            self.pool, self.shortcut_pool = (_without_max(pool, channels) for channels in (out_channels, in_channels))
            if isinstance(self.shortcut_pool, ChoosingPool):
                self.shortcut_pool.follow()
            convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        if self.halves:
            y, x = pool_both(self.pool, self.shortcut_pool, y, x)
            x = self.shortcut(x)
        return F.relu(x + self.conv2(y))


def _without_max(pool: Callable[..., nn.Module], channels: int) -> nn.Module:
    layer = made(pool, channels)
    if isinstance(layer, Pool):
        layer.drop_max()
    return layer
