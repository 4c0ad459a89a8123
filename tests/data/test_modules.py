import hashlib
import os
import pickle
import tarfile
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10
from torchvision.datasets import CIFAR100 as TorchvisionCIFAR100

from lit_shift.data import CIFAR10, CIFAR100, Digits, ImageFolder
from lit_shift.data.module import fitting
from lit_shift.utils.errors import InputError
from tests.conftest import save_images

OPTIONS = {"batch_size": 8, "eval_batch_size": 8, "aug": False, "flip": False, "padding": "circular", "seed": 0}


def make(kind, *args, val_size=0, **options):
    module = kind(*args, val_size=val_size, **(OPTIONS | options))
    module.prepare_data()
    module.setup()
    return module


class TestShared:
    def test_statistics_are_those_of_all_training_pixels(self, images):
        data = make(ImageFolder, str(images))
        pixels = data.train.pixels.double().transpose(0, 1).flatten(1) / 255
        torch.testing.assert_close(data.mean, pixels.mean(1).float())
        torch.testing.assert_close(data.std, pixels.std(1, correction=0).float())

    def test_held_out_images_are_stratified_seeded_and_not_trained_on(self):
        whole, data = make(Digits), make(Digits, val_size=300)
        assert len(data.val.labels) == 300
        assert len(data.train.labels) + 300 == len(whole.train.labels)
        rows = [tuple(image.flatten().tolist()) for part in (data.train, data.val) for image in part.pixels]
        assert Counter(rows) == Counter(tuple(image.flatten().tolist()) for image in whole.train.pixels)
        share = torch.bincount(data.val.labels) / torch.bincount(whole.train.labels)
        assert (share - 300 / len(whole.train.labels)).abs().max() < 0.01
        assert torch.equal(data.val.pixels, make(Digits, val_size=300).val.pixels)
        assert not torch.equal(data.val.pixels, make(Digits, val_size=300, seed=1).val.pixels)

    @pytest.mark.parametrize("val_size", [3, 1437, 10**6])
    def test_a_split_that_leaves_a_class_empty_is_refused(self, val_size):
        with pytest.raises(InputError, match=f"val_size={val_size} does not leave"):
            make(Digits, val_size=val_size)

    def test_subset_is_fixed_by_its_own_seed(self):
        def subset(data, seed):
            return data.subset_dataloader(data.test, 32, seed).images

        chosen = subset(make(Digits), 0)
        assert len(chosen.labels) == 32
        assert torch.equal(chosen.pixels, subset(make(Digits, seed=5), 0).pixels)
        assert not torch.equal(chosen.pixels, subset(make(Digits), 1).pixels)

    def test_a_subset_may_be_all_in_random_order(self):
        data = make(Digits)
        images = data.subset_dataloader(data.test, None, seed=0).images
        assert not torch.equal(images.labels, data.test.labels)
        assert torch.equal(images.labels.sort().values, data.test.labels.sort().values)

    def test_held_out_images_are_measured_in_training_where_there_are_any(self):
        data = make(Digits, val_size=100)
        assert torch.equal(data.held_out.pixels, data.val.pixels)
        assert torch.equal(make(Digits).held_out.pixels, data.test.pixels)


@pytest.mark.parametrize(
    ("free", "size", "images"),
    [(80 * 2**30, [32, 32], 128), (2**30, [32, 32], 12), (2**30, [64, 64], 3), (2**20, [32, 32], 1)],
)
def test_a_gpu_measures_as_many_images_at_once_as_fit(free, size, images):
    assert fitting(free, size) == images


class TestDigits:
    def test_all_digits_16_by_16_in_the_middle_of_a_black_field(self):
        data = make(Digits)
        assert data.train.pixels.shape == (1437, 3, 32, 32)
        assert data.test.pixels.shape == (360, 3, 32, 32)
        pixels = torch.cat([data.train.pixels, data.test.pixels])
        assert pixels.dtype == torch.uint8
        field = pixels.clone()
        field[:, :, 8:24, 8:24] = 0
        assert (field == 0).all()
        assert pixels.max() > 200
        assert (pixels[:, 0] == pixels[:, 2]).all()

    def test_halved_again_they_are_scikit_learns(self):
        """Each 2x2 block of a bilinear doubling has the original pixel's value up to its neighbours' influence."""
        digits = load_digits()
        data = make(Digits)
        totals = torch.cat([data.train.pixels, data.test.pixels])[:, 0].double().sum((1, 2)).sort().values
        expected = torch.from_numpy(4 * digits.images.sum((1, 2)) * 255 / 16).sort().values
        assert ((totals - expected).abs() / expected).median() < 0.02


class TestImageFolder:
    def test_pixels_and_labels_are_those_of_the_files(self, images):
        data = make(ImageFolder, str(images))
        assert data.classes == ["above", "below"]
        files = [images / "train" / name / f"{i:03}.png" for name in data.classes for i in range(80)]
        assert data.train.labels.tolist() == [0] * 80 + [1] * 80
        for file, pixels in zip(files, data.train.pixels, strict=True):
            np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))

    def test_second_time_comes_from_the_cache_until_a_file_changes(self, tmp_path, monkeypatch):
        save_images(tmp_path, 4)
        first = make(ImageFolder, str(tmp_path))
        cache = tmp_path / ".lit_shift_cache.pt"
        assert cache.exists()
        with monkeypatch.context() as patch:
            patch.setattr(ImageFolder, "_decode", None)  # not called
            assert torch.equal(make(ImageFolder, str(tmp_path)).train.pixels, first.train.pixels)
        file = tmp_path / "train" / "above" / "000.png"
        Image.new("RGB", (32, 32), (1, 2, 3)).save(file)
        os.utime(file, ns=(1, 1))
        assert make(ImageFolder, str(tmp_path)).train.pixels[0, :, 0, 0].tolist() == [1, 2, 3]
        file.unlink()
        assert len(make(ImageFolder, str(tmp_path)).train.labels) == 7

    def test_a_broken_cache_is_made_anew(self, tmp_path):
        save_images(tmp_path, 2)
        first = make(ImageFolder, str(tmp_path))
        cache = tmp_path / ".lit_shift_cache.pt"
        cache.write_bytes(cache.read_bytes()[:1000])
        assert torch.equal(make(ImageFolder, str(tmp_path)).train.pixels, first.train.pixels)

    def test_where_the_folder_is_read_only_the_cache_is_the_users(self, tmp_path, monkeypatch):
        save_images(tmp_path / "images", 2)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        # A folder in the cache's place cannot be written even by root, as a read-only disk cannot.
        (tmp_path / "images" / ".lit_shift_cache.pt").mkdir()
        make(ImageFolder, str(tmp_path / "images"))
        assert list((tmp_path / "cache").rglob(".lit_shift_cache.pt"))
        with monkeypatch.context() as patch:
            patch.setattr(ImageFolder, "_decode", None)
            make(ImageFolder, str(tmp_path / "images"))

    def test_sizes_must_agree_or_be_asked_for(self, tmp_path):
        save_images(tmp_path, 2)
        Image.new("RGB", (40, 36), (9, 9, 9)).save(tmp_path / "test" / "below" / "big.JPEG")
        with pytest.raises(InputError, match=r"2 sizes \(32x32, 40x36\): say size=32"):
            make(ImageFolder, str(tmp_path))
        data = make(ImageFolder, str(tmp_path), 64)
        assert data.test.pixels.shape[-2:] == (64, 64)
        assert (data.test.pixels[-1] == 9).all()

    def test_grey_and_transparent_images_become_rgb(self, tmp_path):
        save_images(tmp_path, 2)
        Image.new("L", (32, 32), 77).save(tmp_path / "train" / "above" / "000.png")
        Image.new("RGBA", (32, 32), (5, 6, 7, 255)).save(tmp_path / "train" / "above" / "001.png")
        pixels = make(ImageFolder, str(tmp_path)).train.pixels
        assert pixels[0, :, 0, 0].tolist() == [77, 77, 77]
        assert pixels[1, :, 0, 0].tolist() == [5, 6, 7]

    def test_images_in_folders_of_class_folders_are_read_and_what_is_left_out_is_said(self, tmp_path, capsys):
        """Against a literal list of what was put where."""
        save_images(tmp_path, 4)
        plain = make(ImageFolder, str(tmp_path))
        (tmp_path / "train" / "above" / "x" / "y").mkdir(parents=True)
        (tmp_path / "train" / "above" / "000.png").rename(tmp_path / "train" / "above" / "x" / "y" / "000.png")
        Image.new("RGB", (32, 32), (7, 7, 7)).save(tmp_path / "train" / "below" / "last.webp", lossless=True)
        Image.new("RGB", (32, 32), (8, 8, 8)).save(tmp_path / "train" / "below" / "later.BMP")
        Image.new("RGB", (32, 32)).save(tmp_path / "test" / "below" / "x.gif")
        Image.new("RGB", (32, 32)).save(tmp_path / "test" / "beside.png")
        for split in ("train", "test"):
            (tmp_path / split / "cow" / "sub").mkdir(parents=True)
        capsys.readouterr()
        data = make(ImageFolder, str(tmp_path))
        said = capsys.readouterr().err.replace("\n", " ")
        assert data.classes == ["above", "below", "cow"]
        assert data.train.labels.tolist() == [0] * 4 + [1] * 6
        above = [*plain.train.pixels[1:4], plain.train.pixels[0]]  # 000.png is in x now, after 003.png
        assert torch.equal(data.train.pixels[:8], torch.stack([*above, *plain.train.pixels[4:8]]))
        assert data.train.pixels[8:, 0, 0, 0].tolist() == [7, 8]
        assert torch.equal(data.test.pixels, plain.test.pixels)
        assert f"{tmp_path / 'test'} holds 1 files that are ignored, since they are not .bmp," in said
        assert "(1 of .gif)" in said
        assert f"{tmp_path / 'test'} holds 1 images beside its class folders, which are left out." in said
        assert f"{tmp_path / 'train'} holds no image of cow." in said

    def test_what_was_decoded_otherwise_is_decoded_anew(self, tmp_path, monkeypatch):
        save_images(tmp_path, 2)
        with monkeypatch.context() as patch:
            patch.setattr("lit_shift.data.imagefolder.DECODING", "as it was once")
            make(ImageFolder, str(tmp_path))
        decoded = []
        original = ImageFolder._decode
        monkeypatch.setattr(ImageFolder, "_decode", lambda *arguments: decoded.append(1) or original(*arguments))
        make(ImageFolder, str(tmp_path))
        assert decoded == [1]

    def test_unreadable_images_are_named(self, tmp_path):
        save_images(tmp_path, 3)
        whole = tmp_path / "train" / "above" / "000.png"
        whole.write_bytes(whole.read_bytes()[:300])
        (tmp_path / "test" / "below" / "text.jpg").write_text("not an image")
        with pytest.raises(InputError, match=r"2 of 11 images cannot be read: .*above/000.png, .*below/text.jpg\."):
            make(ImageFolder, str(tmp_path))

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_missing_split(self, tmp_path, split):
        other = {"train": "test", "test": "train"}[split]
        (tmp_path / other / "above").mkdir(parents=True)
        with pytest.raises(InputError, match=f"has no folder '{split}'"):
            make(ImageFolder, str(tmp_path))

    def test_empty_and_differing_classes(self, tmp_path):
        for folder in ("train/above", "test/above"):
            (tmp_path / folder).mkdir(parents=True)
        with pytest.raises(InputError, match=r"holds no image .*, which must be in folders named by class"):
            make(ImageFolder, str(tmp_path))
        (tmp_path / "test" / "abovv").mkdir()
        with pytest.raises(InputError, match="differ: abovv"):
            make(ImageFolder, str(tmp_path))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def published(tmp_path, monkeypatch, kind, names, sizes, key, classes):
    """An archive in a data set's format, served on the loopback; torchvision knows of it.

    Args:
        names: of its files: those for training, that for testing, that of the class names.
        sizes: numbers of images in each of the first two kinds.
        key: under which labels are stored, and class names.
    """
    rng = np.random.default_rng(0)
    folder = tmp_path / "made" / kind.base_folder
    folder.mkdir(parents=True)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(n):
        data = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        return {"data": data, key[0]: [int(i) % classes for i in range(n)]}

    train = [write(name, batch(sizes[0])) for name in names[0]]
    test = [write(names[1], batch(sizes[1]))]
    meta, md5 = write(names[2], {key[1]: [f"class{i}" for i in range(classes)]})
    path = tmp_path / "made" / kind.filename
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, kind.base_folder)
    monkeypatch.setattr(kind, "train_list", train)
    monkeypatch.setattr(kind, "test_list", test)
    monkeypatch.setattr(kind, "meta", {"filename": meta, "key": key[1], "md5": md5})
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path.parent)))
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(kind, "url", f"http://127.0.0.1:{server.server_port}/{path.name}")
    yield path
    server.shutdown()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """CIFAR-10 of 5 x 20 and 10 images."""
    names = [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "batches.meta"
    yield from published(
        tmp_path, monkeypatch, TorchvisionCIFAR10, names, (20, 10), key=("labels", "label_names"), classes=10
    )


@pytest.fixture
def archive_of_100(tmp_path, monkeypatch):
    """CIFAR-100 of 200 and 100 images."""
    key = ("fine_labels", "fine_label_names")
    yield from published(
        tmp_path, monkeypatch, TorchvisionCIFAR100, (["train"], "test", "meta"), (200, 100), key, classes=100
    )


class TestCIFAR100:
    def test_download_check_extract_read(self, archive_of_100, tmp_path):
        data = make(CIFAR100, str(tmp_path / "data"))
        assert data.classes == [f"class{i}" for i in range(100)]
        assert data.train.pixels.shape == (200, 3, 32, 32)
        assert data.test.labels.tolist() == list(range(100))
        stored = pickle.loads((archive_of_100.parent / TorchvisionCIFAR100.base_folder / "train").read_bytes())
        np.testing.assert_array_equal(data.train.pixels.flatten(1).numpy(), stored["data"])

    def test_it_is_called_by_its_name(self, archive_of_100, tmp_path, monkeypatch):
        monkeypatch.setattr(TorchvisionCIFAR100, "url", "http://127.0.0.1:9/cifar-100-python.tar.gz")
        with pytest.raises(InputError, match=r"CIFAR-100 is not in .*put cifar-100-python.tar.gz from"):
            make(CIFAR100, str(tmp_path / "data"))


class TestCIFAR10:
    def test_download_check_extract_read(self, archive, tmp_path):
        data = make(CIFAR10, str(tmp_path / "data"))
        assert data.classes == [f"class{i}" for i in range(10)]
        assert data.train.pixels.shape == (100, 3, 32, 32)
        assert data.test.labels.tolist() == list(range(10))
        stored = pickle.loads((archive.parent / TorchvisionCIFAR10.base_folder / "data_batch_2").read_bytes())
        np.testing.assert_array_equal(data.train.pixels[20:40].flatten(1).numpy(), stored["data"])

    def test_once_there_it_needs_no_network(self, archive, tmp_path, monkeypatch):
        make(CIFAR10, str(tmp_path / "data"))
        monkeypatch.setattr(TorchvisionCIFAR10, "url", "http://127.0.0.1:9/none.tar.gz")
        make(CIFAR10, str(tmp_path / "data"))

    def test_an_archive_put_there_by_hand_needs_no_network(self, archive, tmp_path, monkeypatch):
        monkeypatch.setattr(TorchvisionCIFAR10, "url", "http://127.0.0.1:9/none.tar.gz")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / archive.name).write_bytes(archive.read_bytes())
        make(CIFAR10, str(tmp_path / "data"))

    def test_no_network_says_where_to_put_it_and_the_alternatives(self, archive, tmp_path, monkeypatch):
        monkeypatch.setattr(TorchvisionCIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
        with pytest.raises(InputError, match=r"put cifar-10-python.tar.gz .* into that folder"):
            make(CIFAR10, str(tmp_path / "data"))

    @pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:50] + b"x" + b[51:], lambda b: b""])
    def test_a_truncated_or_corrupt_archive_is_named_and_kept(self, archive, tmp_path, damage):
        put = tmp_path / "data" / archive.name
        put.parent.mkdir()
        put.write_bytes(damage(archive.read_bytes()))
        with pytest.raises(InputError, match=f"{archive.name} is truncated or corrupt .*delete it"):
            make(CIFAR10, str(tmp_path / "data"))
        assert put.read_bytes() == damage(archive.read_bytes())

    def test_a_download_that_breaks_off_is_not_taken_for_the_archive(self, archive, tmp_path):
        whole = archive.read_bytes()
        archive.write_bytes(whole[:-100])
        with pytest.raises(InputError, match="could not be downloaded"):
            make(CIFAR10, str(tmp_path / "data"))
        archive.write_bytes(whole)
        make(CIFAR10, str(tmp_path / "data"))

    def test_a_damaged_extracted_file_is_extracted_anew(self, archive, tmp_path):
        first = make(CIFAR10, str(tmp_path / "data"))
        (tmp_path / "data" / TorchvisionCIFAR10.base_folder / "data_batch_3").write_bytes(b"damaged")
        assert torch.equal(make(CIFAR10, str(tmp_path / "data")).train.pixels, first.train.pixels)


def test_epochs_of_a_data_module_differ():
    loader = make(Digits).train_dataloader()
    orders = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        orders.append(next(iter(loader)).places.tolist())
    assert all(a != b for a, b in pairwise(orders))


def test_more_processes_than_images_of_a_batch_are_refused():
    data = make(Digits)
    data.trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device("cpu")), global_rank=0, world_size=64
    )
    with pytest.raises(InputError, match="64 processes cannot share batches of"):
        data.test_dataloader()
