"""CIFAR-10 and CIFAR-100, downloaded and checked by torchvision."""

from typing import Any

from torchvision import datasets
from torchvision.datasets.utils import check_md5

from lit_shift.data.module import Dataset, ImageDataModule, to_images
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import given


class CIFAR10(ImageDataModule):
    """50,000 training and 10,000 test images of 32x32 in 10 classes, downloaded once into ``root``.

    Args:
        root: folder of the archive and its extracted files.
    """

    name = "CIFAR-10"
    published: type[datasets.CIFAR10] = datasets.CIFAR10

    def __init__(self, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = given(root, "root")

    def prepare_data(self) -> None:
        """Download, check and extract the archive unless this has been done.

        Raises:
            InputError: there is no network, or the archive is not the published one. The message says what to do.
        """
        archive = self.root / self.published.filename
        put_there = archive.exists()
        if put_there and not check_md5(str(archive), self.published.tgz_md5):
            raise InputError(
                f"{archive} is truncated or corrupt (its MD5 is not {self.published.tgz_md5}): "
                "delete it and run again to download it anew."
            )
        try:
            self.published(str(self.root), download=True)
        except (OSError, RuntimeError, KeyboardInterrupt) as error:  # RuntimeError: the checksum differs
            if not put_there:
                archive.unlink(missing_ok=True)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise InputError(
                f"{self.name} is not in {self.root} and could not be downloaded ({error}): put "
                f"{self.published.filename} from {self.published.url} into that folder."
            ) from error

    def read(self) -> Dataset:
        train, test = (self.published(str(self.root), train=train) for train in (True, False))
        return Dataset(to_images(train.data, train.targets), to_images(test.data, test.targets), train.classes)


class CIFAR100(CIFAR10):
    """The same number of images of the same size in 100 classes."""

    name = "CIFAR-100"
    published = datasets.CIFAR100
