"""Pooling: a dense operation, a blur, subsampling."""

from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS, Pool

__all__ = ["AvgPool", "MaxPool", "MaxPoolBlurDS", "Pool"]
