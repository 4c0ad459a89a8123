"""Data sets held in memory, batch loaders, and how an image is brought to a network's input."""

from lit_shift.data.bundled import BundledPhotographs
from lit_shift.data.cifar import CIFAR10, CIFAR100
from lit_shift.data.digits import Digits
from lit_shift.data.imagefolder import ImageFolder

__all__ = ["CIFAR10", "CIFAR100", "BundledPhotographs", "Digits", "ImageFolder"]
