from collections import Counter
from functools import partial

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch.utils._python_dispatch import TorchDispatchMode

from lit_shift.callbacks import Heartbeat, Progress, StopOnDivergence
from lit_shift.classifier import Classifier
from lit_shift.data import Digits
from lit_shift.pool import MaxPoolBlurDS
from lit_shift.vgg import VGG13


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


def train(switch, folder, *more, accelerator="cpu"):
    data = Digits(128, 16, aug=True, flip=True, padding="circular", val_size=0, seed=0)
    data.setup()
    net = VGG13(MaxPoolBlurDS, width=4)
    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    classifier = Classifier(net, 10, data.mean, data.std, sgd, [0.5, 0.75], 0.1, compile=False)
    callbacks = [Within(switch), StopOnDivergence(), Heartbeat(folder / "progress.json"), Progress(), *more]
    off = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "limit_val_batches": 0}
    trainer = Trainer(accelerator=accelerator, max_epochs=2, callbacks=callbacks, use_distributed_sampler=False, **off)
    trainer.fit(classifier, data)


@pytest.fixture
def looking_now_and_then(monkeypatch):
    """Heartbeat and Progress look whenever they may."""
    monkeypatch.setattr(Heartbeat, "SECONDS", 0)
    monkeypatch.setattr(Progress, "REFRESH_SECONDS", 0)


def test_nothing_waits_for_the_device_within_an_epoch(looking_now_and_then, monkeypatch, tmp_path):
    for name in ("divergence", "heartbeat", "progress"):  # as on a GPU
        monkeypatch.setattr(f"lit_shift.callbacks.{name}.may_look", lambda trainer: trainer.is_last_batch)
    with Waits() as waits:
        train(lambda on: setattr(waits, "on", on), tmp_path)
    assert waits.seen == {}


def test_a_look_is_seen(looking_now_and_then, tmp_path):
    """The test above can fail: on a CPU, where nothing is lost by it, the callbacks look at every batch."""
    with Waits() as waits:
        train(lambda on: setattr(waits, "on", on), tmp_path)
    assert waits.seen["aten._local_scalar_dense.default"] >= 3 * 2 * 9  # callbacks, epochs, batches


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_nothing_waits_for_a_gpu_within_an_epoch(looking_now_and_then, tmp_path):
    try:
        train(lambda on: torch.cuda.set_sync_debug_mode("error" if on else "default"), tmp_path, accelerator="gpu")
    finally:
        torch.cuda.set_sync_debug_mode("default")
