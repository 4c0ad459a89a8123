"""Every pool with every padding, on its ways out of PyTorch's eager mode: what it computes stays the same.

All pools of a padding are exported at once, which takes a fraction of the time. ``docs/ways_out.py`` makes the table of
docs/export.md; the notes there are pinned here.
"""

import copy
import pickle
import runpy
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager
from torch.export import Dim

from lit_shift.padding import PADDINGS
from lit_shift.pools.choosing import ChoosingPool
from tests.conftest import ROOT
from tests.pools.of_the_field import POOLS, Every, paddings_of, pool_of

DECLARED = runpy.run_path(str(ROOT / "docs" / "ways_out.py"))
EVEN = [(2, 2), (32, 32), (2, 6)]
SIZES = {"circular": EVEN} | {padding: [*EVEN, (1, 1), (7, 32), (33, 33)] for padding in PADDINGS[1:]}
KINDS = ("blur", "aps", "ideal", "learned")
every_padding = pytest.mark.parametrize("padding", PADDINGS)
# What takes long: reflect pads otherwise than zeros, and is handled alike.
ROUGH_REFLECT = ["circular", "zeros", pytest.param("reflect", marks=pytest.mark.rough)]
every_padding_at_length = pytest.mark.parametrize("padding", ROUGH_REFLECT)
every_pool = pytest.mark.parametrize(
    ("name", "padding"), [(name, padding) for name in POOLS for padding in paddings_of(name)]
)


def maps(size, rng, batch=2):
    return torch.randn(batch, 4, *size, generator=rng)


def assert_same(found, expected):
    assert [each.shape for each in found.values()] == [each.shape for each in expected.values()]
    worst = {name: (found[name] - each).abs().max().item() for name, each in expected.items()}
    assert {name: error for name, error in worst.items() if not error <= 1e-5} == {}


@cache
def exported(padding, names=tuple(POOLS)):
    """Pools, and what torch.export makes of them with batch, height and width left open."""
    net, least = Every(padding, names), 2 if padding == "circular" else 3
    n, h, w = Dim("n"), Dim("h", min=least), Dim("w", min=least)
    sides = {2: 2 * h, 3: 2 * w} if padding == "circular" else {2: h, 3: w}
    side = 10 if padding == "circular" else 11
    return net, torch.export.export(net, (torch.randn(2, 4, 8, side),), dynamic_shapes=({0: n} | sides,))


def test_the_table_has_every_pool_and_its_notes_are_of_these():
    choices = {path.stem for path in (ROOT / "conf" / "pool").glob("*.yaml") if "-" not in path.stem}
    assert choices == set(DECLARED["POOLS"]) == {name.split("-")[0].rstrip("5") for name in POOLS}
    for way, (pools, _) in DECLARED["NOTES"].items():
        assert way in DECLARED["WAYS"]
        assert set(pools) <= choices
    assert len(DECLARED["table"]().splitlines()) == 2 + len(choices) + 1 + len(DECLARED["NOTES"])


@pytest.mark.parametrize(
    ("padding", "names"),
    [
        ("circular", (*(name for name in POOLS if name.isalnum() and name != "ddac5"),)),
        ("zeros", KINDS),
        *(pytest.param(padding, tuple(POOLS), marks=pytest.mark.rough) for padding in PADDINGS),
    ],
    ids=lambda value: value if isinstance(value, str) else len(value),
)
def test_exported_with_open_sizes(padding, names, rng):
    net, program = exported(padding, names)
    run = program.module()
    for size in [*SIZES[padding], (4, 16)]:
        x = maps(size, rng, batch=3)
        if min(size) >= (4 if padding == "circular" else 3):
            assert_same(run(x), net(x))
        else:  # such a side would have been exported as a constant
            with pytest.raises((AssertionError, RuntimeError), match=r"Guard failed|Expected"):
                run(x)


def test_exported_by_reading_its_code(rng):
    """A strict export sees a pool's code rather than one pass of it."""
    pool, sides = pool_of("blur", 4, padding="zeros").float(), {2: Dim("h", min=3), 3: Dim("w", min=3)}
    program = torch.export.export(pool, (maps((8, 11), rng),), dynamic_shapes=({0: Dim("n")} | sides,), strict=True)
    for size in ((7, 32), (33, 33)):
        x = maps(size, rng, batch=3)
        torch.testing.assert_close(program.module()(x), pool(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("padding", "names"), [("zeros", KINDS), *(pytest.param(each, POOLS, marks=pytest.mark.rough) for each in PADDINGS)]
)
def test_exported_for_small_sides(padding, names, rng):
    """One or two samples, which an export that leaves the sides open does not take. The batch is open."""
    net = Every(padding, names)
    for side in (2,) if padding == "circular" else (1, 2):
        program = torch.export.export(net, (maps((side, side), rng),), dynamic_shapes=({0: Dim("n")},))
        x = maps((side, side), rng, batch=3)
        assert_same(program.module()(x), net(x))


def assert_onnx_is_the_same(net, program, sizes, file, rng):
    """Export to a file with batch, height and width left open, and run it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.onnx.export(program, (), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for size in sizes:
        x = maps(size, rng, batch=3)
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert_same(dict(zip(net.pools, map(torch.from_numpy, found), strict=True)), net(x))


@pytest.mark.parametrize(("padding", "names"), [("circular", ("ideal", "learned")), ("zeros", ("blur", "aps"))])
def test_one_of_each_kind_in_onnx(padding, names, tmp_path, rng):
    assert_onnx_is_the_same(*exported(padding, names), SIZES[padding], tmp_path / "pools.onnx", rng)


@pytest.mark.rough
@every_padding
def test_all_in_onnx(padding, tmp_path, rng):
    assert_onnx_is_the_same(*exported(padding), SIZES[padding], tmp_path / "pools.onnx", rng)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit")
@every_padding_at_length
def test_traced(padding, rng):
    net = Every(padding)
    for size in SIZES[padding]:
        x = maps(size, rng, batch=3)
        traced = torch.jit.trace(net, maps(size, rng), strict=False, check_trace=False)
        assert_same(traced(x), net(x))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit")
def test_a_trace_is_saved_and_is_of_one_height_and_width(tmp_path, rng):
    pool = pool_of("blur", 4).float()
    torch.jit.trace(pool, maps((8, 8), rng)).save(tmp_path / "pool.pt")
    loaded, x = torch.jit.load(tmp_path / "pool.pt"), maps((8, 8), rng, batch=5)
    torch.testing.assert_close(loaded(x), pool(x))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        loaded(maps((8, 10), rng))


@pytest.mark.rough
@pytest.mark.parametrize(
    ("name", "padding"),
    [*((name, "circular") for name in POOLS if name != "ddac5"), *((name, "zeros") for name in ("max", "blur", "aps"))],
)
def test_compiled_to_one_graph_with_its_gradient(name, padding, rng):
    torch.compiler.reset()
    pool, x = pool_of(name, 4, padding=padding).float(), maps((8, 8) if padding == "circular" else (7, 8), rng)
    x.requires_grad_()
    compiled = torch.compile(pool, fullgraph=True, backend=aot_eager)
    (expected,), (found,) = (torch.autograd.grad(f(x).square().sum(), x) for f in (pool, compiled))
    torch.testing.assert_close(found, expected)
    if padding == "circular":
        compiled.train()(x).sum().backward()  # the noise of LPS as well


@pytest.mark.rough
@every_pool
def test_compiled_for_sizes_that_change(name, padding, rng):
    torch.compiler.reset()
    pool = pool_of(name, 4, padding=padding).float()
    compiled = torch.compile(pool, fullgraph=True, backend=aot_eager)
    for size in [(8, 8), (16, 20), *SIZES[padding]]:
        x = maps(size, rng).requires_grad_()
        torch.testing.assert_close(compiled(x), pool(x))
        (expected,), (found,) = (torch.autograd.grad(f(x).square().sum(), x) for f in (pool, compiled))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.rough
@pytest.mark.parametrize(
    ("name", "padding"), [("aps", "circular"), ("lps", "zeros"), ("learned", "reflect"), ("flc", "circular")]
)
def test_compiled_by_inductor(name, padding, rng):
    """One of each kind: a compilation takes half a minute."""
    torch.compiler.reset()
    pool, x = pool_of(name, 4, padding=padding).float(), maps((8, 8), rng).requires_grad_()
    compiled = torch.compile(pool, fullgraph=True)
    torch.testing.assert_close(compiled(x), pool(x))
    (expected,), (found,) = (torch.autograd.grad(f(x).square().sum(), x) for f in (pool, compiled))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_pool
def test_half_precision_is_float32_but_for_rounding(name, padding, dtype, rng):
    pool, low = pool_of(name, 4, padding=padding).float(), pool_of(name, 4, padding=padding).to(dtype)
    pool.load_state_dict({key: value.float() for key, value in low.state_dict().items()})  # the same rounded weights
    for size in SIZES[padding]:
        x = maps(size, rng).to(dtype)
        found = low(x)
        assert found.dtype == dtype
        # Two phases that are equal but for rounding may change places.
        choices = [{"choice": torch.tensor([k, k])} for k in range(4)] if isinstance(pool, ChoosingPool) else [{}]
        errors = torch.stack([(pool(x.float(), **choice) - found.float()).abs().amax((1, 2, 3)) for choice in choices])
        assert errors.amin(0).max() <= 16 * torch.finfo(dtype).eps * max(pool(x.float()).abs().max(), 1)


@every_padding
def test_copied_and_pickled(padding, rng):
    net = Every(padding)
    for size in SIZES[padding]:
        x = maps(size, rng)
        for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            found, expected = again(x), net(x)
            assert all(torch.equal(found[name], expected[name]) for name in POOLS if name in expected)


@every_padding
def test_channels_last(padding, rng):
    net = Every(padding)
    for size in SIZES[padding]:
        x = maps(size, rng)
        assert_same(net(x.contiguous(memory_format=torch.channels_last)), net(x))


@every_padding
def test_batched_by_vmap_with_the_gradients_of_each(padding, rng):
    net = Every(padding)
    for size in SIZES[padding]:
        x = torch.randn(3, 2, 4, *size, generator=rng)
        each = [net(batch) for batch in x]
        assert_same(torch.func.vmap(net)(x), {name: torch.stack([one[name] for one in each]) for name in net.pools})
        for pool in net.pools.values():
            gradient = torch.func.vmap(torch.func.grad(lambda x, pool=pool: pool(x).square().sum()))(x)
            plain = x.clone().requires_grad_()
            sum(pool(batch).square().sum() for batch in plain).backward()
            torch.testing.assert_close(gradient, plain.grad, rtol=1e-4, atol=1e-5)


def test_what_is_drawn_in_training_is_drawn_for_each_only_if_asked(rng):
    pool, x = pool_of("lps", 4).float().train(), torch.randn(3, 2, 4, 8, 8, generator=rng)
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(pool)(x)
    assert torch.func.vmap(pool, randomness="different")(x[:1].expand_as(x)).std(0).max() > 0


@every_pool
def test_gradients_of_gradients_are_those_of_finite_differences(name, padding, rng):
    pool = pool_of(name, 2, padding=padding)
    used = [] if name.startswith("lps") else [each for each in pool.parameters() if each.requires_grad]
    for size in ((2, 4),) if padding == "circular" else ((3, 4), (1, 1)):
        x = torch.randn(1, 2, *size, dtype=torch.float64, generator=rng, requires_grad=True)
        assert torch.autograd.gradgradcheck(lambda x, *_: pool(x), (x, *used), fast_mode=True)


@pytest.mark.parametrize("name", POOLS)
def test_a_penalty_on_gradients_by_kernels_is_that_in_steps(name, rng):
    """In float32 on maps that kernels take, against float64, of which they take none."""
    x, weight = maps((16, 18), rng), torch.randn(4, 4, 1, 1, generator=rng)

    def penalised(dtype):
        pool = pool_of(name, 4).to(dtype)
        leaf, mix = (each.to(dtype).requires_grad_() for each in (x, weight))
        loss = pool(torch.conv2d(leaf, mix)).tanh().sum()
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        return torch.autograd.grad((gradient.square().sum((1, 2, 3)).sqrt() - 1).square().sum(), (leaf, mix))

    for found, expected in zip(penalised(torch.float32), penalised(torch.float64), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


def test_what_is_exported_first_of_all_leaves_pools_as_they_are():
    """In a process that has made no constants yet."""
    code = """
import copy
import torch
from tests.pools.of_the_field import Every
net, x = Every("circular", ["blur", "learned", "aps", "ideal"]), torch.randn(2, 4, 8, 10)
program = torch.export.export(net, (x,))
expected = copy.deepcopy(net).double()(x.double())
for found in (net(x), program.module()(x), net.train().eval()(x)):
    for name, each in found.items():
        assert type(each) is torch.Tensor
        torch.testing.assert_close(each.double(), expected[name], rtol=1e-5, atol=1e-5)
leaf = x.requires_grad_()
sum(each.sum() for each in net(leaf).values()).backward()
assert leaf.grad.isfinite().all()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
