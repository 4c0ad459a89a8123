"""Image files: which there are in a folder, and what is in them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from lit_shift.errors import InputError
from lit_shift.files import visible

SUFFIXES = {".png", ".jpg", ".jpeg"}


def images_in(folder: Path) -> list[Path]:
    """The PNG and JPEG files of a folder, in order of names."""
    return [file for file in visible(folder) if file.suffix.lower() in SUFFIXES]


def decode(file: Path, size: int | None = None) -> np.ndarray | None:
    """An image (H, W, 3) uint8, resized to a square of ``size`` where given; None where it cannot be read whole."""
    try:
        with Image.open(file) as image:
            deep = image.mode.startswith("I;16")  # which Pillow would clip to white
            rgb = (Image.fromarray((np.asarray(image) // 257).astype(np.uint8)) if deep else image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # Pillow's ways to say so
        return None
    return np.asarray(rgb.resize((size, size), Image.Resampling.LANCZOS) if size else rgb)


def unreadable(name: str) -> InputError:
    """The error of an image, where such are not left out."""
    return InputError(f"{name} cannot be read as an image; skip_bad=true leaves such images out.")


def some(names: Iterable[object], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    written = [str(name) for name in names]
    more = f" and {len(written) - most} more" if len(written) > most else ""
    return ", ".join(written[:most]) + more
