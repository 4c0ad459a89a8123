"""A classifier that first moves what it sees to a canonical place."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_shift.classifiers.classifier import Classifier, Key
from lit_shift.shifts import shift


class CanonicalCrop(Classifier):
    """A classifier of the window, as large as its input, at whose centre a fixed, smooth score peaks.

    The score is local contrast: the squared difference of brightness from its mean over a neighbourhood, averaged over
    Gaussian windows of an eighth of the image's side. Beyond the image, the window has the mean colour. If an object
    moves over a ground of that colour, far from borders, the network sees the same at every step.

    Args:
        classifier: classifies the window.
    """

    def __init__(self, classifier: Classifier) -> None:
        mean, std = classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()
        super().__init__(classifier.net, mean, std, classifier.classes, classifier.view)

    def answer(self, images: Tensor, keys: Sequence[Key]) -> Tensor:
        x = self.normalised(images)
        height, width = x.shape[2:]
        peaks = score(images).flatten(1).argmax(1)
        offsets = torch.stack([height // 2 - peaks // width, width // 2 - peaks % width], dim=1)
        return self.net(shift(x, offsets, "zeros"))


def score(images: Tensor) -> Tensor:
    """Smooth score of each place: images (N, 3, H, W) in [0, 1] -> (N, H, W). Beyond the border they are mirrored."""
    grey = images.mean(1, keepdim=True)
    sigma = min(images.shape[2:]) / 8
    return _blurred((grey - _blurred(grey, sigma / 2)).square(), sigma).squeeze(1)


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """Blur maps (N, 1, H, W) with a Gaussian of this standard deviation, cut at three of them or at the map's side."""
    for axis, side in zip((2, 3), maps.shape[2:], strict=True):
        reach = min(round(3 * sigma), side - 1)
        places = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
        taps = torch.exp(-(places**2) / (2 * sigma**2))
        kernel = (taps / taps.sum()).view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        border = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        maps = F.conv2d(F.pad(maps, border, mode="reflect"), kernel)
    return maps
