"""Bounding boxes of images, matched from a data set's annotations."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from lit_shift import boxes
from lit_shift.data.image_files import some
from lit_shift.utils.errors import InputError


class Outline(NamedTuple):
    """Edges of a box in an image of ``width`` and ``height``, in pixels. Other copies may have another resolution."""

    left: float
    top: float
    right: float
    bottom: float
    width: float
    height: float


def largest_boxes(path: Path, names: Sequence[str], skip: Callable[[str], None] | None) -> dict[int, Outline]:
    """Return the largest box of each image that has one, by the image's index among the names.

    An annotation belongs to the image with the same file name, or the same name without suffix. If several images have
    that name, the folder in the annotation decides.

    Args:
        path: the annotations.
        names: paths of image files.
        skip: called with the reason for each box that is left out, as in :func:`lit_shift.boxes.read`.

    Raises:
        InputError: from :func:`lit_shift.boxes.read`; an annotation that fits several images; or no match at all.
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
    """Area of a box as a fraction of the image's."""
    left, top, right, bottom, width, height = outline
    return (right - left) / width * ((bottom - top) / height)


def _place(image: str, files: Sequence[PurePath], by_name: Mapping[str, Sequence[int]]) -> int | None:
    """Index of the image that an annotation means, or None."""
    named = PurePath(image)
    places = by_name.get(named.name) or by_name.get(named.stem, ())
    folders = named.parent.parts
    if len(places) > 1:
        alike = [place for place in places if folders and files[place].parent.parts[-len(folders) :] == folders]
        if len(alike) != 1:
            among = some(files[place] for place in places)
            raise InputError(f"The annotation of {image} fits several images ({among}): it must name the folder too.")
        places = alike
    return places[0] if places else None
