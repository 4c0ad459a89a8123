"""Distances of features on signals that can be worked out by hand; every shift of a network is in test_orbit."""

import pytest
import torch
from scipy.spatial.distance import cosine

from lit_shift.feature_distance import cosine_distance, equivariance_distance, invariance_distance
from lit_shift.upsampling import UPSAMPLINGS


def test_cosine_distance_is_that_of_flat_vectors(rng):
    a, b = torch.randn(2, 5, 3, 4, generator=rng)
    expected = [cosine(x.flatten(), y.flatten()) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert cosine_distance(a, b).tolist() == pytest.approx(expected, abs=1e-6)
    assert cosine_distance(a, -2 * a).tolist() == pytest.approx([2] * 5)
    zero = torch.zeros(1, 3)
    assert cosine_distance(zero, zero) == 0
    assert cosine_distance(zero, torch.ones(1, 3)) == 1


def phases_of(signal):
    """The two subsamplings of a signal of one axis, as the phases of a map whose rows are all alike: stride 2."""
    maps = signal.expand(1, 1, 2, len(signal)).double()
    return torch.stack([maps[..., ahead::2] for ahead in (0, 1, 0, 1)], dim=1).unflatten(1, (2, 2))[..., :1, :]


def test_a_map_that_its_samples_determine_is_at_no_distance():
    """A cosine of one period in eight samples, of which every second one is kept: it is shiftable."""
    phases = phases_of(torch.cos(torch.pi * torch.arange(32).double() / 4))
    assert equivariance_distance(phases).max() < 1e-15
    # Steps of two samples, one of them moved by one: half of each is compared with its neighbour.
    assert equivariance_distance(phases, "nearest")[0, 0, 1] == pytest.approx(0.2929, abs=1e-4)
    assert equivariance_distance(phases, "bilinear")[0, 0, 1] == pytest.approx(0.0572, abs=1e-4)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_map_that_aliases_is_at_a_distance(upsampling):
    """Half the distance of orthogonal vectors and more: the signal of Zhang's Fig. 3, pooled to 0, 1, 0, 1 or 1."""
    phases = phases_of(torch.tensor([0.0, 1, 1, 1, 0, 1, 1, 1]))
    assert equivariance_distance(phases, upsampling)[0, 0, 1] > 0.1


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_dead_layer_is_at_no_distance_from_itself(upsampling):
    assert (equivariance_distance(torch.zeros(2, 4, 4, 3, 2, 2), upsampling) == 0).all()
    assert (invariance_distance(torch.zeros(2, 4, 4, 3, 2, 2)) == 0).all()
