"""Errors of a config are one sentence with the options as they are typed, before the data are read."""

import re
from functools import cache

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import lit_shift.pools
from lit_shift.pools.pool import Pool, made
from lit_shift.runs.config import CONF, check_names, composed, identity, in_section, label, names_in, settle
from lit_shift.runs.recipe import recipe
from lit_shift.runs.run import Run
from lit_shift.training.build import build_data, build_module, build_training, check_early
from lit_shift.training.wandb_logging import wandb_logger
from lit_shift.utils.command import parsed
from lit_shift.utils.errors import InputError, as_typed, unknown

WRONG = [
    ("optimizer.lr=fast", "optimizer.lr=fast must be a number, 0 or more."),
    ("optimizer.lr=nan", "optimizer.lr=nan must be a number, 0 or more."),
    ("optimizer.momentum=-1", "The config's 'optimizer' does not work: Invalid momentum value: -1 (ValueError)."),
    ("optimizer.weight_decay=[1]", "The config's 'optimizer' does not work: "),
    ("trainer.max_epochs=ten", "trainer.max_epochs=ten must be a whole number, 1 or more."),
    ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5 must be a whole number, 1 or more."),
    ("trainer.devices=two", "The config's 'trainer' does not work: "),
    ("trainer.precision=31", "The config's 'trainer' does not work: Precision 31 is invalid."),
    ("trainer.sync_batchnorm=on_gpu", "trainer.sync_batchnorm=on_gpu must be true or false."),
    ("data.batch_size=0", "data.batch_size=0 must be a whole number, 1 or more."),
    ("data.flip=flase", "data.flip=flase must be true or false."),
    ("aug=maybe", "aug=maybe must be true or false."),
    ("data.aug=maybe", "data.aug=maybe must be true or false."),
    ("seed=-1", "seed=-1 must be a whole number, 0 or more."),
    ("data.seed=-1", "data.seed=-1 must be a whole number, 0 or more."),
    ("model.width=sixteen", "model.width=sixteen must be a whole number, 1 or more."),
    ("model.fourier=perhaps", "model.fourier=perhaps must be true or false."),
    ("schedule.milestones=half", "schedule.milestones=half must be a list of fractions of the training, as "),
    ("schedule.milestones=[100,150]", "schedule.milestones=[100, 150] must be fractions of the training, from 0 to 1."),
    ("schedule.gamma=x", "schedule.gamma=x must be a number, 0 or more."),
    ("compile=flase", "compile=flase must be true or false."),
    ("callbacks.equivariance.images=few", "callbacks.equivariance.images=few must be a whole number, 2 or more"),
    ("callbacks.equivariance.upsampling=cubic", "Unknown callbacks.equivariance.upsampling 'cubic'. Choices: fourier"),
    ("callbacks.shift_measures.every_n_epochs=0", "callbacks.shift_measures.every_n_epochs=0 must be a whole number"),
    ("callbacks.shift_measures.seed=-3", "callbacks.shift_measures.seed=-3 must be a whole number, 0 or more."),
    ("callbacks.shown_images.images=3", "callbacks.shown_images.images=3 must be a list of indices"),
    ("padding=circle", "Unknown padding 'circle'. Did you mean 'circular'?"),
    ("filter=tri55", "Unknown filter 'tri55'. Did you mean 'tri5'?"),
    ("pool.filter=tri55", "Unknown filter 'tri55'. Did you mean 'tri5'?"),
    ("runs=1.50", "runs=1.5 is not a path: quote one that looks like a number, as 'runs=\"1.50\"'."),
    ("fresh=perhaps", "fresh=perhaps must be true or false."),
]


@cache
def base():
    config = composed("train", ["data=digits", "pool=blur", "model.width=2", "trainer.accelerator=cpu"])
    config.choices = {"data": "digits", "model": "vgg13", "pool": "blur"}  # which Hydra knows of a command alone
    return config


def settled(word):
    (override,) = parsed([word])
    config = base().copy()
    OmegaConf.update(config, override.key_or_group, override.value(), merge=False)
    return settle(config)


def build(config, folder):
    run = Run.locate(OmegaConf.merge(config, {"runs": config.runs if config.runs != "runs" else str(folder)}))
    check_early(config)
    build_training(config, run)
    data = build_data(config)
    build_module(config, data)


@pytest.mark.parametrize(("word", "sentence"), WRONG, ids=[word for word, _ in WRONG])
def test_a_wrong_value_is_one_sentence_with_its_key(word, sentence, tmp_path):
    with pytest.raises(InputError) as error:
        build(settled(word), tmp_path)
    assert str(error.value).startswith(sentence)


def composed_as(*words, pool="blur", model="vgg13"):
    config = composed("train", ["data=digits", f"pool={pool}", f"model={model}", *words])
    config.choices = {"data": "digits", "model": model, "pool": pool}
    return settle(config)


@pytest.mark.parametrize("filter", ["tri3", "pascal7"])
def test_a_pool_named_with_its_filter_is_short_for_both(filter, monkeypatch, tmp_path):
    short, long = composed_as(pool=f"blur-{filter}"), composed_as(f"filter={filter}")
    assert short == long
    assert label(short) == f"blur-{filter}-noaug-s0"
    assert composed_as(f"filter={filter}", pool=f"blur-{filter}") == long
    assert recipe(OmegaConf.to_container(short)) == recipe(OmegaConf.to_container(composed_as()))


def test_a_network_of_ones_own_is_called_by_its_function():
    config = composed_as("model.target=mine:make", model="python")
    assert config.model == {"_target_": "lit_shift.models.python.from_function", "target": "mine:make"}
    assert recipe(OmegaConf.to_container(config)) == "digits, mine:make, 200 epochs"


def test_options_of_ones_own_network_reach_its_function_and_tell_runs_apart():
    wide = composed_as("model.target=mine:make", "+model.width=32", model="python")
    assert wide.model == {"_target_": "lit_shift.models.python.from_function", "target": "mine:make", "width": 32}
    assert identity(wide) != identity(composed_as("model.target=mine:make", model="python"))
    with pytest.raises(InputError, match=r"model\.size describes a trained network, for eval\.py"):
        composed_as("model.target=mine:make", "model.size=64", model="python")


def test_a_pool_with_its_filter_in_its_name_takes_no_other():
    with pytest.raises(InputError, match="pool=blur-tri3 has its filter in its name: type pool=blur filter=tri5"):
        composed_as("filter=tri5", pool="blur-tri3")


def test_every_pool_of_the_sweep_is_one_row_of_one_recipe():
    params = OmegaConf.load(CONF / "sweep" / "pools.yaml").hydra.sweeper.params
    assert params.aug == "false,true"
    pools = params.pool.split(",")
    configs = [composed_as(pool=pool) for pool in pools]
    assert len({identity(config) for config in configs}) == len(pools) == 15
    assert len({recipe(OmegaConf.to_container(config)) for config in configs}) == 1
    assert {config.pool._target_.rpartition(".")[2] for config in configs} == set(lit_shift.pools.__all__) - {"Pool"}
    for config in configs:
        assert isinstance(made(instantiate(config.pool), channels=8), Pool)


@pytest.mark.parametrize("pool", ["ideal", "flc", "asap"])
def test_pools_that_need_a_torus_say_so(pool, tmp_path):
    with pytest.raises(
        InputError, match=r"padding=zeros: \w+ cuts a Fourier series, which has circular boundaries only"
    ):
        build(composed_as("padding=zeros", pool=pool), tmp_path)


@pytest.mark.parametrize(
    "word",
    [
        *("optimizer.lr=1", "trainer.precision=32", "callbacks.equivariance.images=all", "schedule.milestones=[]"),
        *("callbacks.equivariance=null", "runs=2024", "runs='1.50'"),
    ],
)
def test_what_works_passes(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(settled(word), tmp_path)


def test_a_run_of_a_typed_number_has_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Run.locate(settled("runs=2024")).folder.parent.name == "2024"


def test_an_unknown_mode_of_wandb_lists_the_modes(tmp_path):
    with pytest.raises(InputError, match=r"Unknown mode 'offlin'\. Did you mean 'offline'\?"):
        wandb_logger("offlin", "project", None, "name", tmp_path, OmegaConf.create())


CONFIG = OmegaConf.create({"size": 3, "part": {"size": 3, "color": "red", "files": "here"}})


def told(error, names):
    """The sentence of an error once its options are named."""
    with pytest.raises(InputError) as found, as_typed(names):
        raise error
    return str(found.value)


def test_options_go_by_the_names_that_are_typed():
    names = names_in(CONFIG, "part")
    assert names == {"size": "size", "color": "part.color", "files": "part.files"}
    sentence = "color=blue: files=there would do, or size=2; other.color=1, recolor=2, a/color=3/b."
    typed = "part.color=blue: part.files=there would do, or size=2; other.color=1, recolor=2, a/color=3/b."
    assert told(InputError(sentence), names) == told(InputError(typed), names) == typed
    assert told(unknown("color", "blue", ["red"]), names).startswith("Unknown part.color 'blue'.")
    assert told(InputError(sentence), {}) == sentence


def test_an_error_of_a_class_is_its_sections():
    config = OmegaConf.create({"part": {"_target_": "fractions.Fraction", "numerator": "a third"}})
    sentence = "The config's 'part' does not work: Invalid literal for Fraction: 'a third' (ValueError)."
    with pytest.raises(InputError, match=re.escape(sentence)), in_section(config, "part"):
        instantiate(config.part)


def test_a_name_that_the_package_has_itself_is_refused(tmp_path):
    """Hydra would take the package's, without a word."""
    mine = tmp_path / "my_conf" / "pool" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("_target_: my_pools.Mine\n_partial_: true\n")
    check_names(tmp_path / "my_conf")
    mine.rename(mine.with_name("l2.yaml"))
    with pytest.raises(
        InputError, match=r"l2.yaml has the name of a choice that lit_shift has itself, pool=l2: rename it"
    ):
        check_names(tmp_path / "my_conf")
