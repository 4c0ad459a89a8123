"""The box of each image, out of the annotations of a data set."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from lit_shift import boxes
from lit_shift.data.image_files import some
from lit_shift.utils.errors import InputError


class Outline(NamedTuple):
    """The edges of a box in an image of ``width`` and ``height``, which another copy of the image need not have."""

    left: float
    top: float
    right: float
    bottom: float
    width: float
    height: float


def largest_boxes(path: Path, names: Sequence[str], skip: Callable[[str], None] | None) -> dict[int, Outline]:
    """The largest box of each image that has one, by the image's place among the names.

    An annotation is of the image of the same file name, or of the same name without suffixes; where several images have
    it, of that in the folder which the annotation names.

    Args:
        path: the annotations.
        names: paths of image files.
        skip: is told what is wrong with a box that is left out, as in :func:`lit_shift.boxes.read`.

    Raises:
        InputError: what that raises, an annotation of one of several images, or none of any.
    """
    files = [PurePath(name) for name in names]
    by_name: dict[str, list[int]] = defaultdict(list)
    for place, file in enumerate(files):
        for key in {file.name, file.stem}:
            by_name[key].append(place)
    found: dict[int, Outline] = {}
    annotated = "nameless"
    for box in boxes.read(path, skip):
        if not box.image:
            continue
        annotated = box.image
        owner = _place(box.image, files, by_name)
        outline = Outline(box.xmin, box.ymin, box.xmax, box.ymax, box.width, box.height)
        if owner is not None and (owner not in found or _share(outline) > _share(found[owner])):
            found[owner] = outline
    if not found:
        raise InputError(
            f"No image has a box in {path}: images are called {some(names, 1)}, the last one annotated {annotated}."
        )
    return found


def _share(outline: Outline) -> float:
    """Of the image's area."""
    left, top, right, bottom, width, height = outline
    return (right - left) / width * ((bottom - top) / height)


def _place(image: str, files: Sequence[PurePath], by_name: Mapping[str, Sequence[int]]) -> int | None:
    """Of the image that an annotation means, or None."""
    named = PurePath(image)
    places = by_name.get(named.name) or by_name.get(named.stem, ())
    folders = named.parent.parts
    if len(places) > 1:
        alike = [place for place in places if folders and files[place].parent.parts[-len(folders) :] == folders]
        if len(alike) != 1:
            among = some(files[place] for place in places)
            raise InputError(f"The annotation of {image} may be of any of {among}: it must name the folder too.")
        places = alike
    return places[0] if places else None
