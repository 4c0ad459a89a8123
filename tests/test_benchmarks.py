import ctypes
import re
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import benchmarks.agree
import benchmarks.checkpoint
import benchmarks.convolution
import benchmarks.curves
import benchmarks.forward
import benchmarks.host
import benchmarks.norm
import benchmarks.orbit
import benchmarks.pool
import benchmarks.train
from benchmarks.plain import load_ours, plain_vgg
from benchmarks.timing import peak_memory, quartiles, take_turns
from lit_shift.data.loader import Augmentation, BatchLoader, Images
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPool, MaxPoolBlurDS
from lit_shift.published import load
from lit_shift.training.memory import keep_freed_memory
from tests.conftest import TINY

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """What a benchmark prints: its text, and its table as a dict of rows, by their first cell."""

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", ["benchmark", "--tiny", *arguments])
        module.main()
        text = capsys.readouterr().out
        lines = [line.strip("│").split("│") for line in text.splitlines() if line.startswith("│")]
        return text, {first.strip(): [cell.strip() for cell in cells] for first, *cells in lines}

    return run


@pytest.mark.parametrize("device", DEVICES)
def test_forward_has_every_row_beside_the_published_one(benchmark, device):
    _, rows = benchmark(benchmarks.forward, "--device", device)
    assert list(rows) == ["baseline", "ours", "dense_pool", *[f"dense_pool_filter{taps}" for taps in range(2, 8)]]
    published = {row["model"]: row["added_percent"] for row in load("zhang_table2")}
    assert {name: cells[-1] for name, cells in rows.items() if cells[-1]} == published
    assert rows["baseline"][2:4] == ["1.000 (1.000-1.000)", "0.0"]
    assert all(float(cells[1]) > 0 for cells in rows.values())


def test_dense_pool_is_max_pooling_that_evaluates_every_window(rng, monkeypatch):
    pool = benchmarks.forward.DensePool()
    seen = []
    dense = pool.dense
    monkeypatch.setattr(pool, "dense", lambda x: seen.append(dense(x)) or seen[-1])
    x = torch.randn(2, 3, 8, 6, generator=rng).contiguous(memory_format=torch.channels_last)
    y = pool(x)
    assert seen[0].shape == x.shape
    assert torch.equal(y, benchmarks.forward.MaxPool()(x))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "pool", [["--pool", "max"], ["--filter", "pascal7"], ["--filter", "tri5"]], ids=["max", "pascal7", "tri5"]
)
def test_orbit_has_every_row_and_both_ways_agree(benchmark, pool, device):
    text, rows = benchmark(benchmarks.orbit, "--device", device, *pool)
    shifts = (16, 32, 64, 128) if device == "cpu" else (128, 256, 512, 1024)
    expected = [
        f"all shifts at once, {images} images" for images in ((1, 4, 8, 16) if device == "cpu" else (16, 64, 128))
    ]
    error = re.search(r"error against float64 is at most (\S+)\.$", text, re.MULTILINE)[1]
    assert float(error) <= 1e-5
    expected += [f"brute force, {n} shifts" for n in shifts]
    expected += ["plain network, brute force"] * ("tri5" in pool)
    assert list(rows) == expected
    assert pool[-1] in text.lower()
    difference, variation = re.search(r"at most (\S+) between .* by (\S+)\.$", text, re.MULTILINE).groups()
    assert float(difference) < min(1e-4, float(variation) / 20)
    best, brute = re.search(r"best with (.*) and with (.*)\.$", text, re.MULTILINE).groups()
    seconds = {name: float(cells[0].replace(",", "")) for name, cells in rows.items()}
    for way, chosen in (("all shifts", best), ("brute force", brute)):
        assert seconds[chosen] == min(seconds[name] for name in expected if name.startswith(way))
    assert rows[brute][1] == "1.00 (1.00-1.00)"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pool_has_every_row(benchmark, dtype, device):
    text, rows = benchmark(benchmarks.pool, "--dtype", dtype, "--device", device)
    names = benchmarks.pool.candidates(torch.device(device))
    assert {f"{name}, {layout}" for name in names for layout in benchmarks.pool.LAYOUTS} < rows.keys()
    assert rows["literal, NCHW"] == ["1.00 (1.00-1.00)"] * 5
    assert all(len(cells) == 5 for cells in rows.values())
    assert text.count("memory floor") == 2  # forward, and with the backward pass


@pytest.mark.parametrize("device", DEVICES)
def test_host_compares_both(benchmark, device):
    _, rows = benchmark(benchmarks.host, "--device", device)
    assert list(rows) == ["train.py", "bare loop"]
    assert rows["bare loop"][1] == "1.00 (1.00-1.00)"
    assert all(float(milliseconds.split()[0]) > 0 for milliseconds, _ in rows.values())


def test_pools_whose_packages_are_missing_are_left_out_and_named(benchmark, monkeypatch):
    for package in ("kornia", "timm", "antialiased_cnns"):
        monkeypatch.setitem(sys.modules, package, None)
    text, rows = benchmark(benchmarks.pool, "--device", "cpu")
    assert "not installed: antialiased-cnns; antialiased-cnns, circular; kornia; timm." in text
    left = {"literal", "MaxPoolBlurDS", "MaxPool", "nn.MaxPool2d", "memory floor"}
    assert {name.split(",")[0] for name in rows} == left


def test_step_by_step_is_what_a_gpu_is_spared(rng):
    x = torch.randn(2, 3, 8, 8, generator=rng)
    torch.testing.assert_close(benchmarks.pool.StepByStep("pascal5")(x), benchmarks.pool.literal(x, "pascal5"))
    assert benchmarks.pool.candidates(torch.device("cpu")) == benchmarks.pool.CANDIDATES
    assert "MaxPoolBlurDS, step by step" in benchmarks.pool.candidates(torch.device("cuda"))


def test_convolution_has_a_row_for_each_layer(benchmark):
    text, _ = benchmark(benchmarks.convolution)
    assert all(text.count(name) >= 1 for name in benchmarks.convolution.LAYERS)


@pytest.mark.parametrize("device", DEVICES)
def test_a_checkpoint_is_timed_both_ways(benchmark, device):
    _, rows = benchmark(benchmarks.checkpoint, "--device", device)
    assert list(rows) == ["at once", "in the background"]
    assert all(len(cells) == 4 for cells in rows.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_norms_are_compared_on_every_map(benchmark, dtype, device):
    _, rows = benchmark(benchmarks.norm, "--dtype", dtype, "--device", device)
    assert set(rows) == {"step by step", "memory floor"} | ({"ours", "compiled"} if device == "cuda" else set())
    assert rows["step by step"] == ["1.00 (1.00-1.00)"] * 5


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_agrees_with_a_cpu(monkeypatch, capsys, device):
    monkeypatch.setattr(sys, "argv", ["agree", "--tiny", "--device", device])
    with pytest.raises(SystemExit) as stopped:
        benchmarks.agree.main()
    assert stopped.value.code == 0
    assert capsys.readouterr().out.count("agrees") == (4 if device == "cpu" else 6)


def test_what_does_not_agree_is_told(monkeypatch, capsys):
    monkeypatch.setattr(benchmarks.agree.nn.init, "constant_", lambda bias, value: bias.data.uniform_(-1, 1))
    monkeypatch.setattr(sys, "argv", ["agree", "--tiny", "--device", "cpu"])
    with pytest.raises(SystemExit) as stopped:
        benchmarks.agree.main()
    assert stopped.value.code == 1
    assert "norm, ReLU and border, float32:" in (out := capsys.readouterr().out)
    assert out.count("IS OFF: more than 1e-05") == 1


@pytest.mark.parametrize("device", DEVICES)
def test_training_is_compared_with_the_plain_loop(benchmark, device):
    _, rows = benchmark(benchmarks.train, "--device", device)
    assert rows["plain loop"][1] == "1.00 (1.00-1.00)"
    expected = {"ours, whole steps", "ours, direct convolutions", "ours, freed memory given back", "ours, zero-padded"}
    if device == "cuda":
        expected = {
            "ours, bfloat16",
            "ours, bfloat16, compiled",
            "experiment=gpu",
            "experiment=gpu, float32",
            "experiment=gpu, zero-padded",
        }
    assert {"ours", *expected} < rows.keys()
    assert all(float(cells[0].replace(",", "")) > 0 for cells in rows.values())


def test_a_training_as_on_a_gpu(monkeypatch, rng):
    """What only a GPU has in its table."""
    compiled, net = [], VGG13(MaxPoolBlurDS, width=2)
    monkeypatch.setattr(torch, "compile", lambda net, **how: compiled.append(how) or net)
    images = Images(torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=rng), torch.arange(4))
    loader = BatchLoader(images, 4, Augmentation(flip=True, shift=False))
    training = benchmarks.train.Training(net, loader, 2, torch.device("cpu"), dtype=torch.bfloat16, fast=True)
    before, seen = net.classifier.weight.clone(), []
    net.classifier.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    training()
    assert seen == [torch.bfloat16] * 2
    assert compiled == [{"mode": "reduce-overhead", "dynamic": False}]
    assert not torch.equal(net.classifier.weight, before)
    assert training.optimizer.defaults["fused"]


def test_both_ways_learn_the_same(rng):
    """The same steps from the same weights on the same batches, but for rounding."""
    ours, plain = VGG13(MaxPoolBlurDS, width=8).double(), plain_vgg(8, 10).double()
    load_ours(plain, ours)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4) for net in (ours, plain)]
    x = torch.randn(8, 3, 32, 32, dtype=torch.float64, generator=rng)
    labels = torch.randint(10, (8,), generator=rng)
    first = None
    for _ in range(5):
        losses = [F.cross_entropy(net(x), labels) for net in (ours, plain)]
        torch.testing.assert_close(*losses, rtol=1e-9, atol=0)
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        first = first or losses[0].item()
    assert losses[0].item() < first / 2


@pytest.mark.rough
def test_loss_curves_of_both_ways(benchmark, images, tmp_path):
    picture = tmp_path / "curves.png"
    tiny = [argument for argument in TINY if argument != "logger=csv"]
    text, rows = benchmark(benchmarks.curves, *tiny, f"data.root={images}", "--seeds", "2", "--out", str(picture))
    assert list(rows) == ["1", "2", "test accuracy"]
    assert all(float(mean) > 0 for cells in rows.values() for mean in (cells[0].split()[0], cells[1].split()[0]))
    assert "losses of different seeds deviate by" in text
    assert picture.stat().st_size > 10_000


def test_ways_that_differ_more_than_their_seeds_are_seen():
    losses = np.array([1.0, 1.1, 1.2])
    same, apart = (benchmarks.curves.compared(losses, losses + by) for by in (0, 1))
    assert same == ["1.1000 ± 0.1000", "1.1000 ± 0.1000", "+0.0"]
    # Welch's t: 1 / sqrt(0.01 / 3 + 0.01 / 3)
    assert apart[2] == "-12.2"


def test_the_multiplications_of_vgg13_are_counted():
    """9 for each output, input channel and pixel of each convolution."""
    width, channels, expected = 8, 3, 0
    for multiple, side in zip((1, 2, 4, 8, 8), (32, 16, 8, 4, 2), strict=True):
        for _ in range(2):
            expected += 9 * channels * multiple * width * side**2
            channels = multiple * width
    assert benchmarks.train.multiplications(VGG13(MaxPool, width=width)) == expected


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        (benchmarks.forward, ["--batch", "0"], "--batch: 0 must be a whole number, 1 or more"),
        (benchmarks.forward, ["--width", "-3"], "--width: -3 must be"),
        (benchmarks.forward, ["--rounds", "0"], "--rounds: 0 must be"),
        (benchmarks.forward, ["--device", "cuda"], "there is none"),
        (benchmarks.orbit, ["--rounds", "1.5"], "--rounds: 1.5 must be"),
        (benchmarks.orbit, ["--device", "tpu"], "tpu must be cpu or cuda"),
        (benchmarks.orbit, ["--filter", "tri4"], "'tri4'"),
        (benchmarks.orbit, ["--pool", "max", "--filter", "tri5"], "--filter needs --pool blur"),
        (benchmarks.pool, ["--batch", "many"], "--batch: many must be"),
        (benchmarks.curves, ["--seeds", "1"], "--seeds: one has no spread"),
        (benchmarks.curves, ["pool=max"], "pool is the benchmark's own"),
        (benchmarks.curves, ["+trainer.precision=bf16-mixed"], "trainer.precision is the benchmark's own"),
        (benchmarks.curves, ["--out", "nowhere/curves.png"], "there is no folder nowhere"),
    ],
)
def test_bad_input_ends_in_a_sentence(module, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    with pytest.raises(SystemExit) as ended:
        module.main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err


def test_candidates_take_turns_in_changing_order():
    calls = []
    candidates = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = take_turns(candidates, 10, torch.device("cpu"), "")
    assert {name: len(measured) for name, measured in times.items()} == {"a": 10, "b": 10, "c": 10}
    turns = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert len(turns) == 11  # one to warm up
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 2


@pytest.mark.parametrize("device", DEVICES)
def test_peak_memory_is_of_the_call_alone(device):
    keep_freed_memory(False)  # as a test before may have asked: a block that was freed may be a little too small
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # likewise one that it has left
    device = torch.device(device)
    kept = torch.ones(2**24, device=device)  # 64 MiB

    def two_at_once():
        first = kept + 1
        second = first + 1
        del first
        return second + 1

    if np.isnan(peak_memory(two_at_once, device)):
        pytest.skip("only Linux tells")
    for _ in range(2):  # what an earlier call has taken and freed does not count
        assert peak_memory(two_at_once, device) == pytest.approx(128, abs=4)


def test_median_and_quartiles():
    assert quartiles(torch.arange(5).numpy(), ".1f") == "2.0 (1.0-3.0)"
    assert quartiles(torch.ones(1).numpy(), ".1f") == "1.0 (1.0-1.0)"
