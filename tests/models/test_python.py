"""Networks to be trained that a function of the user makes."""

import sys

import pytest
from torch import nn

from lit_shift.models.python import from_function
from lit_shift.pools import LPSPool, MaxPool
from lit_shift.utils.errors import InputError

SOURCE = """
from torch import nn
from lit_shift.models import VGG13
from lit_shift.pools.pool import made


def vgg(pool, num_classes):
    return VGG13(pool, num_classes, width=2)


def own(pool, num_classes):
    return nn.Sequential(made(pool, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))


def without(pool, num_classes):
    return nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(num_classes))


def none(pool, num_classes):
    return "a network"


def fewer(pool):
    return nn.Identity()
"""


@pytest.fixture(autouse=True)
def users_module(tmp_path, monkeypatch):
    (tmp_path / "mine_to_train.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine_to_train", None)


@pytest.mark.parametrize("pool", [MaxPool, LPSPool])
@pytest.mark.parametrize(("name", "pools"), [("vgg", 5), ("own", 1)])
def test_it_is_made_with_the_pool_and_the_classes(name, pools, pool):
    net = from_function(f"mine_to_train:{name}", pool, num_classes=7)
    assert sum(type(module) is pool for module in net.modules()) == pools
    (*_, last) = (module for module in net.modules() if isinstance(module, nn.Linear))
    assert last.out_features == 7


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mine_to_train:without", "returns a network without the pool MaxPool: it must call its argument pool"),
        ("mine_to_train:none", "returns a str, not a torch.nn.Module"),
        ("mine_to_train:unknown", "module 'mine_to_train' has no function 'unknown'"),
        ("not_there:make", "there is no module 'not_there'"),
        ("mine_to_train", "must be of the form module:function"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(target, message):
    with pytest.raises(InputError, match=message):
        from_function(target, MaxPool, num_classes=7)
