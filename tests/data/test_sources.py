import numpy as np
import pytest
import torch
from PIL import Image

from lit_shift.data.image_files import contents, decode, files_in, size_of, some
from lit_shift.data.loader import Images
from lit_shift.data.sources import UNKNOWN, Collection, InMemory, Photographs
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import visible


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
    assert [file.name for file in contents(tmp_path).beside] == ["loose.png"]


def test_no_folder_and_no_image(tmp_path):
    with pytest.raises(InputError, match=r"root=\S*/none is no folder: name one that holds images, or a folder of"):
        Photographs.found_in(tmp_path / "none")
    (tmp_path / "train" / "a").mkdir(parents=True)
    save(tmp_path / "train" / "a" / "0.png")  # which are not to be tested on
    with pytest.raises(InputError, match=r"holds no image \(.*\), neither itself nor in folders named by class"):
        Photographs.found_in(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match=r"/test holds no image"):
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
    with pytest.raises(InputError, match=f"size={size} must be a whole number, 1 or more"):
        Photographs.found_in(tmp_path, size)


def test_images_at_any_depth_are_their_class_folders_and_what_is_left_out_is_said(tmp_path, capsys):
    names = ["a/0.png", "a/deep/er/1.jpg", "b/3.bmp", "b/sub/2.webp"]
    for name in names:
        save(tmp_path / name)
    for name in ("a/4.gif", "a/sub/5.tiff", "b/notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    found = Photographs.found_in(tmp_path)
    placed = {
        str(file.relative_to(tmp_path)): found.classes[label]
        for file, label in zip(found.files, found.labels, strict=True)
    }
    assert placed == {name: name[0] for name in names}
    said = capsys.readouterr().err.replace("\n", " ")
    assert "holds 3 files that are ignored, since they are not .bmp, .jpeg, .jpg, .png, .webp" in said
    assert "(1 of .gif, 1 of .tiff, 1 of no suffix)" in said
    assert "has folders without an image, which are left out: empty." in said


def test_training_images_are_not_tested_on_but_a_class_may_be_called_train(tmp_path):
    for name in ("train/cat/0.png", "ship/1.png"):
        save(tmp_path / name)
    assert Photographs.found_in(tmp_path).classes == ["ship"]
    save(tmp_path / "train" / "2.png")
    assert Photographs.found_in(tmp_path).classes == ["ship", "train"]


def test_a_link_to_another_folder_is_followed(tmp_path):
    save(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    assert [str(file.relative_to(tmp_path)) for file in files_in(tmp_path / "a")] == ["a/linked/0.png"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_however_the_camera_was_held(tmp_path, suffix, orientation):
    """Against the definition of each orientation: what is first of the stored rows and columns."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8] = (255, 0, 0)  # of the picture, the upper left corner
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"0.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif, quality=100)
    found = decode(file)
    assert found.shape == pixels.shape == (*size_of(file), 3)
    assert np.abs(found.astype(int) - pixels).mean() < 6
    assert decode(file, 12).shape == (12, 12, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_picture_with_exif_that_is_none_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    for damaged in (b"Exif\0\0MM\0*" + b"\xff" * 20, exif.tobytes().replace(b"\x01\x0f", b"\x01\x12")):
        Image.new("RGB", (8, 4), (9, 9, 9)).save(tmp_path / "0.jpg", exif=damaged)
        assert decode(tmp_path / "0.jpg").shape == (*size_of(tmp_path / "0.jpg"), 3)


def transparent(mode):
    """A picture of two columns in a mode, with what is to be seen of each on black."""
    if mode in ("RGBA", "LA"):
        rgba = Image.new("RGBA", (2, 1))
        rgba.putdata([(200, 100, 50, 0), (200, 100, 50, 102)])  # 40% opaque
        image = rgba.convert(mode)
        grey = image.convert("L").getpixel((1, 0))
        return image, {}, [0] * 3, [80, 40, 20] if mode == "RGBA" else [round(0.4 * grey)] * 3
    if mode == "P":
        image = Image.new("P", (2, 1))
        image.putpalette([200, 100, 50, 10, 20, 30])
        image.putdata([0, 1])
        return image, {"transparency": bytes([0, 255])}, [0] * 3, [10, 20, 30]
    colours = [(200, 100, 50), (10, 20, 30)] if mode == "RGB" else [200, 10]
    image = Image.new(mode, (2, 1))
    image.putdata(colours)
    return image, {"transparency": colours[0]}, [0] * 3, list(colours[1]) if mode == "RGB" else [10] * 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_what_is_transparent_is_on_black(tmp_path, mode):
    image, options, first, second = transparent(mode)
    image.save(tmp_path / "0.png", **options)
    found = decode(tmp_path / "0.png")
    assert found.shape == (1, 2, 3)
    assert np.abs(found[0].astype(int) - [first, second]).max() <= 1


def test_the_size_is_known_without_decoding(tmp_path, monkeypatch):
    for number, (height, width) in enumerate([(3, 5), (7, 2)]):
        save(tmp_path / f"{number}.png", height, width)
    (tmp_path / "2.png").write_text("no image")
    found, squares = Photographs.found_in(tmp_path), Photographs.found_in(tmp_path, 9)
    Image.init()  # whose plugins load images of their own when they are first imported
    monkeypatch.setattr(Image.Image, "load", None)
    assert [found.size(place) for place in range(3)] == [(3, 5), (7, 2), None]
    assert squares.size(2) == (9, 9)
    pixels = torch.zeros(1, 3, 6, 4, dtype=torch.uint8)
    assert InMemory(Images(pixels, torch.zeros(1)), ["a"]).size(0) == (6, 4)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for mode, colour in (("L", 77), ("1", 1), ("P", 0), ("RGB", (1, 2, 3))):
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


def test_images_without_a_label_stay_so():
    collection = Collection([1, UNKNOWN, 0], ["cat", "dog"])
    collection.relabel([281, 5])
    assert collection.labels.tolist() == [5, UNKNOWN, 281]
    assert [collection.labelled(place) for place in range(3)] == [True, False, True]
    assert not Collection(None, []).labelled(0)


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
