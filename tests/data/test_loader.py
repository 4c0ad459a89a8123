from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from lit_shift.data.loader import Augmentation, BatchLoader, Images
from lit_shift.shifts import roll, seeded

NONE = Augmentation(flip=False, shift=False)


def numbered(n: int, side: int = 4) -> Images:
    """Images that can be told apart by their label."""
    pixels = torch.arange(n).remainder(250).to(torch.uint8)[:, None, None, None].expand(-1, 3, side, side)
    return Images(pixels.contiguous(), torch.arange(n))


def labels(loader):
    return [batch.labels.tolist() for batch in loader]


def test_evaluation_keeps_the_order_and_the_short_last_batch():
    assert labels(BatchLoader(numbered(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_training_sees_every_image_once_an_epoch_in_a_new_order():
    loader = BatchLoader(numbered(50), 8, NONE)
    orders = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        batches = labels(loader)
        assert [len(batch) for batch in batches] == [8] * 6 + [2]
        assert len(batches) == len(loader)
        orders.append(sum(batches, []))
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != list(range(50))


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        loader = BatchLoader(numbered(50), 8, NONE, seed)
        loader.set_epoch(epoch)
        return labels(loader)

    torch.manual_seed(1)
    first = order(0, 1)
    torch.manual_seed(2)
    assert order(0, 1) == first
    assert order(1, 0) != first
    assert order(1, 1) != first


@pytest.mark.parametrize("n", [24, 25, 26, 27, 31, 32])
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_processes_share_each_training_batch_without_overlap(n, world_size):
    augmentation = Augmentation(flip=True, shift=True)
    whole = BatchLoader(numbered(n), 12, augmentation)
    shares = [BatchLoader(numbered(n), 12, augmentation, 0, rank, world_size) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=False):
        assert len({len(part.labels) for part in parts}) == 1  # else gradients would not weigh the same
        together = torch.cat([part.places for part in parts])
        assert len(together) == len(batch.places) // world_size * world_size
        assert set(together.tolist()) <= set(batch.places.tolist())
        assert len(set(together.tolist())) == len(together)


@pytest.mark.parametrize("n", [1, 2, 12, 13, 25, 36])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_evaluation_completely(n, world_size):
    seen = []
    for rank in range(world_size):
        loader = BatchLoader(numbered(n), 12, rank=rank, world_size=world_size)
        batches = labels(loader)
        assert len(batches) == len(loader)
        assert all(batches)
        seen += sum(batches, [])
    assert sorted(seen) == list(range(n))


def test_augmentation_does_not_depend_on_the_number_of_processes(rng):
    images = Images(torch.randint(256, (24, 3, 8, 8), dtype=torch.uint8, generator=rng), torch.arange(24))
    augmentation = Augmentation(flip=True, shift=True)
    whole = {
        label: pixels
        for batch in BatchLoader(images, 8, augmentation)
        for label, pixels in zip(batch.labels.tolist(), batch.pixels, strict=True)
    }
    for rank in range(2):
        for batch in BatchLoader(images, 8, augmentation, 0, rank, 2):
            for label, pixels in zip(batch.labels.tolist(), batch.pixels, strict=True):
                assert torch.equal(pixels, whole[label])


@pytest.mark.parametrize("stop", [0, 1, 4, 7])
def test_stopped_within_an_epoch_it_continues_with_the_same_batches(stop):
    loader = BatchLoader(numbered(50), 8, Augmentation(flip=True, shift=True))
    loader.set_epoch(3)
    every = [batch.pixels for batch in loader]
    assert len(every) == 7
    first = iter(loader)
    state = BatchLoader(numbered(50), 8, NONE).state_dict() if stop == 0 else None
    for _ in range(stop):
        next(first)
    state = state or loader.state_dict()
    again = BatchLoader(numbered(50), 8, Augmentation(flip=True, shift=True))
    again.set_epoch(3)
    again.load_state_dict(state)
    rest = [batch.pixels for batch in again]
    # After the last batch the epoch is over, and the next begins at its start.
    assert len(rest) == 7 - stop % 7
    assert all(torch.equal(a, b) for a, b in zip(rest, every[stop % 7 :], strict=True))
    assert len(list(again)) == 7


def test_circular_shifts_are_uniform_over_all_offsets():
    """Seen from outside: where one bright pixel goes, over epochs."""
    pixels = torch.zeros(500, 3, 4, 6, dtype=torch.uint8)
    pixels[:, :, 1, 2] = 255
    loader = BatchLoader(Images(pixels, torch.zeros(500, dtype=torch.int64)), 100, Augmentation(False, True))
    counts = Counter()
    for epoch in range(10):
        loader.set_epoch(epoch)
        for batch in loader:
            counts.update(batch.pixels[:, 0].flatten(1).argmax(1).tolist())
    assert set(counts) == set(range(24))
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_crops_reach_an_eighth_of_the_side_in_each_direction_uniformly(padding):
    draws = Augmentation(False, True, padding).draw(20000, 32, 64, seeded(0))
    for column, reach in ((1, 4), (2, 8)):
        counts = Counter(draws[:, column].tolist())
        assert set(counts) == set(range(-reach, reach + 1))
        assert chisquare(list(counts.values())).pvalue > 1e-3


def test_zero_padded_shift_enters_black():
    images = torch.full((1, 3, 16, 16), 200, dtype=torch.uint8)
    shifted = Augmentation(False, True, "zeros").apply(images, torch.tensor([[0, 2, -1]]))
    assert (shifted[0, :, :2] == 0).all()
    assert (shifted[0, :, :, -1] == 0).all()
    assert (shifted[0, :, 2:, :-1] == 200).all()


def test_flips_are_left_to_right_and_half_of_the_time(rng):
    pixels = torch.randint(256, (1, 3, 4, 4), dtype=torch.uint8, generator=rng).expand(4000, -1, -1, -1)
    augmentation = Augmentation(flip=True, shift=False)
    draws = augmentation.draw(4000, 4, 4, seeded(0))
    out = augmentation.apply(pixels, draws)
    flipped = (out == pixels[0].flip(2)).flatten(1).all(1)
    assert torch.equal(flipped, draws[:, 0] == 1)
    assert (out[~flipped] == pixels[0]).all()
    assert 0.46 < flipped.float().mean() < 0.54


def test_flip_comes_before_the_shift_by_the_drawn_offset(rng):
    pixels = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=rng)
    draws = torch.tensor([[1, 3, 5], [0, 7, 0]])
    out = Augmentation(True, True).apply(pixels, draws)
    expected = torch.stack([pixels[0].flip(2), pixels[1]])
    assert torch.equal(out, roll(expected, draws[:, 1:]))
