"""A signal ends a measurement before the next layer is run, whatever is measured. No clock: layers are counted."""

import os
import signal

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

from lit_shift.classifiers.classifier import Classifier, View
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.data.loader import Images
from lit_shift.data.sources import InMemory
from lit_shift.data.subset import Collections
from lit_shift.evaluation.folder import write
from lit_shift.evaluation.path_measures import Settings
from lit_shift.evaluation.path_module import Measurement
from lit_shift.evaluation.vote_module import Voting
from lit_shift.protocols.roll import Circular
from lit_shift.runs.findings import Findings
from lit_shift.training.signals import KeepMeasured, StopOnSignal, Stopped, leave_if_interrupted
from tests.small_training import train_digits

IMAGES, SIZE, LAYERS = 4, 8, 3
CHUNK = 4  # frames that go through the network at once


class Signalling(nn.Module):
    """A layer that counts how often it is run, and sends a signal in the n-th time."""

    def __init__(self, counter, number):
        super().__init__()
        self.counter, self.number = counter, number

    def forward(self, x):
        self.counter.append(None)
        if len(self.counter) == self.number:
            os.kill(os.getpid(), signal.SIGTERM)
        return x


def measured(make, number):
    """Measure four images, with a signal in the n-th layer that is run; how many are run, the trainer, the module."""
    counter = []
    torch.manual_seed(0)
    net = nn.Sequential(*(Signalling(counter, number) for _ in range(LAYERS)), nn.Flatten(), nn.Linear(3 * SIZE**2, 3))
    module = make(Classifier(net, [0] * 3, [1] * 3, list("abc"), View(SIZE, SIZE)))
    pixels = torch.randint(256, (IMAGES, 3, SIZE, SIZE), dtype=torch.uint8)
    images = InMemory(Images(pixels, torch.tensor([0, 1, 2, 0])), list("abc"))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=os.devnull,
        callbacks=[KeepMeasured()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.test(module, Collections([images], None, 0, [2], [1], False), verbose=False)
    return len(counter), trainer, module


def along_a_path(classifier):
    settings = Settings([1], 0.2, 0.1, CHUNK, by_label=True)
    return Measurement(classifier, {"circular": Circular("grid", 1, 0)}, settings, look_into_layers=False)


def by_votes(classifier):
    return Voting(TestTimeAugmentation(classifier, 5, "shift", "mean", 0), by_label=True)


PASSES = 1 + SIZE**2 // CHUNK  # of an image, whole and along the path
VOTES = 2 * 5  # likewise: two copies, five votes


@pytest.mark.parametrize(
    ("make", "key", "layers", "after"),
    [(along_a_path, "circular/n", PASSES * LAYERS, PASSES * LAYERS), (by_votes, "tta/n", VOTES * LAYERS, 0)],
)
def test_no_layer_is_run_after_a_signal(make, key, layers, after):
    """Wherever it comes: in the first image, in the midst or at the end of another, while pictures are made."""
    before = signal.getsignal(signal.SIGTERM)
    everything, trainer, _ = measured(make, 0)
    assert everything == IMAGES * layers + after  # and then the frames of the image that is shown
    assert trainer.callback_metrics[key] == IMAGES
    for number in (1, layers - 1, layers, layers + 1, 2 * layers + LAYERS + 2, IMAGES * layers, everything):
        run, trainer, module = measured(make, number)
        assert run == number
        whole = min((number - 1) // layers, IMAGES)
        assert trainer.callback_metrics.get(key, 0) == whole
        assert signal.getsignal(signal.SIGTERM) == before
        assert "circular/curve" not in module.arrays
        assert not any(child._forward_pre_hooks for child in module.classifier.modules())
        with pytest.raises(Stopped):
            leave_if_interrupted(trainer)


def test_what_is_not_measured_is_not_written(tmp_path):
    write(Findings("nothing", {}, {}, [], {}), tmp_path / "out", "eval", signal.SIGTERM)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch", [0, 1])
def test_a_training_leaves_its_first_batch_at_once_and_finishes_another(tmp_path, batch):
    """Of the first one, which torch.compile may make minutes of, there is nothing to save."""
    done = []

    class Interrupt(StopOnSignal):
        def on_train_batch_start(self, trainer, pl_module, _, batch_idx):
            if batch_idx == batch:
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("begun")

        def on_train_batch_end(self, trainer, *rest):
            done.append("ended")
            super().on_train_batch_end(trainer, *rest)

    with pytest.raises(Stopped) as stopped:
        train_digits(Interrupt(tmp_path / "last.ckpt"), max_epochs=1, accelerator="cpu")
    assert stopped.value.code == 128 + signal.SIGTERM
    assert done == [[], ["ended", "begun", "ended"]][batch]
    assert (tmp_path / "last.ckpt").exists() == bool(batch)
