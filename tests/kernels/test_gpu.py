import sys

import pytest
import torch

from lit_shift.kernels.gpu import runs_on


def test_without_its_kernels_a_gpu_takes_several_steps_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "lit_shift.kernels.triton_pool", None)
    monkeypatch.delattr("lit_shift.kernels.triton_pool", raising=False)
    with pytest.warns(
        UserWarning,
        match=r"several steps, which is slower: their kernels do not run here \(ModuleNotFoundError: .+\)",
    ):
        assert not runs_on.__wrapped__(torch.device("cuda", 0))
