"""Images whose outputs are not finite: left out of every measure, or an error."""

from collections import OrderedDict
from functools import partial

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

from lit_shift.answers import answered
from lit_shift.callbacks import ConsistencyReadings, Equivariance, LieDerivative, ShiftMeasures, ShownImages
from lit_shift.classifiers.classifier import Classifier, View
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.data import Digits
from lit_shift.data.loader import Images
from lit_shift.data.sources import InMemory
from lit_shift.data.subset import Collections
from lit_shift.evaluation.path_measures import Settings
from lit_shift.evaluation.path_module import Measurement
from lit_shift.evaluation.vote_module import Voting
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPool
from lit_shift.protocols.roll import Circular
from lit_shift.training.module import LitClassifier
from lit_shift.utils.errors import InputError

BAD, GOOD = [2, 5], [0, 1, 3, 4, 6]
SENTENCE = "^The network's outputs for {} of {} images are not finite: .* skip_bad=true, which leaves"


class Gate(nn.Module):
    """Makes NaN of an image that holds a brightest pixel, wherever that is."""

    def forward(self, x):
        return x.where(x.amax((1, 2, 3), keepdim=True) < 3.9, torch.nan)


class GatedDigits(Digits):
    """Seven test images, of which two hold such a pixel; with ``only_good`` those without."""

    only_good = False

    def setup(self, stage=None):
        super().setup(stage)
        pixels = self.test.pixels[:7] // 2
        pixels[BAD, 0, 3, 4] = 255
        self.mean, self.std = torch.zeros(3), torch.full((3,), 0.25)
        self.test = Images(pixels, self.test.labels[:7])
        if self.only_good:
            self.test = self.test.select(torch.tensor(GOOD))


def digits(bad):
    data = GatedDigits(64, 3, aug=False, flip=False, padding="circular", val_size=0, seed=0)
    data.only_good = not bad
    data.setup()
    data.setup = lambda stage=None: None
    return data


def network():
    """Of random weights, each layer normalised, so that shifts confuse it, behind the gate."""
    torch.manual_seed(0)
    net = VGG13(MaxPool, width=3).requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    net(torch.randn(8, 3, 32, 32))
    net.features = nn.Sequential(OrderedDict(gate=Gate(), **dict(net.features.named_children())))
    return net.eval()


def trainer(*callbacks):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", callbacks=list(callbacks), enable_model_summary=False, **quiet)


def outcome(bad, skip_bad, padding="circular"):
    """What a test logs and leaves of the digits with or without the bad ones."""
    data = digits(bad)
    module = LitClassifier(network(), data.mean, data.std, partial(torch.optim.SGD, lr=0.1), [0.5], 0.1, compile=False)
    module.skip_bad = skip_bad
    module.net.features.conv1_1.padding_mode = padding
    measures, shown = ShiftMeasures(1, 4, 4, 0), ShownImages([2, 4], 0, 7, 0)
    readings, rates = ConsistencyReadings("all", 0), LieDerivative("all", 0)
    run = trainer(measures, Equivariance(1, "all", 0, False), rates, readings, shown)
    run.test(module, data, verbose=False)
    return {key: float(value) for key, value in run.callback_metrics.items()}, module.arrays


def test_answered_is_a_literal_loop(rng):
    first, second = torch.randn(6, 2, 3, generator=rng), torch.randn(6, 1, generator=rng)
    assert answered(False, first, second).all()
    first[1, 0, 2], first[2, 1, 1], second[4] = torch.nan, torch.inf, -torch.inf
    assert answered(True, first, second).tolist() == [True, False, False, True, False, True]
    with pytest.raises(InputError, match=SENTENCE.format(3, 6)):
        answered(False, first, second)
    assert answered(False, first[:0]).tolist() == []


def test_a_test_leaves_them_out_of_every_measure_and_counts_them():
    found, arrays = outcome(bad=True, skip_bad=True)
    expected, others = outcome(bad=False, skip_bad=True)
    assert (found.pop("test/bad"), expected.pop("test/bad")) == (2, 0)
    assert found["test/images"] == 5
    assert found["test/complete"] == 1
    assert found.keys() == expected.keys()
    assert {"test/accuracy", "test/loss", "test/mad", "equivariance/softmax", "consistency/half_pixel"} <= found.keys()
    assert {"test/lie_derivative", "test/bandwidth", "lie_derivative/pool5"} <= found.keys()
    for key, value in expected.items():
        if not key.startswith("consistency/once_per_batch"):  # whose draws are for batches in their order
            rounding = (
                1e-3 if "lie_derivative" in key else 1e-4
            )  # of equal samples, it decides whose rate a maximum has
            assert found[key] == pytest.approx(value, rel=rounding, abs=1e-6), key
    assert arrays["labels"].tolist() == digits(True).test.labels.tolist()
    for name in ("accuracy", "accuracy_random", "consistency", "variation", "flip_rate", "diagonal"):
        assert np.isnan(arrays[name][BAD]).all()
        np.testing.assert_allclose(arrays[name][GOOD], others[name], rtol=1e-3, atol=1e-6)
    assert arrays["chosen"].tolist() == [4]
    assert sorted(arrays["shown"]) == GOOD
    assert np.isfinite(arrays["probabilities"]).all()


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_a_test_says_how_many_and_stops(padding):
    with pytest.raises(InputError, match=SENTENCE.format(1, 3)):
        outcome(bad=True, skip_bad=False, padding=padding)


def test_a_network_that_answers_nothing_cannot_be_measured(monkeypatch):
    monkeypatch.setattr(Gate, "forward", lambda self, x: x * torch.nan)
    with pytest.raises(InputError, match=SENTENCE.format(3, 3)):
        outcome(bad=True, skip_bad=False)
    with pytest.raises(InputError, match="outputs are not finite for any image"):
        outcome(bad=True, skip_bad=True)


def collections(bad):
    data = digits(bad)
    return Collections([InMemory(data.test, data.classes)], None, 0, [2, 3] if bad else [], [3], skip_bad=False)


def classifier():
    return Classifier(network(), [0] * 3, [0.25] * 3, [str(digit) for digit in range(10)], View(32, 32))


def measured(bad, skip_bad, by_label):
    settings = Settings([1, 5], 0.2, 0.1, 64, by_label, skip_bad)
    module = Measurement(classifier(), {"circular": Circular("vertical", 1, 0)}, settings, look_into_layers=True)
    run = trainer()
    run.test(module, collections(bad), verbose=False)
    return {key: float(value) for key, value in run.callback_metrics.items()}, module.arrays


@pytest.mark.parametrize("by_label", [True, False])
def test_a_protocol_leaves_them_out_of_every_measure_and_counts_them(by_label):
    found, arrays = measured(True, True, by_label)
    expected, _ = measured(False, True, by_label)
    assert (found.pop("circular/skipped"), expected.pop("circular/skipped")) == (2, 0)
    assert found["circular/n"] == 5
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)
    assert sorted(arrays["circular/places"]) == GOOD
    assert arrays["circular/shown"].tolist() == [3]
    with pytest.raises(InputError, match="of 3 images are not finite"):
        measured(True, False, by_label)


@pytest.mark.parametrize(("by_label", "vote"), [(True, "mean"), (False, "majority")])
def test_a_vote_leaves_them_out_and_counts_them(by_label, vote):
    voting = Voting(TestTimeAugmentation(classifier(), 2, "shift", vote, 0), by_label, skip_bad=True)
    run = trainer()
    run.test(voting, collections(bad=True), verbose=False)
    assert [run.callback_metrics[f"tta/{key}"] for key in ("n", "skipped", "complete")] == [5, 2, 1]
    assert all(value.isfinite() for value in run.callback_metrics.values())
    voting.skip_bad = False
    with pytest.raises(InputError, match="of 3 images are not finite"):
        run.test(voting, collections(bad=True), verbose=False)


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_a_ballot_without_a_finite_answer_is_no_vote_for_the_first_class(vote):
    images = torch.zeros(2, 3, 32, 32)
    images[1] = 1
    answers = TestTimeAugmentation(classifier(), 3, "shift", vote, 0).answer(images, [(0, 1), (1, 1)])
    assert answers.isnan().all(1).tolist() == [False, True]
