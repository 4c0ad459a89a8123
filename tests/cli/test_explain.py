"""What a user would mistype gets one sentence, a non-zero exit, and makes nothing."""

import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir

from lit_shift.cli.explain import explain
from lit_shift.filters import FILTERS
from tests.conftest import ROOT, TINY

MISTAKES = [
    (
        "pool=blurr",
        "Unknown pool 'blurr'. Did you mean 'blur'? Choices: aps, asap, avg, blur, blur-pascal7, blur-tri3,",
    ),
    (
        "data=cifar",
        "Unknown data 'cifar'. Did you mean 'cifar10'? Choices: cifar10, cifar100, digits, imagefolder, photographs.",
    ),
    ("data=/some/folder", "Unknown data '/some/folder'. Did you mean 'imagefolder'?"),
    ("fliter=tri5", "Unknown config key 'fliter'. Did you mean 'filter'?"),
    ("trainer.max_epoch=3", "Unknown config key 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
    ("pool=blur pool.filtr=tri5", "Unknown config key 'pool.filtr'. Did you mean 'pool.filter'?"),
    ("trainor.max_epochs=3", "Unknown config key 'trainor'. Did you mean 'trainer'?"),
    ("experiment=quick", "Unknown experiment 'quick'. Did you mean 'quickstart'?"),
    ("pool=blur filter=tri55", "Unknown filter 'tri55'. Did you mean 'tri5'? Choices: delta, rect2,"),
    ("padding=circle", "Unknown padding 'circle'. Did you mean 'circular'? Choices: circular, zeros, reflect."),
    ("pool=max filter=tri4", "Unknown filter 'tri4'. Did you mean 'tri7'?"),
    ("pool=max filter=tri5", "Type pool=blur filter=tri5 for max pooling with that low-pass filter"),
    ("pool=avg filter=tri5", "pool=avg takes no filter."),
    ("aug=maybe", "aug=maybe must be true or false."),
    ("seed=one", "seed=one must be a whole number, 0 or more."),
    ("seed=-1", "seed=-1 must be a whole number, 0 or more."),
    ("seed=5000000000", "seed=5000000000 must be below 2^32."),
    ("+seed=3", "seed is in the config already: type seed=VALUE, without the +."),
    ("compile=flase", "compile=flase must be true or false."),
    ("data.flip=flase", "data.flip=flase must be true or false"),
    ("data.val_size=40.0", "data.val_size=40.0 must be a whole number"),
    ("data.size=-3", "data.size=-3 must be a whole number"),
    ("trainer.max_epochs=many", "trainer.max_epochs=many must be a whole number, 1 or more."),
    ("optimizer.lr=high", "optimizer.lr=high must be a number, 0 or more."),
    ("optimizer.momentum=-1", "The config's 'optimizer' does not work: Invalid momentum value: -1 (ValueError)."),
    ("model.width=0", "model.width=0 must be a whole number, 1 or more."),
    ("callbacks.shift_measures.every_n_epochs=0", "every_n_epochs=0 must be a whole number, 1 or more."),
    ("callbacks.shift_measures.shifts=1", "shifts=1 must be a whole number, 2 or more."),
    ("data=imagefolder", "data.root must be given: type data.root=VALUE."),
    ("data=imagefolder data.root=nowhere", "data.root=nowhere has no folder 'train'"),
    (
        "trainer.accelerator=abacus",
        "The config's 'trainer' does not work: You selected an invalid accelerator name: `accelerator='abacus'`",
    ),
    ("trainer.sync_batchnorm=true", "trainer.sync_batchnorm=true needs GPUs"),
    ("data.batch_size=0", "data.batch_size=0"),
    ("pool=[", "Arguments are of the form name=value, without spaces, and lists quoted, as 'a=[b,c]'."),
    ("pool = blur", "Arguments are of the form name=value, without spaces"),
    ("pool=max,blur", "pool=max,blur are several values: type -m for a run of each"),
    ("hydra.foo=1", "There is no option hydra.foo."),
    ("-m hydra/launcher=slurm hydra.launcher.partitoin=gpu", "There is no option hydra.launcher.partitoin."),
    ("hydra/launcher=slurm", "hydra/launcher=... is for many runs: type -m before it."),
    (
        "-m hydra/launcher=ray_gpu pool=max,blur",
        "There is no GPU here that PyTorch can use: say",
    ),
    ("-m pool=blur filter=tri5,tri55", "Unknown filter 'tri55'. Did you mean 'tri5'?"),
    ("-m pool=blur filter=tri55", "Unknown filter 'tri55'. Did you mean 'tri5'?"),
    ("+sweep=table1", "+sweep=... is for many runs: type -m before it."),
    ("-m pool=blur aug=true,fals", "aug=fals must be true or false."),
    ("-m pool=blur seed=0..3", "seed=0..3 must be a whole number, 0 or more."),
    ("-m pool=max,blur runs=a,b", "The runs of a sweep go into one folder: runs=... takes one value."),
    ("sweep=table1", "A sweep is an addition to the config: type -m +sweep=NAME."),
    ("-m +sweep=table1,quick", "+sweep takes one name: run a separate command for each."),
    ("-m hydra/launcher=slurm pool=max,blur fresh=true", "With fresh=true a job that SLURM starts again would start"),
    ("-m pool=max,blur hydra/launcher=ray_cpu hydra.launcher.ray.remote.num_cpus=1000", "A run takes 1000 CPUs"),
    ("-pool=max", "-pool=max: a switch has no dash, type pool=max"),
    ("--pool=blur", "--pool=blur: a switch has no dash, type pool=blur"),
    ("runs=", "runs= names nothing: type runs=PATH."),
    ("trainer.accelerator=gpu", "There is no GPU here that PyTorch can use: leave out experiment=gpu"),
    ("model.width=sixteen", "model.width=sixteen must be a whole number, 1 or more."),
    ("+sweep=tabel1", "Unknown sweep 'tabel1'. Did you mean 'table1'?"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=[arguments for arguments, _ in MISTAKES])
def test_mistakes(run, images, tmp_path, arguments, sentence):
    defaults = [] if "data=" in arguments else [*TINY, f"data.root={images}"]
    typed = sorted([*defaults, *arguments.split()], key=lambda argument: argument != "-m")  # which comes first
    finished = run("train.py", *typed, CUDA_VISIBLE_DEVICES="")
    assert finished.code == 2
    (line,) = [line for line in finished.err.splitlines() if line.startswith("error:")]
    assert sentence in line
    assert "Traceback" not in finished.err
    assert finished.out == ""
    assert not (tmp_path / "runs").exists()


def test_no_network_for_cifar10(run, tmp_path):
    nowhere = "http://127.0.0.1:9"
    finished = run("train.py", "logger=csv", "data.root=here", https_proxy=nowhere, http_proxy=nowhere)
    assert finished.code == 2
    assert "put cifar-10-python.tar.gz" in finished.err
    assert "data=imagefolder" in finished.err
    assert "data=digits" in finished.err
    assert "Traceback" not in finished.err


def test_help_lists_every_switch_with_its_choices(run):
    out = run("train.py", "--help").out
    for filter in FILTERS:
        assert f"{filter} " in out.replace("\n", " ")
    for line in (
        "data: cifar10, cifar100, digits, imagefolder, photographs",
        f"pool: {', '.join(sorted(file.stem for file in (ROOT / 'conf' / 'pool').glob('*.yaml')))}",
        "vgg13, vgg13_slim",
        "logger: csv, wandb",
        "experiment: aps, finetune, gpu, paper, quickstart",
        "circular, zeros, reflect [circular]",
    ):
        assert line in out
    for switch in ("filter", "aug", "padding", "seed", "runs", "init", "antialias", "fresh", "compile"):
        assert f"\n{switch} " in out


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_config_file_in_another_encoding_is_named(tmp_path, encoding):
    (tmp_path / "mine.yaml").write_text("name: größer\n", encoding=encoding)
    with initialize_config_dir(str(tmp_path), version_base="1.3"), pytest.raises(UnicodeDecodeError) as found:
        compose("mine")
    sentence = explain(found.value, "train")
    assert sentence.startswith(f"{tmp_path}/mine.yaml is not UTF-8 text (invalid ")
    assert explain(UnicodeDecodeError("utf-8", b"", 0, 1, "a defect of ours"), "train") is None


def test_a_defect_of_ours_shows_its_traceback():
    code = "from lit_shift.cli.explain import report; report(ZeroDivisionError('ours'))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ZeroDivisionError: ours" in process.stderr
