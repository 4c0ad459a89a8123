"""Other papers' definitions of consistency beside Zhang's, computed from the same predictions.

Numbers from different papers are comparable only if the definition is the same: which images are compared (two shifted
ones, or a shifted one with the original), over which offsets, and with which padding.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lit_shift.functional import class_counts, pair_agreement
from lit_shift.shifts import draw_offsets, seeded

CROP_PADDING = 3  # pixels on each side


class Predictions(NamedTuple):
    """Predicted classes of N images, out of ``classes``, under the shifts that the definitions compare.

    ``labels`` (N,); ``circular`` (N, H, W), at every circular shift; ``half`` (N, H, W), at every circular shift plus
    half a pixel; ``crops`` (N, S), for the zero-padded crops of :func:`crop_offsets`.
    """

    classes: int
    labels: Tensor
    circular: Tensor
    half: Tensor
    crops: Tensor


class Reading(NamedTuple):
    """A definition of consistency, its source, and the function from predictions to one value per image."""

    definition: str
    source: str
    measure: Callable[[Predictions], Tensor]


def crop_offsets() -> Tensor:
    """Shifts that the zero-padded crops of APS can make: (36, 2)."""
    reach = torch.arange(1 - CROP_PADDING, CROP_PADDING + 1)
    return torch.cartesian_prod(reach, reach)


def _within(low: int, high: int) -> Callable[[Predictions], Tensor]:
    offsets = torch.arange(low, high + 1)

    def measure(predictions: Predictions) -> Tensor:
        near = predictions.circular[:, offsets[:, None], offsets]
        return pair_agreement(class_counts(near, predictions.classes))

    return measure


def _correct_share(predictions: Predictions) -> Tensor:
    return (predictions.circular == predictions.labels[:, None, None]).double().mean((1, 2))


READINGS = {
    "pairs": Reading(
        "two circular shifts of an image, drawn for each image uniformly over all",
        "Zhang, section 4.2.2; test/consistency is this on the whole test set",
        lambda p: pair_agreement(class_counts(p.circular, p.classes)),
    ),
    "within_3": Reading(
        "two circular shifts, rows and columns uniform on -3 .. 3",
        "Chaman & Dokmanic 2021 (APS) and Rojas-Gomez et al. 2022 (LPS), 'up to 3 pixels' taken at its word",
        _within(-3, 3),
    ),
    "within_3_aps": Reading(
        "the same on -3 .. 2, as their code draws (numpy's upper bound is exclusive)",
        "github.com/achaman2/truly_shift_invariant_cnns, evaluate_circular",
        _within(-3, 2),
    ),
    "zero_padded_crops": Reading(
        "two crops, of the image's size, of the image padded by 3 with the mean colour; offsets uniform on 0 .. 5",
        "APS, evaluate_random_crop (zeros after normalisation); LPS likewise",
        lambda p: pair_agreement(class_counts(p.crops, p.classes)),
    ),
    "half_pixel": Reading(
        "the unshifted image and one circularly shifted by (s + 1/2, t + 1/2), Fourier interpolation",
        "Michaeli et al. 2023 (Alias-Free Convnets), evaluate_consistency_metrics",
        lambda p: (p.half == p.circular[:, :1, :1]).double().mean((1, 2)),
    ),
    "same_and_correct": Reading(
        "two circular shifts as in 'pairs', counted where both get the correct class",
        "ours; consistency alone also rewards a constant mistake",
        lambda p: _correct_share(p).square(),
    ),
    "all_correct": Reading(
        "the correct class at every circular shift: worst-case accuracy",
        "Engstrom et al. 2019; Michaeli et al. 2023, evaluate_full_adversarial_shift_metrics",
        lambda p: (_correct_share(p) == 1).double(),
    ),
}

# Name, definition and source of every reading, including the one whose spread is not over images.
DEFINITIONS = {name: (reading.definition, reading.source) for name, reading in READINGS.items()} | {
    "once_per_batch": (
        "two circular shifts, drawn once for each batch of 256 images: the expectation of 'pairs', but single passes "
        "over these images spread as given",
        "github.com/adobe/antialiased-cnns, validate_shift (there on crops of larger images); APS and LPS also draw so",
    )
}


def once_per_batch(circular: Tensor, passes: int = 1000, batch: int = 256, seed: int = 0) -> Tensor:
    """Agreement in each of many passes over the images, when one pair of shifts is drawn per batch.

    Args:
        circular: (N, H, W) int, the class at every shift.
        passes: number of passes.
        batch: number of images that share a pair of shifts.
        seed: of the shifts.

    Returns:
        (passes,) float64 in [0, 1]
    """
    height, width = circular.shape[1:]
    generator = seeded(seed)
    agreeing = torch.zeros(passes, dtype=torch.float64, device=circular.device)
    for part in circular.flatten(1).split(batch):
        offsets = draw_offsets((2, passes), height, width, generator).to(part.device)
        first, second = offsets[..., 0] * width + offsets[..., 1]
        agreeing += (part[:, first] == part[:, second]).sum(0)
    return agreeing / len(circular)
