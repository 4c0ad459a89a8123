from itertools import product

import pytest
import torch
from torch import nn

from lit_shift.classifiers.classifier import Classifier, View
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.functional import elected
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import orbit_logits
from lit_shift.pools.pool import MaxPool
from lit_shift.shifts import roll, seeded
from lit_shift.utils.errors import InputError


@pytest.fixture
def net(rng):
    """A network that shifts confuse: of random weights, each layer normalised."""
    torch.manual_seed(0)
    net = VGG13(MaxPool, num_classes=3, width=2).requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    net(torch.randn(8, 3, 32, 32, generator=rng))
    net.classifier.weight *= 5
    return net.eval()


class Itself(nn.Module):
    """Answers with its images, so that they can be seen."""

    def forward(self, x):
        return x.flatten(1)


def votes(net, k, by="shift", vote="mean", seed=0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    return TestTimeAugmentation(Classifier(net, mean, std, ["a", "b", "c"], View(32, 32)), k, by, vote, seed)


def keys(images):
    """Of images that are all of their own."""
    return [(place, 1) for place in range(len(images))]


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_many_copies_vote_as_the_whole_orbit_does(net, vote, rng):
    image = torch.randn(1, 3, 32, 32, generator=rng)
    orbit = orbit_logits(net, image)[0].flatten(0, 1)
    every = orbit.softmax(1) if vote == "mean" else nn.functional.one_hot(orbit.argmax(1), 3).float()
    assert every.std(0).max() > 0.1  # else there would be little to vote about
    copies = 2048
    # The same image many times: each has draws of its own.
    images = image.expand(256, -1, -1, -1)
    answers = votes(net, copies // 256, vote=vote).answer(images, keys(images)).exp().mean(0)
    assert ((answers - every.mean(0)).abs() <= 4.5 * every.std(0) / copies**0.5 + 1e-6).all()


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_the_answer_is_the_logarithm_of_the_mean_ballot(net, vote, rng):
    images = torch.randn(4, 3, 32, 32, generator=rng)
    ballots = votes(net, 5, vote=vote).ballots(images, keys(images))
    assert ballots.shape == (4, 5, 3)
    torch.testing.assert_close(ballots.sum(2), torch.ones(4, 5))
    if vote == "majority":
        assert set(ballots.flatten().tolist()) == {0, 1}
    answers = votes(net, 5, vote=vote).answer(images, keys(images))
    assert answers.isfinite().all()
    torch.testing.assert_close(answers.exp(), ballots.mean(1))
    torch.testing.assert_close(answers.softmax(1), ballots.mean(1))  # as if they were logits
    assert torch.equal(answers.argmax(1), elected(ballots, [5])[:, 0])


def test_one_copy_is_one_shifted_image(net, rng):
    images = torch.randn(6, 3, 32, 32, generator=rng)
    voters = votes(net, 1, mean=(0.1, 0.2, 0.3), std=(2.0, 3.0, 4.0))
    (shifted,) = voters.copies(voters.normalised(images), keys(images), 1)
    torch.testing.assert_close(voters.answer(images, keys(images)), net(shifted).log_softmax(1))


@pytest.mark.parametrize("at_once", [1, 4, 6])
def test_a_frame_has_its_own_draws_whatever_the_batch(net, at_once, rng):
    """Against a literal loop over frames and copies."""
    images, k = torch.randn(6, 3, 32, 32, generator=rng), 3
    frames = [(5, 1), (5, 2), (0, 1), (11, 1), (11, 2), (2, 9)]
    expected = []
    for image, key in zip(images, frames, strict=True):
        generator = seeded(7, TestTimeAugmentation.STREAM, *key)
        ballots = []
        for _ in range(k):
            h, w = (torch.randint(32, (), generator=generator) for _ in range(2))
            ballots.append(net(roll(image[None], torch.tensor([[h, w]]))).softmax(1))
        expected.append(torch.cat(ballots).mean(0).log())
    voters = votes(net, k, seed=7)
    answers = [
        voters.answer(images[first : first + at_once], frames[first : first + at_once])
        for first in range(0, 6, at_once)
    ]
    torch.testing.assert_close(torch.cat(answers), torch.stack(expected))


def test_copies_are_circular_shifts_of_any_size(rng):
    images = torch.randn(300, 1, 3, 4, generator=rng)
    seen = set()
    (copies,) = votes(Itself(), 1).copies(images, keys(images), 1)
    for image, copy in zip(images, copies, strict=True):
        shifts = [(h, w) for h, w in product(range(3), range(4)) if torch.equal(copy, image.roll((h, w), (1, 2)))]
        assert len(shifts) == 1
        seen |= set(shifts)
    assert len(seen) == 12


@pytest.mark.parametrize(("height", "width"), [(16, 24), (8, 15), (7, 7)])
def test_crops_are_of_the_image_padded_by_an_eighth_with_zeros(height, width, rng):
    images = torch.randn(300, 1, height, width, generator=rng)
    up, left = height // 8, width // 8
    corners = list(product(range(2 * up + 1), range(2 * left + 1)))
    seen = set()
    (copies,) = votes(Itself(), 1, "crop").copies(images, keys(images), 1)
    for image, copy in zip(images, copies, strict=True):
        padded = nn.functional.pad(image, (left, left, up, up))
        crops = [(h, w) for h, w in corners if torch.equal(copy, padded[:, h : h + height, w : w + width])]
        assert len(crops) == 1
        seen |= set(crops)
    assert seen == set(corners)


@pytest.mark.parametrize("by", ["shift", "crop"])
def test_draws_are_fixed_by_the_seed_and_new_for_each_frame_and_copy(by, rng):
    images = torch.randn(8, 3, 16, 16, generator=rng)

    def ballots(step=1, seed=0):
        return votes(Itself(), 3, by, seed=seed).ballots(images, [(place, step) for place in range(8)])

    torch.manual_seed(1)
    first = ballots()
    torch.manual_seed(2)
    assert torch.equal(first, ballots())
    assert not torch.equal(first, ballots(step=2))
    assert not torch.equal(first, ballots(seed=1))
    assert not torch.equal(first[:, 0], first[:, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0 must be a whole number, 1 or more"),
        ({"k": 2.0}, "k=2.0 must be a whole number"),
        ({"by": "shfit"}, r"Unknown by 'shfit'. Did you mean 'shift'\? Choices: shift, crop"),
        ({"seed": -1}, "seed=-1 must be a whole number, 0 or more"),
        ({"vote": "median"}, r"Unknown vote 'median'\..* Choices: mean, majority"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        votes(Itself(), **({"k": 2} | options))
