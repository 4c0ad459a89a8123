import json
from collections import Counter
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from lit_shift.training.divergence import StopOnDivergence
from lit_shift.training.heartbeat import Heartbeat
from lit_shift.training.look import may_look
from lit_shift.training.progress import Progress
from lit_shift.utils.errors import InputError
from tests.small_training import train_digits


class Waits(TorchDispatchMode):
    """Counts what makes a program wait for a device's result, or for a shape that depends on one, where ``on``."""

    OPS = (
        torch.ops.aten._local_scalar_dense,
        torch.ops.aten.is_nonzero,
        torch.ops.aten.nonzero,
        torch.ops.aten.masked_select,
        torch.ops.aten.equal,
        torch.ops.aten._unique2,
        torch.ops.aten.bincount,
    )

    def __init__(self):
        super().__init__()
        self.on = False
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.on and func.overloadpacket in self.OPS:
            self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


class Within(Callback):
    """Switches on from the second batch of an epoch to the last one."""

    def __init__(self, switch):
        self.switch = switch

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.switch(batch_idx > 0 and not trainer.is_last_batch)


@pytest.fixture
def lookers(monkeypatch, tmp_path):
    """Callbacks that look at what a batch has computed, whenever they may, by the module that they are in."""
    monkeypatch.setattr(Heartbeat, "SECONDS", 0)
    monkeypatch.setattr(Progress, "REFRESH_SECONDS", 0)
    return {
        "divergence": StopOnDivergence(),
        "heartbeat": Heartbeat(tmp_path / "progress.json"),
        "progress": Progress(),
    }


@pytest.fixture
def as_on_a_gpu(monkeypatch, lookers):
    for name in lookers:
        monkeypatch.setattr(f"lit_shift.training.{name}.may_look", lambda trainer: trainer.is_last_batch)


@pytest.mark.parametrize(
    ("device", "last", "expected"),
    [("cpu", False, True), ("cpu", True, True), ("cuda", False, False), ("cuda", True, True)],
)
def test_within_an_epoch_one_may_look_at_a_cpu(device, last, expected):
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), is_last_batch=last)
    assert may_look(trainer) == expected


def test_nothing_waits_for_the_device_within_an_epoch(lookers, as_on_a_gpu):
    with Waits() as waits:
        train_digits(Within(lambda on: setattr(waits, "on", on)), *lookers.values(), max_epochs=2, accelerator="cpu")
    assert waits.seen == {}


@pytest.mark.parametrize("name", ["divergence", "heartbeat", "progress"])
def test_a_look_is_seen(name, lookers):
    """The test above can fail: on a CPU, where nothing is lost by it, each looks at every batch."""
    with Waits() as waits:
        train_digits(Within(lambda on: setattr(waits, "on", on)), lookers[name], max_epochs=1, accelerator="cpu")
    assert waits.seen["aten._local_scalar_dense.default"] >= 10


@pytest.mark.gpu
def test_nothing_waits_for_a_gpu_within_an_epoch(lookers):
    try:
        mode = Within(lambda on: torch.cuda.set_sync_debug_mode("error" if on else "default"))
        train_digits(mode, *lookers.values(), max_epochs=2, accelerator="gpu")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_time_left_goes_by_batches_whatever_their_size(lookers, as_on_a_gpu, monkeypatch):
    """And the accuracy by the last look."""
    heartbeat, told, accuracies = lookers["heartbeat"], [], []
    heartbeat.path.write_text("of a training that was killed")
    ticks = count()
    monkeypatch.setattr("lit_shift.training.heartbeat.time", SimpleNamespace(monotonic=lambda: next(ticks)))

    class Listener(Callback):
        def on_train_start(self, trainer, module):
            assert not heartbeat.path.exists()

        def on_train_batch_end(self, trainer, module, outputs, *_):
            told.append(json.loads(heartbeat.path.read_text()))
            accuracies.append(outputs["accuracy"].item())

    train_digits(heartbeat, Listener(), max_epochs=2, accelerator="cpu")
    assert [progress["seconds_left"] for progress in told] == list(range(23, -1, -1))
    assert [progress["epoch"] for progress in told] == [1] * 12 + [2] * 12
    looked = [None] * 11 + [accuracies[11]] * 12 + [accuracies[23]]
    assert [progress["accuracy"] for progress in told] == looked


def test_no_checkpoint_is_made_of_a_network_that_has_diverged_since_the_last_look(lookers, as_on_a_gpu, tmp_path):
    class Stopper(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if batch_idx == 5:
                next(module.parameters()).data.fill_(torch.nan)
                trainer.save_checkpoint(tmp_path / "last.ckpt")

    with pytest.raises(InputError, match=r"weights are no longer finite in epoch 1 .* there is no checkpoint yet"):
        train_digits(lookers["divergence"], Stopper(), max_epochs=2, accelerator="cpu")
    assert not (tmp_path / "last.ckpt").exists()
