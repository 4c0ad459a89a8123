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


def trained(path, compile):
    """Loss and accuracy, in training and after it, and the weights."""
    torch.manual_seed(0)
    data = Digits(128, 16, aug=True, flip=True, padding="circular", val_size=0, seed=0)
    data.setup()
    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    net = VGG13(MaxPoolBlurDS, width=4)
    classifier = Classifier(net, 10, data.mean, data.std, sgd, [0.5, 0.75], 0.1, compile=compile)
    callbacks = [Heartbeat(path / "progress.json"), Progress(), StopOnDivergence()]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(classifier, data)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return found | {"weights": [value.clone() for value in net.state_dict().values()]}


def test_a_compiled_training_learns_the_same(monkeypatch, tmp_path):
    called = []

    def compiled(function, **how):
        called.append(how)
        return torch_compile(function, backend="aot_eager", fullgraph=True, dynamic=how["dynamic"])

    expected = trained(tmp_path, compile=False)
    assert not called
    monkeypatch.setattr(torch, "compile", compiled)
    found = trained(tmp_path, compile=True)
    assert called == [{"mode": "reduce-overhead", "dynamic": False}]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_no_result_of_a_compiled_network_outlives_its_step(monkeypatch, tmp_path):
    """A CUDA graph writes the results of each step over those of the last."""

    def overwriting(function, **how):
        last = []

        def replay(x):
            if last:
                last.pop().fill_(float("nan"))
            y = function(x)
            last.append(y.detach())
            return y

        return replay

    expected = trained(tmp_path, compile=False)
    monkeypatch.setattr(torch, "compile", overwriting)
    torch.testing.assert_close(trained(tmp_path, compile=True), expected, rtol=0, atol=0)
