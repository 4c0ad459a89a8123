"""Data sets held in memory, batch loaders, and how an image is brought to a network's input."""

from lit_shift.data.cifar10 import CIFAR10
from lit_shift.data.digits import Digits
from lit_shift.data.imagefolder import ImageFolder

__all__ = ["CIFAR10", "Digits", "ImageFolder"]
