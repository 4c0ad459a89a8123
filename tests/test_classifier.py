from functools import partial

import torch
from pytorch_lightning import Trainer

from lit_shift.callbacks.divergence import StopOnDivergence
from lit_shift.callbacks.heartbeat import Heartbeat
from lit_shift.callbacks.progress import Progress
from lit_shift.classifier import Classifier
from lit_shift.data import Digits
from lit_shift.pool import MaxPoolBlurDS
from lit_shift.vgg import VGG13

torch_compile = torch.compile


def trained(path, compile, **how):
    """Loss and accuracy in training, on images held out and in the test, and the weights."""
    torch.manual_seed(0)
    data = Digits(128, 16, aug=True, flip=True, padding="circular", val_size=200, seed=0)
    data.setup()
    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    net = VGG13(MaxPoolBlurDS, width=4)
    classifier = Classifier(net, 10, data.mean, data.std, sgd, [0.5, 0.75], 0.1, compile=compile)
    callbacks = [Heartbeat(path / "progress.json"), Progress(), StopOnDivergence()]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **how,
    )
    trainer.fit(classifier, data)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    (tested,) = trainer.test(classifier, data, verbose=False)
    return found | tested | {"weights": [value.clone() for value in net.state_dict().values()]}


BATCHES = 10  # of the training, which 1,237 images are


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
