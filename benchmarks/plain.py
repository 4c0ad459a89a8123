"""The plain loop: VGG13 with tri5, its images and its training as one would write them."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms

from benchmarks.pool import literal
from lit_shift.data.loader import Images


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets give them: PIL, transformed one by one."""

    def __init__(self, images: Images, mean: Sequence[float], std: Sequence[float], flip: bool) -> None:
        self.pictures = [transforms.functional.to_pil_image(pixels) for pixels in images.pixels]
        self.labels = images.labels.tolist()
        flips = [transforms.RandomHorizontalFlip()] if flip else []
        self.transform = transforms.Compose([*flips, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[place]), self.labels[place]


class Literal(nn.Module):
    """MaxPoolBlurDS as its definition reads."""

    def forward(self, x: Tensor) -> Tensor:
        return literal(x)


def plain_vgg(width: int, classes: int) -> nn.Sequential:
    """VGG13 of plain modules, with the parameters of ours in the same order."""
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
    """Give the plain network the weights of ours."""
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
