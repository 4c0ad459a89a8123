"""Convolution with batch norm, the building block of the networks."""

import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.kernels import fourier_conv, gpu_norm
from lit_shift.padding import PADDINGS, Padding, pad
from lit_shift.utils.errors import one_of, true_or_false


class ConvNorm(nn.Conv2d):
    """3x3 convolution at stride 1 with border ``padding``, and batch norm.

    With ``fourier`` it uses :func:`lit_shift.kernels.fourier_conv.convolve` where that is faster.
    """

    def __init__(self, in_channels: int, out_channels: int, padding: Padding, fourier: bool = True) -> None:
        one_of(PADDINGS, "padding", padding)
        true_or_false("fourier", fourier)
        # No bias, because the batch norm has one.
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode=padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.fourier = fourier and padding == "circular"

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolve(x))

    def convolve(self, x: Tensor) -> Tensor:
        """Apply the convolution alone."""
        if self.padding_mode == "zeros":
            return super().forward(x)
        if self.fourier and fourier_conv.is_faster(x, self.weight):
            return fourier_conv.convolve(x, self.weight)
        return F.conv2d(pad(x, 1, 1, self.padding_mode), self.weight)  # type: ignore[arg-type]


class ConvNormReLU(ConvNorm):
    """The same, and ReLU: ``conv1_1`` etc. in Zhang's Fig. 4."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x), inplace=True)

    def bordered(self, x: Tensor, border: int) -> Tensor:
        """Do the same to a map with a circular border of 1, and give the result a ``border`` of 0 or 1."""
        return gpu_norm.norm_relu(self.norm, F.conv2d(x, self.weight), border)
