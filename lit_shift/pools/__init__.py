"""Pooling layers: a dense operation, a blur, a subsampling."""

from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS, Pool

__all__ = ["AvgPool", "MaxPool", "MaxPoolBlurDS", "Pool"]
