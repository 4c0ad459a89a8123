"""Pools with another dense operation than max."""

import torch
import torch.nn.functional as F
from torch import nn

from lit_shift.pools.dense import ConvBlurDS, L2PoolBlurDS
from lit_shift.pools.pool import Pool
from tests.pools.of_the_field import trained
from tests.pools.test_choosing import PLACES, blurred


def test_l2_is_the_root_mean_square(rng):
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64, generator=rng)
    for image, result in zip(x, L2PoolBlurDS("rect3")(x), strict=True):
        squares = torch.stack([image.roll((-i, -j), (1, 2)).square() for i, j in PLACES])
        torch.testing.assert_close(result, blurred(squares.mean(0).sqrt(), "rect3")[:, ::2, ::2])


def test_l2_of_nothing_is_nothing_and_has_no_gradient():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    with torch.no_grad():
        x[0, 0, 3, 3] = 1
    y = L2PoolBlurDS("delta")(x)
    y.sum().backward()
    assert y[0, 0, 0, 0] == 0
    assert x.grad.isfinite().all()
    assert x.grad[0, 0, 0, 0] == 0


def test_l2_keeps_what_float16_cannot_square_and_shows_what_is_not_finite():
    x = torch.full((1, 1, 4, 4), 300.0, dtype=torch.float16)
    assert torch.equal(L2PoolBlurDS("delta")(x), x[:, :, ::2, ::2])
    x[0, 0, 0, 0] = torch.nan
    assert L2PoolBlurDS("delta")(x)[0, 0, 0, 0].isnan()


def test_conv_is_a_strided_convolution_made_dense_and_blurred(rng):
    pool, x = trained(ConvBlurDS(4, "tri3")), torch.randn(2, 4, 6, 4, dtype=torch.float64, generator=rng)
    own = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", bias=False).double()
    own.load_state_dict(pool.conv.state_dict())
    maps = F.relu(pool.norm(own(x)))
    expected = torch.stack([blurred(image, "tri3")[:, ::2, ::2] for image in maps])
    torch.testing.assert_close(pool(x), expected)


class Half(Pool):
    """Subsamples in a way of its own."""

    def __init__(self):
        super().__init__("delta")

    def dense(self, x):
        return x

    def subsample(self, maps):
        return maps[:, :, 1::2, 1::2]


def test_a_pool_that_subsamples_in_its_own_way_has_its_own_phases(rng):
    x = torch.randn(2, 3, 4, 4, generator=rng)
    expected = torch.stack([x.roll((-p, -q), (2, 3))[:, :, 1::2, 1::2] for p, q in PLACES], dim=1).flatten(0, 1)
    assert torch.equal(Half().phases(x), expected)
