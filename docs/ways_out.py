"""The site's table of pools and of ways out of PyTorch's eager mode: ``<!-- ways out -->`` in a page becomes it.

The tests of the ways out read the same declarations: where there is no note, nothing is to be noted.
"""

from typing import Any

POOLS = ("max", "blur", "avg", "aps", "lps", "ddac", "tips", "learned", "ideal", "flc", "asap", "l2", "conv")
WAYS = {
    "export": "`torch.export`",
    "onnx": "ONNX",
    "trace": "`torch.jit.trace`",
    "compile": "`torch.compile`",
    "half": "float16, bfloat16",
    "copy": "copy, pickle",
    "vmap": "`vmap`",
    "twice": "twice differentiable",
    "layout": "channels_last",
}
# What is to be known of a way, for all pools or for some.
NOTES = {
    "export": (POOLS, "Sides that are left open are 3 or more, or 4 or more with circular padding."),
    "trace": (POOLS, "Holds for the height and width of its example; the batch may be of any size."),
    "half": (("aps", "lps"), "May choose another of two phases that are equal but for rounding."),
    "vmap": (("lps",), 'In training, which draws at random, with `randomness="different"`.'),
    "twice": (("aps", "lps"), "The choice itself has no derivative in evaluation."),
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the table of a page, with its notes below."""
    return markdown.replace("<!-- ways out -->", table())


def table() -> str:
    """Return the table and its notes."""
    numbers = {way: number for number, way in enumerate(NOTES, 1)}

    def cell(pool: str, way: str) -> str:
        return f"yes<sup>{numbers[way]}</sup>" if way in NOTES and pool in NOTES[way][0] else "yes"

    head = f"| `pool=` | {' | '.join(WAYS.values())} |", "|---" * (len(WAYS) + 1) + "|"
    rows = [f"| `{pool}` | {' | '.join(cell(pool, way) for way in WAYS)} |" for pool in POOLS]
    return "\n".join([*head, *rows, "", *(f"{numbers[way]}. {note}" for way, (_, note) in NOTES.items())])
