"""MaxPoolBlurDS as its definition reads, for its faster forms to be compared with."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_shift.filters import lowpass


def max_blur(x: Tensor, filter: str) -> Tensor:
    """The definition, whose max gives its gradient to the first of equal samples of a window."""
    taps = lowpass(filter).to(x)
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1)
    before, after = (len(taps) - 1) // 2, len(taps) // 2
    for axis in (2, 3):  # as often as it must, where F.pad refuses
        x = x.index_select(axis, torch.arange(-before, x.shape[axis] + after) % x.shape[axis])
    return F.conv2d(x, torch.outer(taps, taps).expand(x.shape[1], 1, -1, -1), stride=2, groups=x.shape[1])


def second(pool: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """What a pool's gradient, itself differentiated, sends back to the map and to the gradient that it was given."""
    x, grad = x.detach().requires_grad_(), grad.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(pool(x.sin()), x, grad, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), (x, grad))


def with_gradient(pool: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """What a pool makes of a map, and of the gradient with respect to that."""
    x = x.detach().requires_grad_()
    y = pool(x)
    return y.detach(), *torch.autograd.grad(y, x, grad.to(y.dtype))
