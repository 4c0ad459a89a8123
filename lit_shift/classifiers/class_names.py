"""Names of a classifier's outputs, and the output that each folder of images belongs to."""

import re
from collections.abc import Sequence

from torchvision.models import ResNet50_Weights

from lit_shift.data.image_files import some
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, as_typed, install, one_of
from lit_shift.utils.files import given, read_text

IMAGENET: list[str] = ResNet50_Weights.DEFAULT.meta["categories"]
NAME_THEM = "say names=FILE, a file with one class name per line, in the order of the outputs"
WAYS = ("by_name", "by_order")


def read_names(classes: str | Sequence[str] | None) -> list[str] | None:
    """Return names of classes, from a text file with one per line if ``classes`` is a string. None stays None.

    Raises:
        InputError: the file does not exist or is not text.
    """
    if classes is None:
        return None
    if not isinstance(classes, str):
        return [str(name) for name in classes]
    file = given(classes)
    try:
        return [line.strip() for line in read_text(file).splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"classes={file} cannot be read as text ({error}).") from error


def class_names(names: list[str] | None, outputs: int) -> list[str]:
    """Names of a classifier's outputs: those given, else ImageNet's if there are 1,000 outputs, else numbers.

    Raises:
        InputError: the numbers of names and outputs differ.
    """
    if names is None:
        return IMAGENET if outputs == len(IMAGENET) else [f"output {i}" for i in range(outputs)]
    if len(names) != outputs:
        raise InputError(f"The file of classes has {len(names)} names, but the network has {outputs} outputs.")
    return names


def match_classes(folders: Sequence[str], classes: Sequence[str], way: str = "by_name") -> list[int]:
    """Return the output that each class folder belongs to.

    The first of these that applies decides:

    - by name, if all folders are named like classes (ignoring case, with ``_`` for a space);
    - by order, if ``way`` is ``by_order`` and there are as many folders as classes: the order of
      ``torchvision.datasets.ImageFolder``;
    - by number, if all names are numbers of outputs;
    - as ImageNet synsets (``n02099601``), which needs timm.

    Args:
        folders: their names.
        classes: names of the outputs, in order.
        way: ``by_name``, or ``by_order`` as fallback if names do not match.

    Returns:
        The index of the output for each folder.

    Raises:
        InputError: none of these applies, or two of them disagree.
    """
    one_of(WAYS, "way", way)
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
            f"Are the outputs in the numerical order of the folders, or in the order of their names, "
            f"{', '.join(order[:3])} ...? For the latter say way=by_order, else {NAME_THEM}."
        )
    if only_numbers and max(numbers) < len(classes):
        return numbers
    if len(classes) == len(IMAGENET) and all(re.fullmatch("n[0-9]{8}", folder) for folder in folders):
        return _synsets(folders)
    if as_many:
        raise InputError(
            f"The images have other classes ({some(order)}) than the network ({some(classes)}). If they are the same "
            f"in this order, say way=by_order, else {NAME_THEM}."
        )
    raise InputError(
        f"{_strangers(folders, named)}, and {len(folders)} folders cannot be matched to {len(classes)} classes by "
        f"order: {NAME_THEM}."
    )


def matched(names: Sequence[str], classes: Sequence[str], way: str) -> list[int]:
    """Like :func:`match_classes`, but print the matches if names differ."""
    with as_typed({"way": "classes", "names": "model.classes"}):
        outputs = match_classes(names, classes, way)
    pairs = [(classes[output], name) for name, output in zip(names, outputs, strict=True)]
    if any(ours.casefold() != theirs.casefold() for ours, theirs in pairs):
        listed = some(f"{ours} = {theirs}" for ours, theirs in pairs)
        say(f"The classes have other names than the network's; they are matched: {listed}.")
    return outputs


def _named(folder: str, classes: Sequence[str]) -> int | None:
    """Index of the only class of that name, case first: ImageNet has ``Cardigan`` (a dog) and ``cardigan``."""
    for alike in (str, lambda name: " ".join(name.casefold().replace("_", " ").split())):
        places = [place for place, name in enumerate(classes) if alike(name) == alike(folder)]
        if len(places) == 1:
            return places[0]
    return None


def _strangers(folders: Sequence[str], named: Sequence[int | None]) -> str:
    strangers = [folder for folder, place in zip(folders, named, strict=True) if place is None]
    return f"Folders not named like exactly one class: {some(strangers)}"


def _synsets(folders: Sequence[str]) -> list[int]:
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise InputError(f"The folders are synsets of ImageNet, whose order timm knows: {install('timm')}.") from error
    order = ImageNetInfo().label_names()
    if unknown := [folder for folder in folders if folder not in order]:
        raise InputError(f"These synsets are not among ImageNet's 1,000: {some(unknown)}.")
    return [order.index(folder) for folder in folders]
