"""Pooling layers: a dense operation, a blur, a subsampling; and those that others have proposed."""

from lit_shift.pools.adaptive import DDACPool, LearnedPool
from lit_shift.pools.choosing import APSPool, LPSPool, TIPSPool
from lit_shift.pools.dense import ConvBlurDS, L2PoolBlurDS
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS, Pool
from lit_shift.pools.spectral import ASAPPool, FLCPool, IdealPool

__all__ = [
    "APSPool",
    "ASAPPool",
    "AvgPool",
    "ConvBlurDS",
    "DDACPool",
    "FLCPool",
    "IdealPool",
    "L2PoolBlurDS",
    "LPSPool",
    "LearnedPool",
    "MaxPool",
    "MaxPoolBlurDS",
    "Pool",
    "TIPSPool",
]
