"""What is said of a config before torch is loaded. The oracle of what a part takes is the part's own default."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from lit_shift.runs.checks import PARTS, PLAIN, check_values
from lit_shift.runs.config import CONF, composed, settle, switches
from lit_shift.utils.errors import InputError
from tests.conftest import ROOT

WRONG = [
    ("optimizer.lr=fast", "optimizer.lr=fast must be a number, 0 or more."),
    ("optimizer.lr=-1", "optimizer.lr=-1 must be a number, 0 or more."),
    ("optimizer.lr=nan", "optimizer.lr=nan must be a number, 0 or more."),
    ("optimizer.momentum=true", "optimizer.momentum=True must be a number, 0 or more."),
    ("optimizer.weight_decay=[1]", "optimizer.weight_decay=[1] must be a number, 0 or more."),
    ("trainer.max_epochs=ten", "trainer.max_epochs=ten must be a whole number, 1 or more."),
    ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5 must be a whole number, 1 or more."),
    ("trainer.devices=two", "trainer.devices=two must be a whole number, 1 or more, a list of devices' numbers, or"),
    ("trainer.precision=31", "Unknown precision 31. Choices: 32-true"),
    ("trainer.sync_batchnorm=on_gpu", "trainer.sync_batchnorm=on_gpu must be true or false."),
    ("data.batch_size=0", "data.batch_size=0 must be a whole number, 1 or more."),
    ("data.flip=flase", "data.flip=flase must be true or false."),
    ("model.width=sixteen", "model.width=sixteen must be a whole number, 1 or more."),
    ("schedule.milestones=half", "schedule.milestones=half must be a list"),
    ("schedule.milestones=[100,150]", "schedule.milestones=100 must be a fraction, from 0 to 1."),
    ("schedule.gamma=x", "schedule.gamma=x must be a number, 0 or more."),
    ("callbacks.equivariance.images=few", "callbacks.equivariance.images=few must be a whole number, 2 or more"),
    ("callbacks.shift_measures.every_n_epochs=0", "callbacks.shift_measures.every_n_epochs=0 must be a whole number"),
    ("callbacks.shown_images.images=3", "images=3 must be a list of indices"),
    ("padding=circle", "Unknown padding 'circle'. Did you mean 'circular'?"),
    ("filter=tri55", "Unknown filter 'tri55'. Did you mean 'tri5'?"),
    ("logger.mode=offlin", "Unknown mode 'offlin'. Did you mean 'offline'?"),
    ("runs=1.50", "runs=1.5 is not a path: quote one that looks like a number, as 'runs=\"1.50\"'."),
]


def settled(*words):
    config = composed("train", ["data=digits", "pool=blur", "+choices.x=0", *words])
    config.choices = {"data": "digits", "model": "vgg13", "pool": "blur"}  # which Hydra knows of a command alone
    return settle(config)


@pytest.mark.parametrize(("word", "sentence"), WRONG, ids=[word for word, _ in WRONG])
def test_a_wrong_value_is_one_sentence_with_its_key(word, sentence):
    with pytest.raises(InputError) as error:
        settled(word)
    assert str(error.value).startswith(sentence)
    assert "Error" not in str(error.value)


@pytest.mark.parametrize(
    "word",
    [
        *("optimizer.lr=1", "trainer.devices=auto", "trainer.devices=[0,1]", "trainer.devices='0,1'"),
        *("trainer.devices=-1", "trainer.precision=32", "callbacks.equivariance.images=all"),
        *("callbacks.equivariance=null", "schedule.milestones=[]", "runs=2024", "runs='1.50'"),
    ],
)
def test_what_works_passes(word):
    settled(word)


def test_every_default_passes_and_every_rule_is_of_an_option_that_there_is():
    """A rule for an option that has been renamed would never speak again."""
    found = {}
    for file in CONF.glob("*/*.yaml"):
        content = OmegaConf.to_container(OmegaConf.load(file))
        for part in (content, *content.values()) if isinstance(content, dict) else ():
            if isinstance(part, dict) and "_target_" in part:
                found.setdefault(part["_target_"], set()).update(part)
    more = {"trainer": {"accumulate_grad_batches", "gradient_clip_val"}}
    more["trainer"] |= {f"limit_{stage}_batches" for stage in ("train", "val", "test")}
    more["optimizer"] = {"nesterov", "maximize", "foreach", "fused"}  # which a user may add
    found["torch.optim.SGD"] |= more["optimizer"]
    found["pytorch_lightning.Trainer"] |= more["trainer"]
    for target, rules in PARTS.items():
        assert target in found
        assert rules.keys() <= found[target] | {"filter"}
    check_values(OmegaConf.to_container(settled()))
    protocol = set().union(*(OmegaConf.load(file) for file in (CONF / "protocol").rglob("*.yaml")))
    for key in PLAIN:
        group, _, name = key.rpartition(".")
        assert group != "protocol" or name in protocol, key


def test_what_is_not_there_is_said_before_torch_is_loaded(tmp_path):
    """In a process of its own, which can tell whether torch was loaded."""
    code = "import sys, runpy; sys.argv = sys.argv[1:]\n"
    code += "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "finally: print('torch' in sys.modules)"
    ours = [sys.executable, "-c", code]
    (tmp_path / "last.ckpt").touch()
    for command, sentence in (
        ("train.py data=imagefolder data.root=/no/such", "data.root=/no/such has no folder 'train'"),
        ("train.py data=imagefolder", "data.root must be given: type data.root=VALUE."),
        ("train.py data=digits trainer.max_epochs=ten", "trainer.max_epochs=ten must be a whole number"),
        ("eval.py model=resnet50 data.root=/no/such", "data.root=/no/such is no folder"),
        ("eval.py model=resnet50 data.root=. model.weights=none.pth", "there is no file none.pth"),
        ("eval.py model=resnet50 protocol=frames protocol.folder=/no/such", "protocol.folder=/no/such is no folder"),
        ("eval.py model=resnet50 data.root=. protocol.images=few", "protocol.images=few must be a whole number"),
        ("eval.py model=resnet50 data.root=. protocol.path=up", "Unknown path 'up'"),
        ("eval.py model=resnet50 data.root=. tta=0", "tta=0 must be a whole number, 1 or more."),
    ):
        done = subprocess.run([*ours, *command.split()], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert done.stdout == "False\n", command


def test_switches_keep_the_path_that_was_typed():
    assert switches(OmegaConf.create({"runs": 2024})).runs == "2024"
    with pytest.raises(InputError, match="is not a path"):
        switches(OmegaConf.create({"out": 1.5}))
