"""Warnings about findings along paths that are easy to misread. Needs no torch."""

from collections.abc import Sequence

import numpy as np

from lit_shift.runs.findings import Findings

ENOUGH_IMAGES = 20
NEARLY_ALL = 0.9


def remarks(models: Sequence[Findings]) -> list[str]:
    """Return a sentence on each model whose answers hardly vary and which is stable for that reason alone."""
    found = dict.fromkeys(_hardly_vary(model, protocol) for model in models for protocol in model.protocols)
    return [sentence for sentence in found if sentence]


def _hardly_vary(model: Findings, protocol: str) -> str:
    """Return the remark if nearly all whole images get one answer and are not known to be of one class; else ''."""
    answers, labels = model.arrays[f"{protocol}/answers"], model.arrays[f"{protocol}/labels"]
    if len(answers) < ENOUGH_IMAGES:
        return ""
    answer, share = _commonest(answers)
    known = labels[labels >= 0]
    if share <= NEARLY_ALL or (len(known) and _commonest(known)[1] > NEARLY_ALL):
        return ""
    return (
        f"{model.name} answers {model.config['classes'][answer]} for {100 * share:.0f}% of {len(answers)} whole "
        "images. A nearly constant answer hardly changes: low jaggedness is no good news here."
    )


def _commonest(classes: np.ndarray) -> tuple[int, float]:
    """Return the most common class and its share."""
    values, counts = np.unique(classes, return_counts=True)
    return int(values[counts.argmax()]), counts.max() / len(classes)
