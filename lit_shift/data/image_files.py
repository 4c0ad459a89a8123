"""Image files: which there are in a folder, and what is in them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import visible

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
DECODING = "upright, on black"  # what :func:`decode` does beyond reading, for what is kept of it to go by
# By EXIF's orientation, what brings a picture upright. Pillow's own exif_transpose also writes the EXIF data anew, and
# fails where these are damaged.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # Pillow's ways to say so


class Contents(NamedTuple):
    """What is in a folder of images: those in its folders, by the folder's name; those beside them; other files."""

    by_class: dict[str, list[Path]]
    beside: list[Path]
    others: list[Path]


def contents(folder: Path) -> Contents:
    """What is in a folder, at whatever depth in its folders; what is no image is said."""
    found = Contents({}, [], [])
    for child in visible(folder):
        files = files_in(child) if child.is_dir() else [child]
        images = [file for file in files if file.suffix.lower() in SUFFIXES]
        found.others.extend(file for file in files if file.suffix.lower() not in SUFFIXES)
        if child.is_dir():
            found.by_class[child.name] = images
        else:
            found.beside.extend(images)
    if found.others:
        kinds = Counter(file.suffix.lower() or "no suffix" for file in found.others)
        listed = some(f"{count} of {kind}" for kind, count in kinds.most_common())
        say(f"{folder} holds {len(found.others)} files that are left out, as none of {_kinds()} ({listed}).")
    return found


def files_in(folder: Path) -> list[Path]:
    """The visible files of a folder and of those in it, in order of names; a link into itself leads nowhere."""
    found = []
    for child in visible(folder):
        if not child.is_dir():
            found.append(child)
        elif not (child.is_symlink() and folder.resolve().is_relative_to(child.resolve())):
            found += files_in(child)
    return found


def no_images(folder: Path, where: str) -> InputError:
    """The error of a folder that holds none."""
    return InputError(f"{folder} holds no image ({_kinds()}), {where}.")


def _kinds() -> str:
    return ", ".join(sorted(SUFFIXES))


def decode(file: Path, size: int | None = None) -> np.ndarray | None:
    """An image as viewers show it, upright and on black where it is transparent.

    Args:
        file: of any kind in :data:`SUFFIXES`.
        size: side of a square to which it is resized.

    Returns:
        (H, W, 3) uint8, or None where it cannot be read whole.
    """
    try:
        with Image.open(file) as image:
            turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            upright: Image.Image = image if turn is None else image.transpose(turn)
            if upright.mode.startswith("I;16"):  # which Pillow would clip to white
                upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
            if upright.has_transparency_data:
                black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
                upright = Image.alpha_composite(black, upright.convert("RGBA"))
            rgb = upright.convert("RGB")
    except UNREADABLE:
        return None
    return np.asarray(rgb.resize((size, size), Image.Resampling.LANCZOS) if size else rgb)


def size_of(file: Path) -> tuple[int, int] | None:
    """Height and width of what :func:`decode` makes of a file, from its header; None where that cannot be read."""
    try:
        with Image.open(file) as image:
            header = Image.Image.getexif(image)  # a PNG's own way reads all of the file
            return image.size if header.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8) else image.size[::-1]
    except UNREADABLE:
        return None


def unreadable(name: str) -> InputError:
    """The error of an image, where such are not left out."""
    return InputError(f"{name} cannot be read as an image; skip_bad=true leaves such images out.")


def some(names: Iterable[object], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    written = [str(name) for name in names]
    more = f" and {len(written) - most} more" if len(written) > most else ""
    return ", ".join(written[:most]) + more
