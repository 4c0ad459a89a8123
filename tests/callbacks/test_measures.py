"""What is logged is the measure of the right images, computed by brute force here."""

from functools import partial
from itertools import product

import pytest
import torch
from pytorch_lightning import Trainer

from lit_shift import functional
from lit_shift.callbacks import FilterTV, ShiftMeasures
from lit_shift.classifier import Classifier
from lit_shift.data import Digits
from lit_shift.data.loader import Images
from lit_shift.pool import MaxPool
from lit_shift.shifts import draw_offsets, roll, seeded
from lit_shift.vgg import VGG13


class FewDigits(Digits):
    """Seven test images, in batches of 3, 3 and 1."""

    def setup(self, stage=None):
        super().setup(stage)
        self.test = Images(*(part[:7] for part in self.test))


@pytest.fixture
def data():
    module = FewDigits(batch_size=64, eval_batch_size=3, aug=False, flip=False, padding="circular", val_size=0, seed=0)
    module.setup()
    return module


def classifier(data, padding):
    torch.manual_seed(0)
    net = VGG13(partial(MaxPool, padding=padding), width=4, padding=padding)
    optimizer = partial(torch.optim.SGD, lr=0.01)
    return Classifier(net, 10, data.mean, data.std, optimizer, milestones=[0.5], gamma=0.1, compile=False)


def trainer(*callbacks, **options):
    return Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        **options,
    )


def logits_at(module, pixels, offsets):
    with torch.no_grad():
        return torch.stack([module(roll(pixels, shift)) for shift in offsets.unbind(1)], dim=1)


def expected(logits, labels, sampled):
    return {
        "accuracy_random": functional.accuracy_random(logits, labels).item(),
        "consistency": functional.consistency(logits, sampled).item(),
        "variation": functional.variation(logits, labels, sampled).item(),
    }


def test_all_shifts_of_the_whole_test_set(data):
    module = classifier(data, "circular")
    run = trainer(ShiftMeasures(1, 4, 8, 0), FilterTV(1))
    run.test(module, data, verbose=False)
    offsets = torch.tensor(list(product(range(32), repeat=2))).expand(7, -1, -1)
    logits = logits_at(module.eval(), data.test.pixels, offsets)
    logged = {key: value.item() for key, value in run.callback_metrics.items()}
    for name, value in expected(logits, data.test.labels, sampled=False).items():
        assert logged[f"test/{name}"] == pytest.approx(value, rel=1e-4)
    correct = (logits[:, 0].argmax(1) == data.test.labels).float().mean()
    assert logged["test/accuracy"] == pytest.approx(correct.item())
    assert logged["test/images"] == 7
    assert logged["test/shifts"] == 1024
    for block, i in product(range(1, 6), (1, 2)):
        weight = getattr(module.net.features, f"conv{block}_{i}").weight
        assert logged[f"tv/conv{block}_{i}"] == pytest.approx(functional.total_variation(weight).item())


def test_a_seeded_sample_of_shifts_where_boundaries_are_not_circular(data):
    module = classifier(data, "zeros")
    run = trainer(ShiftMeasures(1, 4, 8, seed=5))
    run.test(module, data, verbose=False)
    offsets = draw_offsets((7, 8), 32, 32, seeded(5))
    values = expected(logits_at(module.eval(), data.test.pixels, offsets), data.test.labels, sampled=True)
    for name, value in values.items():
        assert run.callback_metrics[f"test/{name}"].item() == pytest.approx(value, rel=1e-4)
    assert run.callback_metrics["test/shifts"] == 8


def test_during_training_a_subset_every_n_epochs_without_touching_the_training(data):
    """The weights of a training that is measured are those of one that is not."""
    seen = {}

    class Watched(ShiftMeasures):
        def _log(self, stage):
            super()._log(stage)
            seen.setdefault(stage, []).append(self.probe.module.current_epoch + 1)

    measured, plain = classifier(data, "circular"), classifier(data, "circular")
    options = {"max_epochs": 3, "limit_train_batches": 2}
    trainer(Watched(2, 4, 8, 0), **options).fit(measured, data)
    trainer(**options).fit(plain, data)
    assert seen == {"subset": [2]}
    weights = zip(measured.net.state_dict().values(), plain.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
