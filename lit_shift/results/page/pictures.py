"""Images as data URLs."""

import base64
import math
from io import BytesIO

import numpy as np
from matplotlib import colormaps
from PIL import Image

from lit_shift.figures.style import PROBABILITY_MAP


def picture(pixels: np.ndarray, most: float = math.inf) -> str:
    """Encode an image, (3, H, W) uint8, as a data URL: PNG, or a reduced JPEG if a side exceeds ``most`` pixels."""
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    if max(image.size) <= most:
        return _url(image, "png")
    image.thumbnail((most, most))
    return _url(image, "jpeg")


def filmstrip(maps: np.ndarray, most: int) -> str:
    """Draw maps (T, h, w) side by side, coloured from 0 to their maximum; a side has at most ``most`` pixels."""
    height, width = (max(1, round(side * min(1, most / max(maps.shape[1:])))) for side in maps.shape[1:])
    small = [Image.fromarray(map.astype(np.float32)).resize((width, height), Image.Resampling.BOX) for map in maps]
    values = np.concatenate([np.asarray(map) for map in small], axis=1).clip(0)
    image = Image.fromarray(np.rint(255 * values / (values.max() if values.max() > 0 else 1)).astype(np.uint8))
    image.putpalette((255 * colormaps[PROBABILITY_MAP](np.arange(256))[:, :3]).round().astype(np.uint8).tobytes())
    return _url(image, "png")


def _url(image: Image.Image, kind: str) -> str:
    file = BytesIO()
    image.save(file, kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
