"""Callbacks that measure: when, on which images, under which keys."""

from lit_shift.callbacks.consistency_readings import ConsistencyReadings
from lit_shift.callbacks.equivariance import Equivariance
from lit_shift.callbacks.filter_tv import FilterTV
from lit_shift.callbacks.lie_derivative import LieDerivative
from lit_shift.callbacks.shift_measures import ShiftMeasures
from lit_shift.callbacks.shown_images import ShownImages
from lit_shift.callbacks.speed import Speed

__all__ = [
    "ConsistencyReadings",
    "Equivariance",
    "FilterTV",
    "LieDerivative",
    "ShiftMeasures",
    "ShownImages",
    "Speed",
]
