"""A network that was trained elsewhere is trained further on a folder of images."""

import json

import pytest
import torch
import torchvision
from omegaconf import OmegaConf

from lit_shift.classifiers.classifier import Classifier, View
from lit_shift.data.module import Dataset, ImageDataModule, to_images
from lit_shift.models import VGG13
from lit_shift.pools import MaxPool
from lit_shift.remedies.candidates import candidates
from lit_shift.runs.config import composed
from lit_shift.surgery import antialias
from lit_shift.training.build import build_module, load_run
from lit_shift.utils.errors import InputError
from tests.conftest import TINY, Command

MODEL = ("model=torchvision", "model.name=shufflenet_v2_x0_5")
pytestmark = pytest.mark.xdist_group("from_elsewhere")  # one training for all
SWITCHES = [switch for switch in TINY if not switch.startswith("model.")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5(num_classes=2).state_dict(), file)
    return file


@pytest.fixture(scope="module")
def tuned(images, weights, tmp_path_factory):
    """A run at a rate of 0, after which only the statistics of its batch norms differ."""
    folder = tmp_path_factory.mktemp("tuned")
    switches = [*SWITCHES, *MODEL, f"data.root={images}", f"model.weights={weights}", "experiment=finetune"]
    switches += ["antialias=tri3", "trainer.max_epochs=1", "optimizer.lr=0"]
    finished = Command(folder, "train.py", *switches).finish()
    assert finished.code == 0, finished.err
    assert "they are matched: output 0 = above, output 1 = below" in finished.err
    (run,) = (folder / "runs").iterdir()
    return run


def test_it_keeps_its_weights_normalisation_and_outputs(tuned, weights):
    assert tuned.name.startswith("imagefolder-shufflenet_v2_x0_5-antialias-tri3-noaug-s0-")
    config = OmegaConf.load(tuned / "config.yaml")
    assert (config.classes, config.choices.model, config.choices.pool) == (["above", "below"], MODEL[1][11:], "own")
    classifier = load_run(tuned)
    torch.testing.assert_close(classifier.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    theirs, ours = torch.load(weights), classifier.net.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if name.endswith("weight"))
    moved = "conv1.1.running_mean"
    assert not torch.equal(ours[moved], theirs[moved])
    net = torchvision.models.shufflenet_v2_x0_5(num_classes=2).eval()
    net.load_state_dict(ours)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = antialias(net, "tri3", example=x[:1])(classifier.normalised(x))
        torch.testing.assert_close(classifier(x), expected, rtol=1e-4, atol=1e-5)


def test_its_run_is_measured_without_the_file_of_weights(tuned, weights, run):
    aside = weights.rename(weights.with_suffix(".aside"))
    finished = run("eval.py", f"ckpt={tuned}", "figures=false")
    aside.rename(weights)
    assert finished.code == 0, finished.err
    measured, trained = (json.loads((folder / "metrics.json").read_text()) for folder in (tuned / "eval", tuned))
    assert measured == trained


def test_its_run_is_one_of_the_remedies(tuned, images, weights, run, tmp_path):
    switches = [*MODEL, f"model.weights={weights}", "model.classes=[above,below]", f"data.root={images}"]
    switches += ["data.size=288", "protocol.images=1", "protocol.size=216", "votes=[]", "filters=[]", "unlabelled=0"]
    finished = run("lit_shift/commands/remedies.py", *switches, f"tuned={tuned}", "trainer.accelerator=cpu")
    assert finished.code == 0, finished.err
    (found,) = tmp_path.glob("remedies/*/remedies.json")
    rows = json.loads(found.read_text())["remedies"]
    assert [row["remedy"] for row in rows] == ["nothing", "canonical crop", "fine-tuned"]
    assert rows[2]["passes"] > 1


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        (("pool=blur",), "has pools of its own: antialias=FILTER changes them, not pool="),
        (("model.classes=[a,b,c]",), "has 3 names, but the network has 2 outputs"),
        (("model.weights=random", "model.classes=[a,b,c]"), "2 folders cannot be matched to 3 classes by order"),
    ],
)
def test_bad_input(images, weights, run, switches, words):
    finished = run("train.py", *SWITCHES, *MODEL, f"data.root={images}", f"model.weights={weights}", *switches)
    assert finished.code == 2
    assert words in finished.err
    assert finished.err.count("error:") == 1


class Three(ImageDataModule):
    """Six images of three classes."""

    def read(self):
        images = to_images(torch.zeros(6, 8, 8, 3, dtype=torch.uint8), [0, 1, 2, 0, 1, 2])
        return Dataset(images, images, ["a", "b", "c"])


def test_labels_become_the_networks_outputs():
    data = Three(2, 2, aug=False, flip=False, padding="circular", val_size=3, seed=0)
    data.setup()
    before = [images.labels.tolist() for images in (data.train, data.val, data.test)]
    data.relabel([3, 0, 2], ["B", "x", "c", "a", "y"])
    after = [images.labels.tolist() for images in (data.train, data.val, data.test)]
    assert after == [[[3, 0, 2][label] for label in labels] for labels in before]
    assert data.classes == ["b", "x", "c", "a", "y"]


def test_outputs_of_one_name_stay_apart_when_a_run_is_measured(weights):
    """ImageNet has two classes named crane; a measured run's data are labelled by its outputs already."""
    file = weights.with_name("three.pth")
    torch.save(torchvision.models.shufflenet_v2_x0_5(num_classes=3).state_dict(), file)
    cfg = composed("train", ["data=digits", *MODEL, f"model.weights={file}", "+class_names=[crane,crane,ant]"])
    data = Three(2, 2, aug=False, flip=False, padding="circular", val_size=0, seed=0)
    data.setup()
    data.classes = ["crane", "crane", "ant"]
    build_module(cfg, data)
    assert data.test.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_tuned_run_of_other_outputs_is_refused():
    first, tuned = (
        Classifier(VGG13(MaxPool, width=2, num_classes=k), [0.5] * 3, [0.3] * 3, list("abcde")[:k], View(32, 32))
        for k in (5, 4)
    )
    with pytest.raises(InputError, match="has 4 classes, the network 5"):
        list(candidates(first, [], [], "dense_first", None, (), 0, tuned))
