from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lit_shift.kernels.constant import constant
from lit_shift.kernels.fourier_conv import basis
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS


def test_it_is_made_once_for_the_same_arguments_and_is_a_constant_to_torch_compile():
    calls = []

    @constant
    def ramp(size, dtype):
        calls.append((size, dtype))
        return torch.arange(size, dtype=dtype)

    traced = []

    def backend(graph, inputs):
        traced.extend(str(node.target) for node in graph.graph.nodes if node.op.startswith("call"))
        return graph.forward

    x = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        ramp(3, torch.float32)
    compiled = torch.compile(lambda x: x * ramp(3, torch.float32), backend=backend, fullgraph=True)
    for _ in range(2):
        compiled(x).sum().backward()
    assert x.grad.tolist() == [0, 2, 4]
    assert not [name for name in traced if "arange" in name]
    assert ramp(2, torch.float64).tolist() == [0, 1]
    assert calls == [(3, torch.float32), (2, torch.float64)]
    assert ramp.__name__ == "ramp"


MODES = {
    "inference": torch.inference_mode,
    "fake tensors": FakeTensorMode,
    "default device": lambda: torch.device("meta"),
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    "no gradients": torch.no_grad,
}


def squares():
    """A new function each time, so that nothing has been made by it."""

    @constant
    def table(size):
        numbers = torch.arange(size, dtype=torch.float32)
        return numbers[:, None] @ numbers[None]

    return table


def assert_plain(table):
    assert type(table) is torch.Tensor
    assert (table.device.type, table.dtype) == ("cpu", torch.float32)
    assert not table.is_inference()
    assert table.tolist() == [[0, 0, 0], [0, 1, 2], [0, 2, 4]]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_first_made_under_a_mode_is_the_same_elsewhere(mode):
    table = squares()
    with MODES[mode]():
        table(3)
    assert_plain(table(3))


@pytest.mark.parametrize("transform", [torch.func.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
def test_what_is_first_made_under_a_transform_is_the_same_elsewhere(transform):
    table = squares()
    assert transform(lambda x: x * table(3).sum())(torch.ones(4)).tolist() == [9] * 4
    assert not torch._C._functorch.is_functorch_wrapped_tensor(table(3))
    assert_plain(table(3))


def test_it_is_seen_as_the_mode_has_it():
    table = squares()
    with FakeTensorMode() as mode:
        assert (mode.from_tensor(torch.ones(2, 3)) @ table(3)).shape == (2, 3)
        made = basis(3, 5, torch.float32, torch.device("cpu"))
        assert made.maps.shape == made.products.T.shape == (1 + 3 * 7, 15)
    assert_plain(table(3))


def test_an_error_is_raised_each_time():
    @constant
    def inverse(number):
        return 1 / number

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            inverse(0)
    assert inverse(2) == 0.5


POOLS = [MaxPool, AvgPool, MaxPoolBlurDS, partial(MaxPoolBlurDS, "window6"), partial(MaxPoolBlurDS, padding="zeros")]


@pytest.mark.parametrize(("channels", "size"), [(3, (10, 14)), (5, (18, 22))])
@pytest.mark.parametrize("pool", POOLS)
def test_an_exported_pool_is_the_pool_and_leaves_nothing_behind(pool, channels, size, rng):
    """Sizes that no other test has, so that the export is the first to ask for their matrices."""
    x = torch.randn(2, channels, *size, generator=rng)
    program = torch.export.export(pool(), (x,))
    found = pool()(x)
    assert type(found) is torch.Tensor
    torch.testing.assert_close(program.module()(x), found)
    torch.testing.assert_close(found.double(), pool()(x.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_network_can_be_exported_and_traced(rng):
    net = VGG13(partial(MaxPoolBlurDS, "pascal5"), num_classes=3, width=3).requires_grad_(False).eval()
    x = torch.randn(2, 3, 64, 32, generator=rng)
    exported, traced = torch.export.export(net, (x,)).module(), torch.jit.trace(net, x)
    assert type(net(x)) is torch.Tensor
    for program in (exported, traced):
        torch.testing.assert_close(program(x), net(x))
