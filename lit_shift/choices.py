"""The values allowed for each option that takes one of a few names. Needs no torch."""

from typing import Literal

Padding = Literal["circular", "zeros", "reflect"]
PADDINGS: tuple[Padding, ...] = ("circular", "zeros", "reflect")  # beyond a border

Upsampling = Literal["fourier", "bilinear", "nearest"]
UPSAMPLINGS: tuple[Upsampling, ...] = ("fourier", "bilinear", "nearest")  # of subsampled maps

PATHS = ("vertical", "horizontal", "diagonal", "grid", "random")
FILLS = ("black", "mean", "noise", "inpaint")  # around an image on a canvas
CORRECT_CLASSES = ("label", "top1")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

SHIFTED_BY: dict[str, Padding] = {"shift": "circular", "crop": "zeros"}  # how voting copies are shifted: their padding
VOTES = ("mean", "majority")

WANDB_MODES = ("online", "offline", "disabled", "run", "dryrun")  # the last two are older names of the first two
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "bf16", "64")
