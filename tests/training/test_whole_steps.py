"""Trainings in whole steps against Lightning's own loop, which is the reference."""

import os
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from lit_shift.data import Digits
from lit_shift.data.loader import Images
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPoolBlurDS
from lit_shift.training.divergence import StopOnDivergence
from lit_shift.training.history import History
from lit_shift.training.module import LitClassifier
from lit_shift.training.whole_steps import USUAL, Steps, WholeSteps, why_not
from lit_shift.utils.errors import InputError

CPU, GPU = "cpu", pytest.param("gpu", marks=pytest.mark.gpu)


class FewDigits(Digits):
    """35 training images, in batches of 8 and a last one of 3."""

    def setup(self, stage=None):
        super().setup(stage)
        self.train = Images(*(part[:35] for part in self.train))


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """A GPU is to be compared with a CPU in float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def train(tmp_path, at_once, accelerator="cpu", callbacks=(), lr=0.05, fused=True, epochs=4, **options):
    """History and module of a training; its rate falls after two epochs."""
    torch.manual_seed(0)
    data = FewDigits(batch_size=8, eval_batch_size=8, aug=True, flip=True, padding="circular", val_size=0, seed=0)
    data.setup()
    optimizer = partial(torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=5e-4, fused=fused)
    module = LitClassifier(VGG13(MaxPoolBlurDS, width=4), data.mean, data.std, optimizer, [0.5], 0.1, compile=False)
    steps, history = WholeSteps(at_once), History(tmp_path / "history.csv")
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        logger=False,
        default_root_dir=os.devnull,
        callbacks=[steps, StopOnDivergence(), *callbacks, history],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        max_epochs=epochs,
        **options,
    )
    trainer.fit(module, data)
    return history.rows, module, trainer


@pytest.mark.parametrize("at_once", [2, 3, 5, 100])
@pytest.mark.parametrize("accelerator", [CPU, GPU])
def test_they_learn_what_batch_by_batch_is_learnt(tmp_path, at_once, accelerator):
    expected, plain, plain_trainer = train(tmp_path, 1)
    found, ours, trainer = train(tmp_path, at_once, accelerator)
    assert not ours.automatic_optimization
    assert trainer.global_step == plain_trainer.global_step == 20
    loose = {"rel": 1e-4} if accelerator == "gpu" else {"rel": 1e-12}
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, **loose)
    for (name, mine), theirs in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        close = {"rtol": 1e-3, "atol": 1e-4} if accelerator == "gpu" else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(mine.cpu(), theirs, **close, msg=name)


@pytest.mark.parametrize("accelerator", [CPU, GPU])
def test_five_steps_have_the_same_losses(tmp_path, accelerator, monkeypatch):
    class Losses(Callback):
        takes_chunks = True

        def __init__(self):
            self.found = []

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            self.found.append(float(outputs["loss"]))

    plain, ours = Losses(), Losses()
    train(tmp_path, 1, callbacks=[plain], epochs=1)
    summed = []
    step = Steps._step

    def watched(self, loader, size):
        before = self.loss.item()
        step(self, loader, size)
        summed.append((self.loss.item() - before) / size)

    if accelerator == "cpu":  # a graph cannot be watched
        monkeypatch.setattr(Steps, "_step", watched)
    train(tmp_path, 5, accelerator, callbacks=[ours], epochs=1)
    assert len(plain.found) == 5
    weights = [8, 8, 8, 8, 3]
    mean = sum(loss * size for loss, size in zip(plain.found, weights, strict=True)) / 35
    assert ours.found == [pytest.approx(mean, rel=1e-4 if accelerator == "gpu" else 1e-6)]
    if accelerator == "cpu":
        assert summed == pytest.approx(plain.found, rel=1e-6)


class Watcher(Callback):
    def on_before_backward(self, *_):
        pass


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches=2 is about single batches"),
        ({"gradient_clip_val": 1.0}, "trainer.gradient_clip_val=1.0 is about single batches"),
        ({"max_steps": 7}, "trainer.max_steps=7 is about single batches"),
        ({"limit_train_batches": 2}, "trainer.limit_train_batches=2 is about single batches"),
        ({"precision": "64-true"}, "trainer.precision=64-true is neither 32-true nor bf16-mixed"),
        ({"limit_train_batches": 1}, "trainer.limit_train_batches=1 is about single batches"),
        (
            {"callbacks": [GradientAccumulationScheduler({0: 1})]},
            "the callback GradientAccumulationScheduler",
        ),
        ({"fused": False}, "the optimizer reads its rate on the CPU (say +optimizer.fused=true)"),
        ({"callbacks": [Watcher()]}, "the callback Watcher needs each of them"),
    ],
)
def test_what_needs_single_batches_gets_them_and_the_reason_is_said(tmp_path, capsys, options, reason):
    found, module, _ = train(tmp_path, 3, epochs=2, **options)
    assert module.automatic_optimization
    assert f"Batches are trained one by one, which is slower on a GPU, because {reason}" in capsys.readouterr().err
    expected, *_ = train(tmp_path, 1, epochs=2, **options)
    assert found == expected


@pytest.mark.parametrize(("options", "possible"), [({}, False), ({"fused": True}, False), ({"capturable": True}, True)])
def test_an_optimizer_must_read_its_rate_on_the_device(options, possible):
    """Which a fused Adam does not."""
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], **options)
    trainer = SimpleNamespace(optimizers=[adam], world_size=1, precision="32-true", callbacks=[], **USUAL)
    trainer.datamodule = FewDigits(8, 8, False, False, "circular", 0, 0)
    assert (why_not(trainer) is None) == possible
    trainer.datamodule = None
    assert why_not(trainer)


def test_anomalies_are_looked_for_step_by_step(tmp_path):
    found, *_ = train(tmp_path, 3, epochs=1, detect_anomaly=True)
    expected, *_ = train(tmp_path, 3, epochs=1)
    assert found == expected


@pytest.mark.parametrize("accelerator", [CPU, GPU])
def test_a_diverged_training_stops(tmp_path, accelerator):
    with pytest.raises(InputError, match=r"The (loss became|weights are no longer finite).* in epoch 1 at lr 1e\+30;"):
        train(tmp_path, 3, accelerator, lr=1e30)


def test_a_run_keeps_its_number_of_steps(tmp_path):
    _, _, trainer = train(tmp_path, 3, epochs=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = WholeSteps(2)
    again.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["WholeSteps"])
    with pytest.raises(InputError, match=r"steps_at_once=3 so far, which cannot become 2: say the same again"):
        again.on_train_start(trainer, trainer.lightning_module)
