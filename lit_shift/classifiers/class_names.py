"""What the outputs of a classifier are called, and which of them a folder of images means."""

import re
from collections.abc import Sequence

from torchvision.models import ResNet50_Weights

from lit_shift.data.image_files import some
from lit_shift.utils.errors import InputError, unknown
from lit_shift.utils.files import given, read_text

IMAGENET: list[str] = ResNet50_Weights.DEFAULT.meta["categories"]
INSTALL_TIMM = "install it with 'uv sync --extra timm' or \"pip install 'lit-shift[timm]'\""
NAME_THEM = "say model.classes=FILE, a file with the name of a class on each line, in the order of the outputs"
WAYS = ("by_name", "by_order")


def read_names(classes: str | Sequence[str] | None) -> list[str] | None:
    """Names of classes, from a text file with one on each line where ``classes`` is one; None stays None.

    Raises:
        InputError: no such file, or one that is not text.
    """
    if classes is None:
        return None
    if not isinstance(classes, str):
        return [str(name) for name in classes]
    file = given(classes)
    try:
        return [line.strip() for line in read_text(file).splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"model.classes={file} cannot be read as text ({error}).") from error


def class_names(names: list[str] | None, outputs: int) -> list[str]:
    """Names of a classifier's outputs: those given, else ImageNet's where there are 1,000 outputs, else numbers.

    Raises:
        InputError: another number of names than of outputs.
    """
    if names is None:
        return IMAGENET if outputs == len(IMAGENET) else [f"output {i}" for i in range(outputs)]
    if len(names) != outputs:
        raise InputError(f"model.classes has {len(names)} names, but the network has {outputs} outputs.")
    return names


def match_classes(folders: Sequence[str], classes: Sequence[str], way: str = "by_name") -> list[int]:
    """The output that each class folder means.

    By name, where all folders bear names of classes (capitals aside, ``_`` as a space); else, where that is asked for
    and there are as many folders as classes, by order, in that of ``torchvision.datasets.ImageFolder``; else by number,
    where all are numbers of outputs; else as synsets of ImageNet (``n02099601``), which takes timm.

    Args:
        folders: their names.
        classes: those of the outputs, in order.
        way: ``by_name``, or ``by_order`` where names do not tell.

    Returns:
        For each folder the place of its output.

    Raises:
        InputError: none of these applies, or two of them tell different things.
    """
    if way not in WAYS:
        raise unknown("classes", way, WAYS)
    named = [_named(folder, classes) for folder in folders]
    by_name = [place for place in named if place is not None]
    if len(by_name) == len(folders):
        return by_name
    numbers = [int(folder) for folder in folders if re.fullmatch("[0-9]+", folder)]
    only_numbers = len(numbers) == len(folders)
    order = sorted(folders)
    as_many = len(folders) == len(classes)
    if as_many and way == "by_order":
        by_order = [order.index(folder) for folder in folders]
        if any(place not in (None, rank) for place, rank in zip(named, by_order, strict=True)):
            raise InputError(f"{_strangers(folders, named)}, and by order the others would be mixed up: {NAME_THEM}.")
        return by_order
    if as_many and only_numbers and order != sorted(folders, key=int):
        raise InputError(
            f"Are the outputs in the order of the folders' numbers, or in that of their names, "
            f"{', '.join(order[:3])} ...? For the latter say classes=by_order, else {NAME_THEM}."
        )
    if only_numbers and max(numbers) < len(classes):
        return numbers
    if len(classes) == len(IMAGENET) and all(re.fullmatch("n[0-9]{8}", folder) for folder in folders):
        return _synsets(folders)
    if as_many:
        raise InputError(
            f"The images are of other classes ({some(order)}) than the network's ({some(classes)}): say "
            f"classes=by_order where these are the same in this order, else {NAME_THEM}."
        )
    raise InputError(
        f"{_strangers(folders, named)}, and {len(folders)} folders cannot be matched to {len(classes)} classes by "
        f"order: {NAME_THEM}."
    )


def _named(folder: str, classes: Sequence[str]) -> int | None:
    """The place of the only class of that name; ImageNet's ``Cardigan`` is a dog, its ``cardigan`` is none."""
    for alike in (str, lambda name: " ".join(name.casefold().replace("_", " ").split())):
        places = [place for place, name in enumerate(classes) if alike(name) == alike(folder)]
        if len(places) == 1:
            return places[0]
    return None


def _strangers(folders: Sequence[str], named: Sequence[int | None]) -> str:
    strangers = [folder for folder, place in zip(folders, named, strict=True) if place is None]
    return f"Folders whose names are not those of one class: {some(strangers)}"


def _synsets(folders: Sequence[str]) -> list[int]:
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise InputError(f"The folders are synsets of ImageNet, whose order timm knows: {INSTALL_TIMM}.") from error
    order = ImageNetInfo().label_names()
    if unknown := [folder for folder in folders if folder not in order]:
        raise InputError(f"These synsets are none of ImageNet's 1,000: {some(unknown)}.")
    return [order.index(folder) for folder in folders]
