"""Handwritten digits bundled with scikit-learn: real images without a download."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lit_shift.data.module import Dataset, ImageDataModule, to_images


class Digits(ImageDataModule):
    """1,797 digits of 8x8 pixels, enlarged to 16x16 in the middle of a black 32x32 field.

    The test set is a stratified fifth of them, the same for every seed.
    """

    def read(self) -> Dataset:
        digits = load_digits()
        grey = torch.from_numpy(digits.images)[:, None] / 16
        grey = F.interpolate(grey, size=(16, 16), mode="bilinear", align_corners=False)
        field = F.pad(grey, (8, 8, 8, 8)).mul(255).round().to(torch.uint8)
        pixels = field.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
        index = np.arange(len(pixels))
        train, test = train_test_split(index, test_size=0.2, stratify=digits.target, random_state=0)
        return Dataset(
            to_images(pixels[train], digits.target[train]),
            to_images(pixels[test], digits.target[test]),
            [str(name) for name in digits.target_names],
        )
