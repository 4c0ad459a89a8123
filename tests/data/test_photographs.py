import numpy as np
import pytest
import torch
from PIL import Image

from lit_shift.data.files import decode, images_in, some
from lit_shift.data.loader import Images
from lit_shift.data.photographs import Collection, InMemory, Photographs
from lit_shift.errors import InputError
from lit_shift.files import visible


def save(file, height=6, width=8, seed=0):
    """An image file, and what is in it as Pillow reads it: (3, H, W) uint8."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def test_images_beside_the_class_folders_are_left_out_and_said(tmp_path, capsys):
    for name in ("a/0.png", "b/0.png", "1.png", "2.jpg"):
        save(tmp_path / name)
    assert len(Photographs.found_in(tmp_path)) == 2
    assert "holds 2 images beside its class folders" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("split", ["test", "val", ""])
def test_folders_named_by_class_label_their_images(tmp_path, split):
    names = ["b/2.png", "a/1.jpg", "a/0.JPEG", "c/x.png"]
    written = {name: save(tmp_path / split / name, 4 + i, 9 - i, i) for i, name in enumerate(names)}
    found = Photographs.found_in(tmp_path)
    assert found.classes == ["a", "b", "c"]
    assert found.labels.dtype == torch.int64
    assert found.labels.tolist() == [0, 0, 1, 2]
    assert len(found) == 4
    for place, name in enumerate(sorted(names)):
        assert torch.equal(found.pixels(place), written[name])
        assert found.name(place) == str(tmp_path / split / name)  # by which it is found in another class's folder


def test_test_comes_before_val_and_both_before_the_folder_itself(tmp_path):
    for split, name in (("test", "a"), ("val", "b"), ("train", "c")):
        save(tmp_path / split / name / "0.png")
    assert Photographs.found_in(str(tmp_path)).classes == ["a"]
    (tmp_path / "test").rename(tmp_path / "unused")
    assert Photographs.found_in(tmp_path).classes == ["b"]


@pytest.mark.parametrize("split", ["test", "val", ""])
def test_images_in_no_folder_are_not_labelled(tmp_path, split):
    written = [save(tmp_path / split / f"{i}.png", seed=i) for i in range(3)]
    found = Photographs.found_in(tmp_path)
    assert (found.labels, found.classes) == (None, [])
    assert all(torch.equal(found.pixels(place), pixels) for place, pixels in enumerate(written))


def test_what_is_hidden_or_empty_or_no_image_does_not_count(tmp_path):
    for name in ("a/0.png", "a/.1.png", ".b/0.png", "c/2.png", "loose.png"):
        save(tmp_path / name)
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "README.md").write_text("none either")
    found = Photographs.found_in(tmp_path)
    assert found.classes == ["a", "c"]
    assert [file.name for file in found.files] == ["0.png", "2.png"]
    assert [child.name for child in visible(tmp_path)] == ["README.md", "a", "b", "c", "loose.png"]
    assert [file.name for file in images_in(tmp_path)] == ["loose.png"]


def test_no_folder_and_no_image(tmp_path):
    with pytest.raises(
        InputError, match=r"data.root=\S*/none is no folder: name one that holds images, or a folder of"
    ):
        Photographs.found_in(tmp_path / "none")
    (tmp_path / "train" / "a").mkdir(parents=True)
    save(tmp_path / "train" / "a" / "0.png")  # which are not to be tested on
    with pytest.raises(InputError, match="holds no PNG or JPEG image, neither itself nor in folders named by class"):
        Photographs.found_in(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match=r"/test holds no PNG or JPEG image"):
        Photographs.found_in(tmp_path)


def test_a_size_makes_squares_of_all(tmp_path):
    save(tmp_path / "wide.png", 10, 30)
    save(tmp_path / "high.png", 20, 5)
    found = Photographs.found_in(tmp_path, 12)
    for place, file in enumerate(found.files):
        expected = np.array(Image.open(file).resize((12, 12), Image.Resampling.LANCZOS))
        assert torch.equal(found.pixels(place), torch.from_numpy(expected).permute(2, 0, 1))


@pytest.mark.parametrize("size", [0, -3, 1.5, "large"])
def test_a_size_that_is_none(tmp_path, size):
    save(tmp_path / "0.png")
    with pytest.raises(InputError, match=f"data.size={size} must be a whole number, 1 or more"):
        Photographs.found_in(tmp_path, size)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for mode, colour in (("L", 77), ("RGBA", (5, 6, 7, 100)), ("1", 1), ("P", 0), ("RGB", (1, 2, 3))):
        Image.new(mode, (3, 2), colour).save(tmp_path / "0.png")
        expected = np.array(Image.open(tmp_path / "0.png").convert("RGB"))
        assert expected.shape == (2, 3, 3)
        np.testing.assert_array_equal(decode(tmp_path / "0.png"), expected)


def test_what_cannot_be_read_whole_is_none(tmp_path):
    for suffix in ("png", "jpg"):
        file = tmp_path / f"0.{suffix}"
        save(file, 40, 40)
        whole = file.read_bytes()
        for length in (0, 10, 100, len(whole) // 2, len(whole) - 60):
            file.write_bytes(whole[:length])
            assert Photographs([file], None, []).pixels(0) is None
        for content in (b"text", whole[:20] + b"x" * 40 + whole[60:]):
            file.write_bytes(content)
            assert decode(file) is None
    assert decode(tmp_path / "none.png") is None
    (tmp_path / "folder.png").mkdir()
    assert decode(tmp_path / "folder.png") is None


def test_images_in_memory(rng):
    pixels = torch.randint(256, (4, 3, 5, 7), dtype=torch.uint8, generator=rng)
    collection = InMemory(Images(pixels, torch.tensor([1, 0, 1, 1])), ("cat", "dog"))
    assert len(collection) == 4
    assert collection.classes == ["cat", "dog"]
    assert collection.labels.tolist() == [1, 0, 1, 1]
    assert torch.equal(collection.pixels(2), pixels[2])
    assert collection.name(2) == "test image 2"


def test_labels_of_other_classes():
    collection = Collection([0, 2, 1, 2], ["cat", "dog", "cow"])
    collection.relabel([281, 5, 345])
    assert collection.labels.tolist() == [281, 345, 5, 345]


def test_a_few_names_stand_for_many():
    assert some("abc") == "a, b, c"
    assert some(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert some("abcd", most=3) == "a, b, c and 1 more"
    assert some([]) == ""


def test_sixteen_bits_are_brought_to_eight(tmp_path):
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    found = Photographs([tmp_path / "deep.png"], None, []).pixels(0)
    assert np.array_equal(found[0].numpy(), np.arange(256).reshape(16, 16))
