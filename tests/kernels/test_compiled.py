"""The Triton kernels compiled for GPUs that need not be there."""

from itertools import product

import pytest

pytest.importorskip("triton", reason="Triton is not made for this machine")
from benchmarks.kernels import CAPABILITIES, FLOATS, SHAPES, report, works

CASES = list(product([(SHAPES[0], "tri5"), (SHAPES[1], "pascal7")], CAPABILITIES, FLOATS))


@pytest.mark.parametrize(
    ("map_and_filter", "capability", "dtype"),
    [CASES[0], *(pytest.param(*case, marks=pytest.mark.rough) for case in CASES[1:])],
)
def test_nothing_is_spilled_and_threads_move_many_bytes_at_once(map_and_filter, capability, dtype):
    shape, filter = map_and_filter
    names = []
    for work in works(filter, shape, dtype):
        names.append(work.kernel.__name__)
        found = report(work, capability)
        assert found.spilled == 0, names[-1]
        assert found.registers <= 200, names[-1]  # two programs of 128 threads fit into a multiprocessor
        assert found.bytes >= 8, names[-1]
    assert len(names) == 8
