"""The papers' figures: arrays in, a matplotlib figure out.

Models are identified by name: a mapping from name to data draws each in its own colour, in order.
"""

from lit_shift.figures.azulay_weiss import (
    Interval,
    LayerNonShiftability,
    NonShiftabilityByDepth,
    Probabilities,
    SizeAccuracy,
    SumCurves,
    accuracy_by_size,
    correct_probability,
    cost,
    feature_maps,
    film,
    jaggedness,
    nonshiftability,
    sums,
)
from lit_shift.figures.signals import aliasing, downsampling, filter_families, frequency_responses, maps, spectrum
from lit_shift.figures.zhang import (
    VARIATION_EDGES,
    LayerDistance,
    Point,
    accuracy_consistency,
    equivariance,
    filter_tv,
    filter_tv_course,
    stability,
    variation,
    variation_counts,
)

__all__ = [
    "VARIATION_EDGES",
    "Interval",
    "LayerDistance",
    "LayerNonShiftability",
    "NonShiftabilityByDepth",
    "Point",
    "Probabilities",
    "SizeAccuracy",
    "SumCurves",
    "accuracy_by_size",
    "accuracy_consistency",
    "aliasing",
    "correct_probability",
    "cost",
    "downsampling",
    "equivariance",
    "feature_maps",
    "film",
    "filter_families",
    "filter_tv",
    "filter_tv_course",
    "frequency_responses",
    "jaggedness",
    "maps",
    "nonshiftability",
    "spectrum",
    "stability",
    "sums",
    "variation",
    "variation_counts",
]
