import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lit_shift import feature_distance, functional
from lit_shift.intervals import of_mean
from lit_shift.metrics import (
    MAD,
    Accuracy,
    AccuracyByStep,
    Consistency,
    Departures,
    ElectedAccuracy,
    ElectedConsistency,
    FeatureDistance,
    FlipRate,
    JaggedFraction,
    Jaggedness,
    MeanOf,
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


@pytest.mark.parametrize("batch", [1, 4, 11])
def test_flip_rates_of_several_directions_weigh_the_same(logits, target, batch):
    metrics = {directions: FlipRate(*directions) for directions in [("diagonal",), ("horizontal", "vertical")]}
    for directions, metric in metrics.items():
        for part, labels in zip(logits.split(batch), target.split(batch), strict=True):
            metric.update(part, labels)
        expected = [functional.flip_rate(logits, direction).item() for direction in directions]
        assert metric.compute().mean == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 11])
def test_uneven_batches_weigh_every_image_the_same(logits, target, batch, sampled):
    random, consistency, variation = RandomAccuracy(), Consistency(sampled), Variation(sampled)
    for part, labels in zip(logits.split(batch), target.split(batch), strict=True):
        random.update(part, labels)
        consistency.update(part, labels)
        variation.update(part, labels)
    assert random.compute().mean == pytest.approx(functional.accuracy_random(logits, target).item())
    assert consistency.compute().mean == pytest.approx(functional.consistency(logits, sampled).item())
    assert variation.compute().mean == pytest.approx(functional.variation(logits, target, sampled).item())


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
        found = metric.compute()
        hits += found.low <= exact.item() <= found.high
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
    by_shift, from_unshifted, between, images = metric.compute()
    expected = feature_distance.equivariance_distance(phases).mean(0)
    for h, w in product(range(8), range(12)):
        assert by_shift[h, w] == pytest.approx(expected[h % 4, w % 4].item())
    torch.testing.assert_close(from_unshifted, feature_distance.invariance_distance(phases).mean(0))
    pairs = [feature_distance.cosine_distance(phases[i : i + 1, 0, 0], phases[i + 1 : i + 2, 0, 0]) for i in range(6)]
    assert between == pytest.approx(torch.cat(pairs).mean().item())
    assert images == 7
    metric.reset()
    metric.update(phases[:1])
    assert metric.compute().between_images.isnan()  # no image to compare it with


class ItsValues(MeanOverImages):
    """Of values themselves, so that the oracle sees what the mean is of."""

    def measure(self, values):
        return values

    def largest(self, values):
        return 2


def interval(*parts):
    metric = ItsValues()
    for part in parts:
        metric.update(part)
    return metric.compute()


def of_values(values):
    """The interval of all values at once."""
    values = values.double().numpy()
    return [values.mean(0), *of_mean(values.mean(0), values.var(0), len(values), 2)]


@pytest.mark.parametrize("shape", [(23,), (23, 3)])
@pytest.mark.parametrize("batch", [1, 4, 22, 23])
def test_the_interval_is_that_of_all_values_in_whatever_batches_and_order(rng, shape, batch):
    values = 2 * torch.rand(shape, generator=rng)
    found = interval(*values[torch.randperm(23, generator=rng)].split(batch))
    np.testing.assert_allclose(found[:3], of_values(values))
    assert found.images == 23


@pytest.mark.parametrize("largest", [0.25, 16])
def test_the_bound_of_a_measure_is_that_of_its_formula(largest):
    """The largest variance of a probability, half of the shifts at 0 and half at 1; a class lost at every step."""
    sure = 1000 * torch.tensor([[[1.0, 0], [0, 1]]]).repeat(1, 9, 1)[:, :17]
    if largest == 16:
        metric, values = Jaggedness(), functional.jaggedness(sure, torch.zeros(1).long())
    else:
        metric, values = Variation(), functional.variation(sure[:, :16], torch.zeros(1).long())
    assert values.item() == pytest.approx(largest)
    metric.update(sure, torch.zeros(1).long())
    assert metric.compute().high == pytest.approx(largest, rel=0.01)
    assert metric.compute().low < largest / 10  # a single image says little


def test_images_without_a_value_are_left_out(rng):
    values = torch.rand(12, generator=rng)
    some = torch.cat([values[:5], torch.full((3,), torch.nan), values[5:]])
    np.testing.assert_allclose(interval(*some.split(4)), interval(values))
    of_frames = values.view(6, 2).clone()
    of_frames[2, 1] = torch.nan
    np.testing.assert_allclose(interval(of_frames)[:3], interval(values.view(6, 2)[[0, 1, 3, 4, 5]])[:3])


@pytest.mark.parametrize("bound", [5, np.inf])
def test_values_that_are_not_finite_are_left_out(bound, rng):
    values = 5 * torch.rand(9, generator=rng).double()
    metric = MeanOf(bound)
    metric.update(torch.cat([values[:4], torch.tensor([torch.inf, torch.nan])]))
    metric.update(values[4:])
    known = values.numpy()
    np.testing.assert_allclose(metric.compute()[:3], [known.mean(), *of_mean(known.mean(), known.var(), 9, bound)])
    assert metric.compute().images == 9


def test_no_image_has_neither_mean_nor_interval():
    none = interval(torch.tensor([torch.nan, torch.nan]))
    assert none.images == 0
    assert np.isnan(none[:3]).all()
    assert all(isinstance(value, float) for value in [*none[:3], *interval(torch.tensor([1.0]))[:3]])


def test_what_is_logged_has_all_digits():
    found = interval(torch.tensor([0.1, 0.3], dtype=torch.float64))
    logged = {key: value.item() for key, value in found.logged("test/x").items()}
    assert logged == {"test/x": found.mean, "test/x_ci95_low": found.low, "test/x_ci95_high": found.high}


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
    by_shift, from_unshifted, _, images = distance.compute()
    found = (torch.from_numpy(single.compute()), by_shift, from_unshifted, images, *intervals([variation, *along]))
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def intervals(metrics):
    return [torch.from_numpy(np.array(metric.compute()[:3])) for metric in metrics]


def test_two_processes_are_one(logits, target, phases, tmp_path):
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    mp.start_processes(_process, (tmp_path, logits, target, phases), nprocs=2, start_method="forkserver")
    variation, distance, along = Variation(), FeatureDistance(8, 12), path_metrics()
    variation.update(logits, target)
    distance.update(phases)
    for metric in along:
        metric.update(logits.flatten(1, 2), target)
    by_shift, from_unshifted, _, images = distance.compute()
    expected = (logits, by_shift, from_unshifted, images, *intervals([variation, *along]))
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
