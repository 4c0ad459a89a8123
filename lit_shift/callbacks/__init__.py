"""When to measure, on which images, under which key; and what keeps a training safe."""

from lit_shift.callbacks.consistency_readings import ConsistencyReadings
from lit_shift.callbacks.divergence import StopOnDivergence
from lit_shift.callbacks.equivariance import Equivariance
from lit_shift.callbacks.filter_tv import FilterTV
from lit_shift.callbacks.heartbeat import Heartbeat
from lit_shift.callbacks.history import History
from lit_shift.callbacks.progress import Progress
from lit_shift.callbacks.shift_measures import ShiftMeasures
from lit_shift.callbacks.shown_images import ShownImages
from lit_shift.callbacks.stop import KeepMeasured, StopOnSignal

__all__ = [
    "ConsistencyReadings",
    "Equivariance",
    "FilterTV",
    "Heartbeat",
    "History",
    "KeepMeasured",
    "Progress",
    "ShiftMeasures",
    "ShownImages",
    "StopOnDivergence",
    "StopOnSignal",
]
