"""Networks into which the pool is passed, and what any network is made of."""

from lit_shift.models.vgg import VGG13

__all__ = ["VGG13"]
