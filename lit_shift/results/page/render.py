"""The page that compares runs: one HTML file that needs nothing beside it, neither network nor server."""

import base64
import html
import json
import math
import re
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from plotly.offline import get_plotlyjs


def render(content: dict[str, Any]) -> str:
    """The page that shows ``content``, as one HTML file.

    Args:
        content: what is shown of each data set: table rows, runs, images; all rates in [0, 1]. A measure that is
            missing or not finite is shown as missing.

    Returns:
        The text of the file, to be written as UTF-8. It holds its style, its script and plotly.js (4.8 MB).
    """
    parts = {
        "title": html.escape(content["title"]),
        "style": _asset("page.css"),
        "content": _inline_json(content),
        "plotly": get_plotlyjs(),
        "paths": _asset("paths.js"),
        "script": _asset("page.js"),
    }
    # One pass over the template alone, for what is filled in may contain anything, double braces too.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


def packed(values: np.ndarray) -> str:
    """Whole numbers in 0 .. 255 as the page holds them: a byte each, as base64."""
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def picture(pixels: np.ndarray, most: float = math.inf) -> str:
    """An image (3, H, W) uint8 as a data URL: PNG, or a smaller JPEG where a side has more than ``most`` pixels."""
    image, file = Image.fromarray(pixels.transpose(1, 2, 0)), BytesIO()
    kind = "png"
    if max(image.size) > most:
        kind = "jpeg"
        image.thumbnail((most, most))
    image.save(file, kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _asset(name: str) -> str:
    return files("lit_shift.results.page").joinpath(name).read_text(encoding="utf-8")


def _inline_json(content: Any) -> str:
    """JSON that can stand in a script element: no ``</script>`` and no ``<!--`` ends or changes it."""
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    """``value`` with None for NaN and infinity, which a diverged run has and JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
