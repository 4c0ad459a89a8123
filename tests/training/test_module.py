import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning import Callback

from lit_shift.callbacks import Equivariance, ShiftMeasures
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPoolBlurDS
from lit_shift.training.divergence import StopOnDivergence
from lit_shift.training.heartbeat import Heartbeat
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import Progress
from tests.small_training import train_digits

torch_compile = torch.compile


def trained(path, **how):
    """Loss and accuracy in training, on images held out and in the test, and the weights."""
    watching = [Heartbeat(path / "progress.json"), Progress(), StopOnDivergence()]
    trainer, classifier, data = train_digits(*watching, val_size=200, accelerator="cpu", max_epochs=1, **how)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    (tested,) = trainer.test(classifier, data, verbose=False)
    return found | tested | {"weights": [value.clone() for value in classifier.net.state_dict().values()]}


BATCHES = 10


@pytest.mark.rough
def test_a_compiled_training_learns_the_same(monkeypatch, tmp_path):
    asked = []

    def compiled(function, **how):
        asked.append(how)
        return torch_compile(function, backend="aot_eager", fullgraph=True, dynamic=how["dynamic"])

    expected = trained(tmp_path, compile=False, limit_train_batches=4)
    assert not asked
    monkeypatch.setattr(torch, "compile", compiled)
    found = trained(tmp_path, compile=True, limit_train_batches=4)
    assert asked == [{"mode": "reduce-overhead", "dynamic": False}]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.rough
def test_what_is_measured_between_epochs_does_not_make_it_compile_anew(monkeypatch):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", lambda function, **how: torch_compile(function, backend=backend))
    measures = ShiftMeasures(every_n_epochs=1, images=4, shifts=2, seed=0)
    equivariance = Equivariance(every_n_epochs=1, images=4, seed=0, every_layer=False)
    train_digits(measures, equivariance, compile=True, accelerator="cpu", max_epochs=3)
    assert len(graphs) == 2  # of whole batches and of an epoch's last


def test_of_a_compiled_network_nothing_is_kept(monkeypatch, tmp_path):
    """A CUDA graph writes what it returns, logits and gradients, over what it returned before; it trains alone."""
    calls = []

    def overwriting(function, **how):
        logits = torch.empty(())

        def replay(x):
            nonlocal logits
            calls.append(len(x))
            for returned in [logits, *(weight.grad for weight in function.__self__.parameters())]:
                if returned is not None:
                    returned.fill_(float("nan"))
            y = function(x)
            logits = y.detach()
            return y

        return replay

    expected = trained(tmp_path, compile=False)
    monkeypatch.setattr(torch, "compile", overwriting)
    torch.testing.assert_close(trained(tmp_path, compile=True), expected, rtol=0, atol=0)
    assert len(calls) == BATCHES


def test_gradients_that_are_added_up_are_kept_from_cuda_graphs(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **how: asked.append(how) or function)
    trained(tmp_path, compile=True, accumulate_grad_batches=2)
    assert asked == [{"mode": "default", "dynamic": False}]


def test_an_epoch_is_logged_once(monkeypatch):
    logged = []
    log = LitClassifier.log
    monkeypatch.setattr(
        LitClassifier, "log", lambda self, name, *rest, **how: logged.append(name) or log(self, name, *rest, **how)
    )
    train_digits(accelerator="cpu", max_epochs=2)
    assert logged == 2 * ["train/loss", "train/accuracy", "lr"]


def test_an_epoch_that_is_cut_short_is_logged():
    trainer, _, _ = train_digits(StopOnDivergence(), accelerator="cpu", max_steps=3)
    assert trainer.global_step == 3
    assert trainer.callback_metrics["train/loss"] == pytest.approx(math.log(10), rel=0.2)


def literal_test(classifier, images):
    """Loss and accuracy of a classifier's weights in float32, all images at once."""
    net = VGG13(MaxPoolBlurDS, width=2)
    net.load_state_dict({name: value.float() for name, value in classifier.net.state_dict().items()})
    mean, std = classifier.mean.float(), classifier.std.float()
    with torch.no_grad():
        logits = net.eval()((images.pixels.float() / 255 - mean) / std)
    losses = F.cross_entropy(logits, images.labels, reduction="none")
    return losses.double().mean().item(), (logits.argmax(1) == images.labels).double().mean().item()


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "32-true"])
def test_what_is_reported_is_of_float32_whatever_the_precision_of_the_training(precision):
    trainer, classifier, data = train_digits(val_size=200, accelerator="cpu", max_epochs=1, precision=precision)
    found = dict(trainer.callback_metrics)
    found |= trainer.test(classifier, data, verbose=False)[0]
    for stage, images in (("val", data.val), ("test", data.test)):
        loss, accuracy = literal_test(classifier, images)
        assert float(found[f"{stage}/loss"]) == pytest.approx(loss, rel=1e-5)
        assert float(found[f"{stage}/accuracy"]) == pytest.approx(accuracy, abs=1e-6)


def test_the_loss_in_training_loses_count_of_no_image():
    class Losses(Callback):
        total = images = 0

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.total += outputs["loss"].item() * len(batch.labels)
            self.images += len(batch.labels)

    losses = Losses()
    trainer, _, _ = train_digits(losses, accelerator="cpu", max_epochs=1, precision="bf16-true")
    assert losses.images == 1437
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(losses.total / 1437, rel=1e-5)
