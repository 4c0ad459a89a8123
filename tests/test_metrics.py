import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lit_shift import functional
from lit_shift.metrics import Consistency, MeanOverImages, RandomAccuracy, Variation


@pytest.fixture
def logits(rng):
    return 2 * torch.randn(11, 4, 4, 3, generator=rng)


@pytest.fixture
def target(rng):
    return torch.randint(3, (11,), generator=rng)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 11])
def test_uneven_batches_weigh_every_image_the_same(logits, target, batch, sampled):
    random, consistency, variation = RandomAccuracy(), Consistency(sampled), Variation(sampled)
    for part, labels in zip(logits.split(batch), target.split(batch), strict=True):
        random.update(part, labels)
        consistency.update(part, labels)
        variation.update(part, labels)
    torch.testing.assert_close(random.compute().mean, functional.accuracy_random(logits, target))
    torch.testing.assert_close(consistency.compute().mean, functional.consistency(logits, sampled))
    torch.testing.assert_close(variation.compute().mean, functional.variation(logits, target, sampled))


def test_interval_is_that_of_a_mean(rng):
    values = torch.randn(1000, generator=rng, dtype=torch.float64) * 3 + 5

    class Itself(MeanOverImages):
        def measure(self, logits, target):
            return logits

    metric = Itself()
    for part in values.split(300):
        metric.update(part, part)
    mean, ci95, images = metric.compute()
    torch.testing.assert_close(mean, values.mean())
    torch.testing.assert_close(ci95, 1.96 * values.std() / 1000**0.5)
    assert images == 1000


def test_interval_covers_the_exact_value_about_95_times_in_100():
    """Sampled shifts of fixed images: 400 samples, their intervals against the value over all shifts."""
    generator = torch.Generator().manual_seed(1)
    images, shifts = 60, 4
    population = torch.randn(5000, 64, 3, generator=generator) + torch.randn(5000, 1, 3, generator=generator)
    exact = functional.consistency(population)
    hits = 0
    for _ in range(400):
        chosen = torch.randint(5000, (images,), generator=generator)
        drawn = torch.randint(64, (images, shifts), generator=generator)
        metric = Consistency(sampled=True)
        metric.update(population[chosen[:, None], drawn], chosen)
        mean, ci95, _ = metric.compute()
        hits += bool((mean - exact).abs() <= ci95)
    assert 0.91 <= hits / 400 <= 0.98


def _process(rank: int, folder: Path, logits: torch.Tensor, target: torch.Tensor) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    metric = Variation()
    for part, labels in zip(logits[rank::2].split(4), target[rank::2].split(4), strict=True):
        metric.update(part, labels)
    torch.save(tuple(metric.compute()), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one(logits, target, tmp_path):
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    mp.spawn(_process, (tmp_path, logits, target), nprocs=2)
    whole = Variation()
    whole.update(logits, target)
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), tuple(whole.compute()))
