"""Words of a command line. The oracles are a shell (``shlex``) and Hydra's own composition of a config."""

import shlex

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lit_shift.cli.eval_config import add_measured
from lit_shift.cli.explain import explain
from lit_shift.runs.config import CONF
from lit_shift.runs.records import NEEDED
from lit_shift.runs.run import NEEDED_OF_A_RUN, Run, checkpoint_at
from lit_shift.utils.command import each, parsed, split, typed, values
from lit_shift.utils.errors import InputError

# Names that folders have, whatever they mean to a shell or to Hydra.
NAMES = ["plain", "lr=0.1", "a b", " a ", "a,b", "~/a", "a~", "#1", "a(b)", "f(x", "it's", 'say "a"', "a\\", "a\\=b"]
NAMES += ["1.50", "007", "1_000", "null", "true", "[a]", "{a}", "a:b", "a;b", "a!b", "a&b", "größe", "$HOME", "`a`"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["runs", "data.root"])
def test_what_is_to_be_typed_arrives_as_it_is(key, name):
    (word,) = shlex.split(typed(key, name))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert OmegaConf.select(compose("train", [word]), key) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_word_either_means_what_it_says_or_the_message_has_one_that_does(name):
    """Where Hydra's grammar refuses a word, the sentence ends with one to paste into a shell."""
    try:
        parsed([f"runs={name}"])
    except InputError as error:
        if name not in ("[a]", "{a}"):  # which may be a list
            (word,) = shlex.split(str(error).partition(": type ")[2] or "none")
            assert values(*parsed([word])) == [name]


def test_a_value_that_a_shell_has_parted_at_a_space_is_put_together():
    with pytest.raises(InputError) as error:
        parsed(["pool=max", "runs=/my", "runs/x"])
    assert shlex.split(str(error.value).partition(", type ")[2]) == ["runs=/my runs/x"]


def test_spaces_around_an_equals_sign_are_said():
    with pytest.raises(InputError, match="of the form name=value, without spaces"):
        parsed(["seed=0", "pool", "=", "blur"])


def test_values_of_a_sweep_are_those_of_its_runs():
    assert values(*parsed(["protocol=[embed,scale]"])) == [["embed", "scale"]]
    assert values(*parsed(["protocol=[embed,scale],crop"])) == [["embed", "scale"], "crop"]
    assert values(*parsed(["+a=\"x,y\",'z=1'"])) == ["x,y", "z=1"]
    assert values(*parsed(["seed=range(1,4)"])) == [1, 2, 3]
    assert each(*parsed(["pool=glob(*)"])) == []
    options, words = split(["-m", "seed=0,1", "--cfg", "job", "-cd", "mine"])
    assert (words, options.config_dir, options.multirun, options.shows) == (["seed=0,1"], "mine", True, True)


@pytest.fixture
def run(tmp_path):
    """A run in a folder whose name has an equals sign."""
    run = Run(tmp_path / "lr=0.1" / "it's, (mine)")
    run.checkpoint.parent.mkdir(parents=True)
    run.checkpoint.touch()
    config = {key: {} for key in NEEDED | NEEDED_OF_A_RUN}
    (run.folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    return run


def test_a_checkpoint_in_a_folder_of_any_name_can_be_named(run, monkeypatch):
    (word,) = shlex.split(typed("ckpt", run.checkpoint))
    add_measured([word])  # raises where it cannot be
    monkeypatch.setenv("HOME", str(run.folder.parents[1]))
    add_measured([typed_at_home := 'ckpt="~/lr=0.1/it\'s, (mine)/checkpoints/last.ckpt"'])
    with pytest.raises(InputError, match="pool is settled by the training"):
        add_measured([typed_at_home, "pool=max"])


def test_a_message_about_a_checkpoint_says_a_word_that_works(run):
    with pytest.raises(InputError) as error:
        add_measured([f"ckpt={run.checkpoint}"])
    assert shlex.split(str(error.value).partition(": type ")[2])[0] == f'ckpt="{run.checkpoint}"'


@pytest.mark.parametrize("named", ["", "checkpoints", "checkpoints/last.ckpt"])
def test_a_run_is_named_by_its_folder_too(run, named):
    add_measured(shlex.split(typed("ckpt", run.folder / named)))
    assert checkpoint_at(run.folder / named) == run.checkpoint
    assert Run.of(run.folder / named).folder == run.folder


def test_a_name_with_a_comma_is_not_several():
    with pytest.raises(InputError, match="ckpt takes one run") as error:
        add_measured(["ckpt=runs/a,b/last.ckpt"])
    assert "'ckpt=\"runs/a,b/last.ckpt\"'" in str(error.value)
    with pytest.raises(InputError, match=r"There is no checkpoint 'runs/a,b/last\.ckpt'"):
        add_measured(['ckpt="runs/a,b/last.ckpt"'])


@pytest.mark.parametrize("word", ["protocol=[]", "protocol=null", "protocol=", "protocol=shared/common"])
def test_a_protocol_that_is_none(word):
    with pytest.raises(InputError, match="names no protocol"):
        add_measured(["model=resnet50", word])


def test_several_protocols_are_a_list_or_a_sweep():
    with pytest.raises(InputError, match=r"Type 'protocol=\[embed,scale\]', quoted"):
        add_measured(["model=resnet50", "protocol=embed,scale"])
    add_measured(["-m", "model=resnet50", "protocol=embed,scale"])
    add_measured(["model=resnet50", "protocol=[embed,scale]"])


def test_hydra_s_own_errors_end_with_a_word_that_works():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for word, expected in (("runs=a=b", 'runs="a=b"'), ("runs=a,b", 'runs="a,b"')):
            with pytest.raises(Exception) as error:  # noqa: PT011
                compose("train", [word])
            assert expected in shlex.split(str(explain(error.value, "train")))
