"""What is to become a CUDA graph, tried on imagined tensors of a GPU that is not there.

PyTorch's fake tensors have a shape, a type and a device, and no values. An operation whose result depends on values,
for which a program would have to wait, raises an error, and so does one with tensors of several devices. Copies from
the CPU, which no graph can hold, are recorded.
"""

from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lit_shift.data.chunks import ChunkLoader
from lit_shift.data.loader import Augmentation, Images
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import orbit_logits
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.training.module import LitClassifier
from lit_shift.training.whole_steps import Steps

GPU = torch.device("cuda")


class OnCPU(TorchDispatchMode):
    """Records operations in which a tensor on the CPU takes part, and counts all."""

    def __init__(self):
        super().__init__()
        self.found, self.operations = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.found.append(str(func))
        return result


@pytest.fixture(params=[MaxPool, MaxPoolBlurDS, AvgPool])
def module(request, monkeypatch):
    """A classifier on the GPU, whose pools and norms take several steps, within the imagination."""
    for kernel in ("gpu_norm", "gpu_pool"):
        monkeypatch.setattr(f"lit_shift.kernels.{kernel}.runs_on", lambda device: False)
    monkeypatch.setattr(  # made once, before any graph
        "lit_shift.pools.pool.decimation_matrix",
        lambda taps, size, stride, padding, dtype, device: torch.empty(
            size // stride, size, dtype=dtype, device=device
        ),
    )
    # The engine of backward passes needs a real GPU.
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: None)
    optimizer = partial(torch.optim.SGD, lr=0.1)
    net = VGG13(request.param, width=2)
    made = LitClassifier(net, torch.zeros(3), torch.ones(3), optimizer, [0.5], 0.1, compile=False)
    with FakeTensorMode():
        for part in (made, *net.modules()):
            for name, tensor in list(part._parameters.items()):
                if tensor is not None:
                    part._parameters[name] = nn.Parameter(torch.empty(tensor.shape, device=GPU))
            for name, tensor in list(part._buffers.items()):
                part._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device=GPU)
        yield made


def test_a_training_step_asks_nothing_of_the_cpu(module):
    pixels = torch.zeros(35, 3, 32, 32, dtype=torch.uint8, device=GPU)
    images = Images(pixels, torch.zeros(35, dtype=torch.int64, device=GPU))
    loader = ChunkLoader(5, images, 8, Augmentation(flip=True, shift=True))
    steps = Steps(module.forward, module.make_optimizer(module.parameters()), torch.device("cpu"))
    steps.device, steps.loss, steps.right = GPU, steps.loss.to(GPU), steps.right.to(GPU)
    with OnCPU() as cpu:
        for size in (8, 3):
            steps._step(loader, size)
    assert cpu.found == []
    assert cpu.operations > 1000


def test_neither_do_all_shifts_at_once(module):
    with OnCPU() as cpu:
        assert orbit_logits(module.net.eval(), torch.empty(2, 3, 32, 32, device=GPU)).shape == (2, 32, 32, 10)
    assert cpu.found == []


def test_what_cannot_be_a_graph_is_seen():
    with FakeTensorMode(), OnCPU() as cpu:
        x = torch.zeros(2, device=GPU)
        x + torch.tensor([1.0, 2.0]).to(GPU)
        assert cpu.found
        with pytest.raises(DataDependentOutputException):
            x.sum().item()
