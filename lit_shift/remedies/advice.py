"""The remedy to take, in a sentence."""

from typing import NamedTuple

from lit_shift.remedies.candidates import Remedy
from lit_shift.remedies.measure import Measured

KEPT = 0.02  # accuracy that a remedy may lose


class Advice(NamedTuple):
    """A remedy, why, and the names of all that keep the answers."""

    remedy: Remedy
    sentence: str
    keeping: tuple[str, ...]


def advice(measured: Measured) -> Advice:
    """Choose the least jagged of the remedies that keep the answers; the cheapest of those that nearly equal it.

    A remedy keeps the answers if its accuracy is at most two points below that of the network as it is; if most images
    have no labels, if its agreement is at least 0.9 times the fraction of steps at which that network keeps its answer.
    A remedy nearly equals another if its jaggedness is at most the upper end of the other's interval.
    """
    as_it_is, *others = measured.remedies
    before = _mean(measured, as_it_is, "jaggedness")
    rate = measured.rate
    least = max(0, _mean(measured, as_it_is, rate) - KEPT) if rate == "accuracy" else 0.9 * (1 - before)
    kept = [remedy for remedy in others if _mean(measured, remedy, rate) >= least]
    keeping = tuple(remedy.name for remedy in (as_it_is, *kept))
    better = [remedy for remedy in kept if _mean(measured, remedy, "jaggedness") < before]
    if not better:
        return Advice(
            as_it_is,
            f"None of the remedies makes it less jagged and keeps its {rate} (at least {least:.1%}): fine-tune it "
            "antialiased, by lit-shift train experiment=finetune.",
            keeping,
        )
    best = min(better, key=lambda remedy: _mean(measured, remedy, "jaggedness"))
    interval = measured.interval(best, "jaggedness")
    assert interval is not None
    near = [remedy for remedy in better if _mean(measured, remedy, "jaggedness") <= interval[2]]
    chosen = min(near, key=lambda remedy: (remedy.passes, _mean(measured, remedy, "jaggedness")))
    after = _mean(measured, chosen, "jaggedness")
    return Advice(
        chosen,
        f"Take {chosen.name}: its answer changes at {after:.1%} of one-pixel steps instead of {before:.1%}, with "
        f"{_mean(measured, chosen, rate):.1%} {rate}"
        + (f" instead of {_mean(measured, as_it_is, rate):.1%}" if rate == "accuracy" else "")
        + f", for {chosen.passes:.3g} times the work.",
        keeping,
    )


def _mean(measured: Measured, remedy: Remedy, measure: str) -> float:
    interval = measured.interval(remedy, measure)
    return 0.0 if interval is None else interval[0]
