"""CIFAR-10, downloaded and checked by torchvision."""

from typing import Any

from torchvision.datasets import CIFAR10 as TorchvisionCIFAR10
from torchvision.datasets.utils import check_md5

from lit_shift.data.module import Dataset, ImageDataModule, to_images
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import given


class CIFAR10(ImageDataModule):
    """50,000 training and 10,000 test images of 32x32, downloaded once into ``root``.

    Args:
        root: folder of the archive and its extracted files.
    """

    def __init__(self, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = given(root, "root")

    def prepare_data(self) -> None:
        """Download, check and extract the archive unless this has been done.

        Raises:
            InputError: there is no network, or the archive is not the published one. The message says what to do.
        """
        archive = self.root / TorchvisionCIFAR10.filename
        put_there = archive.exists()
        if put_there and not check_md5(str(archive), TorchvisionCIFAR10.tgz_md5):
            raise InputError(
                f"{archive} is truncated or corrupt (its MD5 is not {TorchvisionCIFAR10.tgz_md5}): "
                "delete it and run again to download it anew."
            )
        try:
            TorchvisionCIFAR10(str(self.root), download=True)
        except (OSError, RuntimeError, KeyboardInterrupt) as error:  # RuntimeError: the checksum differs
            if not put_there:
                archive.unlink(missing_ok=True)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise InputError(
                f"CIFAR-10 is not in {self.root} and could not be downloaded ({error}): put "
                f"{TorchvisionCIFAR10.filename} from {TorchvisionCIFAR10.url} into that folder."
            ) from error

    def read(self) -> Dataset:
        train, test = (TorchvisionCIFAR10(str(self.root), train=train) for train in (True, False))
        return Dataset(to_images(train.data, train.targets), to_images(test.data, test.targets), train.classes)
