"""Networks that take the pool as an argument, and tools to look inside any network."""

from lit_shift.models.resnet import ResNet18
from lit_shift.models.vgg import VGG13

__all__ = ["VGG13", "ResNet18"]
