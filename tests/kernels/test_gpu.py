import sys

import pytest
import torch

from lit_shift.kernels.gpu import _tried, runs_on


def test_without_its_kernels_a_gpu_takes_several_steps_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "lit_shift.kernels.triton_pool", None)
    monkeypatch.delattr("lit_shift.kernels.triton_pool", raising=False)
    with pytest.warns(
        UserWarning,
        match=r"several steps, which is slower: their kernels do not run here \(ModuleNotFoundError: .+\)",
    ):
        assert not _tried.__wrapped__(torch.device("cuda", 0))


@pytest.mark.parametrize("runs", [True, False])
def test_a_compiled_network_takes_the_answer_as_it_is(runs, monkeypatch):
    monkeypatch.setattr("lit_shift.kernels.gpu._tried", lambda device: runs)
    torch.compiler.reset()
    compiled = torch.compile(lambda x: x + 1 if runs_on(x.device) else x - 1, backend="eager", fullgraph=True)
    assert compiled(torch.zeros(1)).item() == (1 if runs else -1)
