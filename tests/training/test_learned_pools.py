"""Pools with parameters train: the loss falls, the parameters move, and a resumed training ends with the same bits."""

import os
from functools import partial

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from lit_shift.data import Digits
from lit_shift.data.loader import Images
from lit_shift.models import VGG13, ResNet18
from lit_shift.pools.pool import Pool
from lit_shift.training.history import History
from lit_shift.training.module import LitClassifier
from lit_shift.training.whole_steps import WholeSteps
from tests.pools.of_the_field import POOLS

LEARNED = ["lps", "ddac", "tips", "learned", "conv"]
EPOCHS = 4


class FewDigits(Digits):
    def setup(self, stage=None):
        super().setup(stage)
        self.train = Images(*(part[:72] for part in self.train))


def train(folder, name, network=VGG13, resume_from=None, at_once=1):
    """Train on 72 digits in batches of 16 and a last one of 8; return the history's rows and the network."""
    torch.manual_seed(0)
    data = FewDigits(batch_size=16, eval_batch_size=8, aug=True, flip=False, padding="circular", val_size=0, seed=0)
    data.setup()
    sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    module = LitClassifier(network(POOLS[name], width=8), data.mean, data.std, sgd, [0.75], 0.1, compile=False)
    history = History(folder / "history.csv")
    checkpoint = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, enable_version_counter=False)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=os.devnull,
        callbacks=[WholeSteps(at_once), history, checkpoint],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
        max_epochs=EPOCHS,
    )
    trainer.fit(module, data, ckpt_path=resume_from)
    return history.rows, module.net


def learned(net):
    """The parameters of all pools but the last, which sees a constant: on a 2x2 map, each window of 2x2 is the map."""
    *pools, _ = (module for module in net.modules() if isinstance(module, Pool))
    return [parameter.detach().clone() for pool in pools for parameter in pool.parameters()]


@pytest.mark.parametrize("name", LEARNED)
def test_it_learns_and_resumes(name, tmp_path):
    rows, net = train(tmp_path, name)
    assert rows[-1]["train/loss"] < rows[0]["train/loss"] - 0.1
    torch.manual_seed(0)
    started = learned(VGG13(POOLS[name], width=8))
    moved = [not torch.equal(before, after) for before, after in zip(started, learned(net), strict=True)]
    assert moved
    assert all(moved)
    torch.manual_seed(99)  # whatever the process did before it resumes
    again, resumed = train(tmp_path, name, resume_from=tmp_path / "epoch=1.ckpt")
    assert again == rows
    for (key, value), other in zip(net.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


def test_several_steps_at_once_draw_the_same_noise(tmp_path):
    rows, net = train(tmp_path, "lps")
    at_once, other = train(tmp_path, "lps", at_once=3)
    assert at_once == rows
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_the_choice_cools_over_the_epochs(tmp_path):
    train(tmp_path, "lps")
    found = [torch.load(tmp_path / f"epoch={epoch}.ckpt", weights_only=False) for epoch in range(EPOCHS)]
    temperatures = [float(each["state_dict"]["net.features.pool1.temperature"]) for each in found]
    assert temperatures == pytest.approx([0.1 ** (epoch / 3) for epoch in range(EPOCHS)])


def test_a_resnet_learns(tmp_path):
    rows, _ = train(tmp_path, "lps", ResNet18)
    assert rows[-1]["train/loss"] < rows[0]["train/loss"] - 0.1
