import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lit_shift import functional
from lit_shift.metrics import (
    MAD,
    Accuracy,
    AccuracyByStep,
    BootstrapOverImages,
    Consistency,
    Departures,
    ElectedAccuracy,
    ElectedConsistency,
    FeatureDistance,
    JaggedFraction,
    Jaggedness,
    MeanOverImages,
    NonShiftability,
    PerImage,
    RandomAccuracy,
    Variation,
)


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


class ItsValues(BootstrapOverImages):
    """Of values themselves, so that the oracle sees what is resampled."""

    def measure(self, values):
        return values


def interval(*parts):
    metric = ItsValues()
    for part in parts:
        metric.update(part)
    return metric.compute()


def literal_bootstrap(values, resamples, seed):
    """The percentile bootstrap, one resample after the other."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, len(values)).mean() for _ in range(resamples)]
    return np.percentile(means, [2.5, 97.5])


def test_the_bootstrap_is_a_literal_one_up_to_its_own_chance(rng):
    values = torch.randn(40, generator=rng, dtype=torch.float64).exp()  # skewed, so that the ends are not symmetric
    found = interval(values)
    assert found.mean == pytest.approx(values.numpy().mean())
    assert found.images == 40
    ends = np.array([literal_bootstrap(values.numpy(), 2000, seed) for seed in range(20)])
    error = 4 * ends.std(axis=0)
    assert np.all(np.abs(np.array(found[1:3]) - ends.mean(axis=0)) < error)
    assert np.all(error < 0.3 * values.std().item() / 40**0.5)  # else that would say little


def test_the_bootstrap_covers_the_true_mean_about_95_times_in_100(rng):
    """400 samples of 60 values at once: a column each, which is resampled as it would be alone."""
    for values, mean in ((torch.randn(60, 400, generator=rng), 0), ((torch.rand(60, 400, generator=rng) < 0.3), 0.3)):
        found = interval(values)
        assert 0.91 <= np.mean((found.low <= mean) & (mean <= found.high)) <= 0.98


def test_the_interval_of_a_frame_is_that_of_the_frame_alone(rng):
    values = torch.randn(30, 4, generator=rng)
    found = interval(values)
    for step in range(4):
        alone = interval(values[:, step])
        assert (alone.mean, alone.low, alone.high) == tuple(ends[step] for ends in found[:3])


def test_neither_order_nor_batches_matter_to_the_bootstrap(rng):
    values = torch.randn(23, 3, generator=rng)
    expected = interval(values)
    for batch in (1, 4, 22):
        found = interval(*values[torch.randperm(23, generator=rng)].split(batch))
        np.testing.assert_array_equal(found[:3], expected[:3])


def test_images_without_a_value_are_left_out(rng):
    values = torch.randn(12, generator=rng)
    some = torch.cat([values[:5], torch.full((3,), torch.nan), values[5:]])
    assert interval(*some.split(4)) == interval(values)
    of_frames = values.view(6, 2).clone()
    of_frames[2, 1] = torch.nan
    np.testing.assert_array_equal(interval(of_frames)[:3], interval(values.view(6, 2)[[0, 1, 3, 4, 5]])[:3])


def test_one_image_has_a_mean_without_an_interval_and_none_has_neither():
    one = interval(torch.tensor([3.0]))
    assert (one.mean, one.images) == (3, 1)
    none = interval(torch.tensor([torch.nan, torch.nan]))
    assert none.images == 0
    unknown = [one.low, one.high, *none[:3]]
    assert np.isnan(unknown).all()
    assert all(isinstance(value, float) for value in [one.mean, *unknown])  # which can be logged
    of_frames = interval(torch.tensor([[3.0, 4]]))
    assert of_frames.mean.tolist() == [3, 4]
    assert [end.shape for end in of_frames[1:3]] == [(2,), (2,)]
    assert np.isnan(of_frames[1:3]).all()


@pytest.mark.parametrize("images", [2, 50])
def test_equal_values_are_certain(images):
    found = interval(torch.full((images,), 0.1))
    np.testing.assert_allclose(found[:3], [0.1] * 3, rtol=1e-6)


def path_metrics():
    return [
        *(metric(k) for metric in (Accuracy, AccuracyByStep, Jaggedness, JaggedFraction) for k in (1, 2)),
        MAD(),
    ]


@pytest.mark.parametrize("batch", [1, 4, 11])
def test_measures_of_a_path_are_means_of_their_functions(logits, target, batch):
    path = logits.flatten(1, 2)
    expected = [
        *(functional.accuracy(path, target, k) for k in (1, 2)),
        *(functional.in_top(path, target, k).double().mean(0) for k in (1, 2)),
        *(functional.jaggedness(path, target, k) for k in (1, 2)),
        *((functional.jaggedness(path, target, k, "none") > 0).double().mean() for k in (1, 2)),
        functional.mad(path, target),
    ]
    for metric, mean in zip(path_metrics(), expected, strict=True):
        for part, labels in zip(path.split(batch), target.split(batch), strict=True):
            metric.update(part, labels)
        found = metric.compute()
        np.testing.assert_allclose(found.mean, mean)
        assert found.images == 11
        assert np.all(found.low <= found.mean)
        assert np.all(found.mean <= found.high)
        metric.reset()
        metric.update(path[:2], target[:2])
        assert metric.compute().images == 2


def test_an_image_is_jagged_from_the_first_time_on():
    """Three images whose class is lost never, once for good, and once for a step."""
    right = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 0, 1]])
    metric = JaggedFraction(), Jaggedness()
    for one in metric:
        one.update(torch.stack([right, 1 - right], dim=2).float(), torch.zeros(3, dtype=torch.int64))
    assert [one.compute().mean for one in metric] == pytest.approx([2 / 3, 1])


@pytest.mark.parametrize(
    ("kind", "function"),
    [(NonShiftability, functional.nonshiftability), (Departures, functional.departures)],
)
def test_images_to_which_no_map_responds_are_left_out(kind, function, rng):
    sums, maxima = torch.randn(9, 6, 4, generator=rng), torch.rand(9, 4, generator=rng)
    maxima[[2, 8]] = 0
    metric = kind(0.5, 0.3)
    for part, largest in zip(sums.split(4), maxima.split(4), strict=True):
        metric.update(part, largest)
    found = metric.compute()
    expected = function(sums, maxima, 0.5, 0.3, reduction="none")
    assert found.mean == pytest.approx(expected.nanmean().item())
    assert found.images == 7


def test_the_elected_are_right_and_agree_as_often_as_counted_by_hand(rng):
    ballots, target = torch.rand(7, 2, 4, 3, generator=rng), torch.randint(3, (7,), generator=rng)
    passes = [1, 3, 4]
    right, agree = ElectedAccuracy(passes), ElectedConsistency(passes)
    for part, labels in zip(ballots.split(3), target.split(3), strict=True):
        right.update(part, labels)
        agree.update(part, labels)
    for i, number in enumerate(passes):
        winners = ballots[:, :, :number].double().mean(2).argmax(-1).tolist()
        hits = [np.mean([winner == label for winner in pair]) for pair, label in zip(winners, target, strict=True)]
        assert right.compute().mean[i] == pytest.approx(np.mean(hits))
        assert agree.compute().mean[i] == pytest.approx(np.mean([first == second for first, second in winners]))


def _process(rank: int, folder: Path, logits: torch.Tensor, target: torch.Tensor, phases: torch.Tensor) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    variation, single, distance, along = Variation(), PerImage(), FeatureDistance(8, 12), path_metrics()
    for places in torch.arange(len(target))[rank::2].split(4):
        variation.update(logits[places], target[places])
        single.update(places, logits[places])
        for metric in along:
            metric.update(logits[places].flatten(1, 2), target[places])
    for part in phases[rank::2].split(2):
        distance.update(part)
    by_shift, _, images = distance.compute()
    found = (*variation.compute(), torch.from_numpy(single.compute()), by_shift, images, *intervals(along))
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def intervals(metrics):
    return [torch.from_numpy(np.array(metric.compute()[:3])) for metric in metrics]


def test_two_processes_are_one(logits, target, phases, tmp_path):
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    mp.spawn(_process, (tmp_path, logits, target, phases), nprocs=2)
    variation, distance, along = Variation(), FeatureDistance(8, 12), path_metrics()
    variation.update(logits, target)
    distance.update(phases)
    for metric in along:
        metric.update(logits.flatten(1, 2), target)
    by_shift, _, images = distance.compute()
    expected = (*variation.compute(), logits, by_shift, images, *intervals(along))
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
