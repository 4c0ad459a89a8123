"""Find image files in folders and decode them."""

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
DECODING = "upright, on black"  # identifies what :func:`decode` does, so that caches of an older one are not reused
# Transposition that brings an image upright, by EXIF orientation. Pillow's own exif_transpose also rewrites the EXIF
# data, and fails if they are damaged.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # raised by Pillow for bad files


class Contents(NamedTuple):
    """Contents of a folder: images in its subfolders, by subfolder; images directly in it; other files."""

    by_class: dict[str, list[Path]]
    beside: list[Path]
    others: list[Path]


def contents(folder: Path) -> Contents:
    """List the images of a folder and, at any depth, of its subfolders. Prints which other files are ignored."""
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
        say(f"{folder} holds {len(found.others)} files that are ignored, since they are not {_kinds()} ({listed}).")
    return found


def files_in(folder: Path) -> list[Path]:
    """List the visible files of a folder and its subfolders by name. Links that lead back into it are not followed."""
    found = []
    for child in visible(folder):
        if not child.is_dir():
            found.append(child)
        elif not (child.is_symlink() and folder.resolve().is_relative_to(child.resolve())):
            found += files_in(child)
    return found


def no_images(folder: Path, where: str) -> InputError:
    """Return the error for a folder without images."""
    return InputError(f"{folder} holds no image ({_kinds()}), {where}.")


def _kinds() -> str:
    return ", ".join(sorted(SUFFIXES))


def decode(file: Path, size: int | None = None) -> np.ndarray | None:
    """Decode an image as viewers show it: upright, and on black where it is transparent.

    Args:
        file: of any type in :data:`SUFFIXES`.
        size: side of the square to which it is resized; None keeps its size.

    Returns:
        (H, W, 3) uint8, or None if the file cannot be read completely.
    """
    try:
        with Image.open(file) as image:
            turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            upright: Image.Image = image if turn is None else image.transpose(turn)
            if upright.mode.startswith("I;16"):  # Pillow would clip it to white
                upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
            if upright.has_transparency_data:
                black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
                upright = Image.alpha_composite(black, upright.convert("RGBA"))
            rgb = upright.convert("RGB")
    except UNREADABLE:
        return None
    return np.asarray(rgb.resize((size, size), Image.Resampling.LANCZOS) if size else rgb)


def size_of(file: Path) -> tuple[int, int] | None:
    """Height and width that :func:`decode` would return, from the file's header only. None if it cannot be read."""
    try:
        with Image.open(file) as image:
            header = Image.Image.getexif(image)  # PngImageFile's own getexif reads the whole file
            return image.size if header.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8) else image.size[::-1]
    except UNREADABLE:
        return None


def short_name(file: Path) -> str:
    """Name of an image file to show to people: its folder, which is often its class, and its own name."""
    return f"{file.parent.name}/{file.name}"


def unreadable(name: str) -> InputError:
    """Return the error for an unreadable image, unless such images are skipped."""
    return InputError(f"{name} cannot be read as an image; skip_bad=true leaves such images out.")


def some(names: Iterable[object], most: int = 5) -> str:
    """Join the first few names, and say how many more there are."""
    written = [str(name) for name in names]
    more = f" and {len(written) - most} more" if len(written) > most else ""
    return ", ".join(written[:most]) + more
