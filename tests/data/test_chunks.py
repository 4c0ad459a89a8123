import pytest
import torch

from lit_shift.data.chunks import ChunkLoader
from lit_shift.data.loader import Augmentation, BatchLoader, Images

AUGMENTATION = Augmentation(flip=True, shift=True)


@pytest.fixture
def images(rng):
    return Images(torch.randint(256, (23, 3, 4, 4), generator=rng, dtype=torch.uint8), torch.arange(23))


def batches(loader):
    for chunk in loader:
        made = [chunk.loader.take(size) for size in chunk.sizes]
        assert torch.equal(torch.cat([batch.labels for batch in made]), chunk.labels)
        yield from made


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 6, 100])
@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_the_batches_are_those_of_the_ordinary_loader(images, at_once, start):
    """Of 5, 5, 5, 5 and 3 images; in two epochs, from anywhere in the first."""
    chunks, plain = ChunkLoader(at_once, images, 5, AUGMENTATION, 7), BatchLoader(images, 5, AUGMENTATION, 7)
    assert len(chunks) == -(-5 // at_once)
    for loader in (chunks, plain):
        loader.load_state_dict({"delivered": start})
    for epoch in range(2):
        for loader in (chunks, plain):
            loader.set_epoch(epoch)
        for ours, expected in zip(batches(chunks), plain, strict=True):
            assert all(map(torch.equal, ours, expected))
        assert chunks.state_dict() == plain.state_dict() == {"delivered": 5}


def test_the_tensors_that_a_graph_reads_stay_where_they_are(images):
    loader = ChunkLoader(2, images, 5, AUGMENTATION)
    places = {name: getattr(loader, name).data_ptr() for name in ("order", "draws", "taken")}
    for epoch in range(2):
        loader.set_epoch(epoch)
        for _ in batches(loader):
            assert places == {name: getattr(loader, name).data_ptr() for name in places}


def test_what_has_been_delivered_is_counted_in_batches(images):
    loader = ChunkLoader(2, images, 5, AUGMENTATION)
    assert [loader.state_dict()["delivered"] for _ in loader] == [2, 4, 5]
