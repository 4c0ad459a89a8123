"""The plain loop: VGG13 with tri5, its images and its training in ordinary PyTorch."""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms

from lit_shift.data.loader import Images
from lit_shift.filters import lowpass


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets provide them: PIL, transformed one by one."""

    def __init__(self, images: Images, mean: Sequence[float], std: Sequence[float], flip: bool) -> None:
        self.pictures = [transforms.functional.to_pil_image(pixels) for pixels in images.pixels]
        self.labels = images.labels.tolist()
        flips = [transforms.RandomHorizontalFlip()] if flip else []
        self.transform = transforms.Compose([*flips, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[place]), self.labels[place]


@cache
def blur(filter: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the two-dimensional filter, made once, since a CUDA graph cannot copy it from the CPU."""
    taps = lowpass(filter).to(device, dtype)
    return torch.outer(taps, taps)


def literal(x: Tensor, filter: str = "tri5") -> Tensor:
    """MaxPoolBlurDS with five taps, written as its definition."""
    kernel = blur(filter, x.dtype, x.device).expand(x.shape[1], 1, 5, 5)
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="circular"), kernel, stride=2, groups=x.shape[1])


class Literal(nn.Module):
    """MaxPoolBlurDS, written as its definition."""

    def forward(self, x: Tensor) -> Tensor:
        return literal(x)


def plain_vgg(width: int, classes: int) -> nn.Sequential:
    """VGG13 from PyTorch's own modules, with the parameters of ours in the same order."""
    layers: list[nn.Module] = []
    channels = 3
    for multiple in (1, 2, 4, 8, 8):
        for _ in range(2):
            conv = nn.Conv2d(channels, multiple * width, 3, padding=1, padding_mode="circular", bias=False)
            layers += [conv, nn.BatchNorm2d(multiple * width), nn.ReLU(inplace=True)]
            channels = multiple * width
        layers.append(Literal())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, classes))


def load_ours(plain: nn.Module, ours: nn.Module) -> None:
    """Copy our weights into the plain network."""
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
