import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lit_shift import functional
from lit_shift.metrics import Consistency, FeatureDistance, MeanOverImages, PerImage, RandomAccuracy, Variation


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


def test_values_of_single_images_come_in_their_order(rng):
    values = torch.randn(10, 2, generator=rng)
    places = torch.randperm(10, generator=rng)
    metric = PerImage()
    for part in places.split(3):
        metric.update(part, values[part])
    assert np.array_equal(metric.compute(), values)
    single = PerImage()
    single.update(places[:1], values[:1, 0])
    assert single.compute().shape == (1,)


@pytest.fixture
def phases(rng):
    return torch.randn(7, 4, 4, 3, 2, 3, generator=rng)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_feature_distance_is_a_mean_over_images_at_every_shift(phases, batch):
    metric = FeatureDistance(8, 12)
    for part in phases.split(batch):
        metric.update(part)
    by_shift, between, images = metric.compute()
    expected = functional.equivariance_distance(phases).mean(0)
    for h, w in product(range(8), range(12)):
        assert by_shift[h, w] == pytest.approx(expected[h % 4, w % 4].item())
    pairs = [functional.cosine_distance(phases[i : i + 1, 0, 0], phases[i + 1 : i + 2, 0, 0]) for i in range(6)]
    assert between == pytest.approx(torch.cat(pairs).mean().item())
    assert images == 7
    metric.reset()
    metric.update(phases[:1])
    assert metric.compute().between_images.isnan()  # no image to compare it with


def _process(rank: int, folder: Path, logits: torch.Tensor, target: torch.Tensor, phases: torch.Tensor) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    variation, single, distance = Variation(), PerImage(), FeatureDistance(8, 12)
    for places in torch.arange(len(target))[rank::2].split(4):
        variation.update(logits[places], target[places])
        single.update(places, logits[places])
    for part in phases[rank::2].split(2):
        distance.update(part)
    by_shift, _, images = distance.compute()
    torch.save((*variation.compute(), torch.from_numpy(single.compute()), by_shift, images), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one(logits, target, phases, tmp_path):
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    mp.spawn(_process, (tmp_path, logits, target, phases), nprocs=2)
    variation, distance = Variation(), FeatureDistance(8, 12)
    variation.update(logits, target)
    distance.update(phases)
    by_shift, _, images = distance.compute()
    for rank in range(2):
        expected = (*variation.compute(), logits, by_shift, images)
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
