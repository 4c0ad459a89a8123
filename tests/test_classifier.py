import math

import pytest
import torch

from lit_shift.callbacks import Equivariance, Heartbeat, Progress, ShiftMeasures, StopOnDivergence
from lit_shift.classifier import Classifier
from tests.training import train_digits

torch_compile = torch.compile


def trained(path, **how):
    """Loss and accuracy in training, on images held out and in the test, and the weights."""
    watching = [Heartbeat(path / "progress.json"), Progress(), StopOnDivergence()]
    trainer, classifier, data = train_digits(*watching, val_size=200, accelerator="cpu", max_epochs=1, **how)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    (tested,) = trainer.test(classifier, data, verbose=False)
    return found | tested | {"weights": [value.clone() for value in classifier.net.state_dict().values()]}


BATCHES = 10


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
    log = Classifier.log
    monkeypatch.setattr(
        Classifier, "log", lambda self, name, *rest, **how: logged.append(name) or log(self, name, *rest, **how)
    )
    train_digits(accelerator="cpu", max_epochs=2)
    assert logged == 2 * ["train/loss", "train/accuracy", "lr"]


def test_an_epoch_that_is_cut_short_is_logged():
    trainer, _, _ = train_digits(StopOnDivergence(), accelerator="cpu", max_steps=3)
    assert trainer.global_step == 3
    assert trainer.callback_metrics["train/loss"] == pytest.approx(math.log(10), rel=0.2)
