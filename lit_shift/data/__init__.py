"""Image classification data held in memory and batched whole: CIFAR-10, a folder of images, scikit-learn's digits."""

from lit_shift.data.cifar10 import CIFAR10
from lit_shift.data.digits import Digits
from lit_shift.data.imagefolder import ImageFolder

__all__ = ["CIFAR10", "Digits", "ImageFolder"]
