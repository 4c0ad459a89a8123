from types import SimpleNamespace

import pytest
import torch

from lit_shift.data.sources import UNKNOWN, Collection
from lit_shift.data.subset import CollectionLoader, Collections
from lit_shift.utils.errors import InputError


class Made(Collection):
    """Images that can be told apart by their values, of several sizes; some cannot be read."""

    SIZES = [(2, 3), (4, 4), (3, 2)]

    def __init__(self, count, labelled=True, bad=()):
        super().__init__([place % 5 for place in range(count)] if labelled else None, "abcde")
        self.count = count
        self.bad = bad

    def __len__(self):
        return self.count

    def pixels(self, place):
        if place in self.bad:
            return None
        return torch.full((3, *self.SIZES[place % 3]), place, dtype=torch.uint8)


def loader(collection, chosen, batch_size=4, skip_bad=False, rank=0, world_size=1):
    return CollectionLoader(collection, chosen, [], batch_size, skip_bad, rank, world_size)


def module(collection, images=None, seed=0, shown=(), rank=0, world_size=1, more=(), batch_sizes=(4,)):
    data = Collections([collection, *more], images, seed, shown, batch_sizes, skip_bad=False)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
    return data


def places(loader):
    return [place for batches in loader for batch in batches for place in batch.places.tolist()]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_every_chosen_image_comes_once_in_a_batch_of_its_size(labelled, batch_size):
    chosen = [9, 2, 13, 0, 7, 6, 1]
    batches = list(loader(Made(20, labelled), chosen, batch_size))
    assert len(batches) == len(loader(Made(20, labelled), chosen, batch_size)) == -(-7 // batch_size)
    for i, some in enumerate(batches):
        wanted = chosen[i * batch_size : (i + 1) * batch_size]
        assert sorted(place for batch in some for place in batch.places.tolist()) == sorted(wanted)
        assert len({batch.pixels.shape[2:] for batch in some}) == len(some) <= 3  # one for each size
        for batch in some:
            assert batch.places.tolist() == [place for place in wanted if place in batch.places.tolist()]
            assert batch.places.dtype == batch.labels.dtype == torch.int64
            assert batch.pixels.dtype == torch.uint8
            for pixels, label, place in zip(batch.pixels, batch.labels, batch.places.tolist(), strict=True):
                assert (pixels == place).all()
                assert pixels.shape == (3, *Made.SIZES[place % 3])
                assert label == (place % 5 if labelled else -1)


@pytest.mark.parametrize("count", [1, 2, 7, 12])
@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_processes_share_the_images_without_overlap(count, world_size):
    chosen = torch.randperm(20)[:count].tolist()
    if world_size > count:
        with pytest.raises(InputError, match=rf"{world_size} processes cannot share {count} images: each needs one\."):
            loader(Made(20), chosen, world_size=world_size)
        return
    shares = [loader(Made(20), chosen, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(sum(map(places, shares), [])) == sorted(chosen)
    sizes = [len(places(share)) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(list(share)) == len(share) for share in shares)
    assert {share.total for share in shares} == {count}


def test_unreadable_images_are_named_or_skipped():
    collection = Made(10, bad=[3, 4, 5, 8])
    with pytest.raises(
        InputError, match=r"test image 3 cannot be read as an image; skip_bad=true leaves such images ou"
    ):
        list(loader(collection, range(10)))
    skipping = loader(collection, range(10), batch_size=2, skip_bad=True)
    assert skipping.skipped == []
    for _ in range(2):  # another pass does not count them twice
        assert [len(batches) for batches in skipping] == [2, 1, 0, 2, 1]
        assert skipping.skipped == [3, 4, 5, 8]
    assert places(skipping) == [0, 1, 2, 6, 7, 9]


def test_none_that_can_be_read():
    with pytest.raises(InputError, match=r"None of the 3 images can be read\."):
        list(loader(Made(5, bad=range(5)), [0, 3, 4], skip_bad=True))


def test_the_share_of_a_process_of_which_none_can_be_read():
    collection, chosen = Made(4, bad=[1, 3]), range(4)
    assert places(loader(collection, chosen, 4, True, 0, 2)) == [0, 2]
    with pytest.raises(InputError, match=r"None of the 2 images can be read of this process's share; fewer"):
        list(loader(collection, chosen, 4, True, 1, 2))
    with pytest.raises(InputError, match=r"None of the 2 images can be read\."):
        list(loader(Made(2, bad=[0, 1]), range(2), 4, True))


class TestSubset:
    def subset(self, *arguments, **options):
        (loader,) = module(*arguments, **options).test_dataloader()
        return places(loader)

    def test_it_is_fixed_by_its_seed(self):
        torch.manual_seed(1)
        first = self.subset(Made(100), 10, 3)
        torch.manual_seed(2)
        assert self.subset(Made(100), 10, 3) == first
        assert len(set(first)) == 10
        assert self.subset(Made(100), 10, 4) != first
        assert sorted(self.subset(Made(100), 10, 3, batch_sizes=[100])) == sorted(first)

    def test_a_larger_one_holds_the_smaller(self):
        smaller, larger = (self.subset(Made(100), images, batch_sizes=[1]) for images in (10, 30))
        assert larger[:10] == smaller

    @pytest.mark.parametrize("images", [None, 20, 1000])
    def test_it_may_be_all(self, images):
        found = self.subset(Made(20), images, batch_sizes=[1])
        assert sorted(found) == list(range(20))
        assert found != list(range(20))  # so that what is measured before an interruption is a sample

    def test_what_is_shown_does_not_change_it(self):
        assert self.subset(Made(100), 10, shown=[42, 7]) == self.subset(Made(100), 10)
        (loader,) = module(Made(100), 10, shown=[42, 7, 100]).test_dataloader()
        assert list(loader.shown) == [42, 7]
        (loader,) = module(Made(100), 10).test_dataloader()
        assert list(loader.shown) == places(loader)[:1]
        assert loader.one(42).places.tolist() == [42]

    @pytest.mark.parametrize("world_size", [2, 3])
    def test_processes_share_it(self, world_size):
        shares = [
            self.subset(Made(100), 10, shown=[42, 7], rank=rank, world_size=world_size) for rank in range(world_size)
        ]
        assert sorted(sum(shares, [])) == sorted(self.subset(Made(100), 10, shown=[42, 7]))

    def test_of_which_pictures_are_kept(self):
        one, other = module(Made(100), 10, shown=[42, 7], more=[Made(20)], batch_sizes=[4, 4]).test_dataloader()
        assert (one.shown, other.shown) == ([42, 7], [7])
        (given_none,) = module(Made(100), 10).test_dataloader()
        assert len(given_none.shown) == 1
        assert set(given_none.shown) <= set(places(given_none))

    def test_there_is_a_loader_for_each_collection(self):
        collections = [Made(5), Made(3, labelled=False)]
        loaders = module(collections[0], 4, more=collections[1:], batch_sizes=[2, 3]).test_dataloader()
        assert [loader.collection for loader in loaders] == collections
        assert [loader.batch_size for loader in loaders] == [2, 3]
        assert [loader.total for loader in loaders] == [4, 3]


def test_the_subset_by_label_is_drawn_from_images_with_one():
    collection = Made(20)
    collection.labels[::3] = UNKNOWN
    for images in (None, 5):
        data = Collections([collection], images, 0, [0, 1, 30], [4], skip_bad=False, by_label=True)
        chosen = data.chosen(collection)
        assert len(set(chosen)) == len(chosen) == (images or 13)
        assert all(place % 3 for place in chosen)
        assert data.asked(collection) == [1]
    assert len(Collections([collection], None, 0, [], [4], skip_bad=False).chosen(collection)) == 20
