"""Subjects answer as the networks they are made of, whatever the weights come in; nothing is downloaded."""

import re
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn
from torchvision import models
from torchvision.transforms.v2 import functional as transforms

from lit_shift.classifiers.class_names import IMAGENET
from lit_shift.classifiers.classifier import Classifier
from lit_shift.classifiers.zoo import from_python, from_timm, from_torchvision
from lit_shift.data.view import View
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPool
from lit_shift.runs.config import CONF
from lit_shift.utils.errors import InputError

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of downloads, and no network."""
    folder = tmp_path / "hub"
    (folder / "checkpoints").mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fails(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", fails)
    return folder / "checkpoints"


def network(name, **options):
    """One of torchvision's with norms that do something."""
    torch.manual_seed(0)
    net = models.get_model(name, weights=None, **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1)
    return net.eval()


@torch.no_grad()
def agree(classifier, net, size=96):
    images = torch.rand(2, 3, size, size)
    torch.testing.assert_close(classifier(images), net(transforms.normalize(images, MEAN, STD)))


def saved(content, path):
    torch.save(content, path)
    return str(path)


def test_a_file_of_weights_is_the_network_it_was_saved_from(tmp_path):
    net = network("resnet18")
    classifier = from_torchvision("resnet18", saved(net.state_dict(), tmp_path / "mine.pth"))
    agree(classifier, net)
    assert classifier.view == View(224, 224, 256, "bilinear")
    assert classifier.classes == IMAGENET
    assert not classifier.training


@pytest.mark.parametrize(
    ("key", "wrapper"),
    [(None, "module."), ("state_dict", "net."), ("model", ""), ("model_state_dict", "_orig_mod.module.")],
)
def test_what_weights_are_wrapped_in(tmp_path, key, wrapper):
    net = network("squeezenet1_1")
    state = {wrapper + name: value for name, value in net.state_dict().items()}
    content = state if key is None else {"epoch": 3, key: state}
    agree(from_torchvision("squeezenet1_1", saved(content, tmp_path / "mine.pt")), net)


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "mnasnet0_5"])
def test_as_many_outputs_as_the_weights_have(tmp_path, name):
    net = network(name, num_classes=3)
    file = saved(net.state_dict(), tmp_path / "mine.pth")
    classifier = from_torchvision(name, file)
    agree(classifier, net)
    assert classifier.classes == ["output 0", "output 1", "output 2"]
    assert from_torchvision(name, file, ["a", "b", "c"]).classes == ["a", "b", "c"]
    with pytest.raises(InputError, match="has 2 names, but the network has 3 outputs"):
        from_torchvision(name, file, ["a", "b"])


@pytest.mark.parametrize("heads", [True, False])
def test_auxiliary_heads_may_be_in_the_file_or_not(tmp_path, heads):
    net = network("googlenet", init_weights=False, aux_logits=heads, transform_input=True)
    agree(from_torchvision("googlenet", saved(net.state_dict(), tmp_path / "mine.pth")), net)


def test_densenets_are_published_under_older_names(tmp_path):
    net = network("densenet121")
    old = {re.sub(r"(denselayer\d+\.\w+)([12])\.", r"\1.\2.", key): value for key, value in net.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    agree(from_torchvision("densenet121", saved(old, tmp_path / "densenet121-a639ec97.pth")), net)


def test_published_weights_by_name_or_as_a_file(hub, tmp_path):
    """V2 of MobileNet was tested on larger images than V1. Both are in the cache, so that nothing is downloaded."""
    net = network("mobilenet_v2")
    versions = models.MobileNet_V2_Weights
    for version, resize in ((versions.IMAGENET1K_V1, 256), (versions.IMAGENET1K_V2, 232)):
        file = hub / Path(version.url).name
        torch.save(net.state_dict(), file)
        for weights in (version.name, str(file)):
            classifier = from_torchvision("mobilenet_v2", weights)
            assert classifier.view == View(224, 224, resize, "bilinear")
        agree(classifier, net)
    other = saved(net.state_dict(), tmp_path / "other.pth")
    assert (
        from_torchvision("mobilenet_v2", "DEFAULT").view
        == from_torchvision("mobilenet_v2", other).view
        == classifier.view
    )


def test_random_weights_have_as_many_outputs_as_there_are_names():
    for name, classes in (("squeezenet1_0", IMAGENET), ("googlenet", ["a", "b"]), ("vit_b_16", ["a"])):
        classifier = from_torchvision(name, "random", None if classes is IMAGENET else classes)
        view = classifier.view
        assert classifier.classes == classes
        assert classifier(torch.rand(1, 3, view.height, view.width)).shape == (1, len(classes))


def sentence(make, *args, **kwargs):
    with pytest.raises(InputError) as error:
        make(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_a_network_the_sentence_says_where_the_weights_are(hub):
    said = sentence(from_torchvision, "squeezenet1_1", "DEFAULT")
    assert "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth" in said
    assert "no network" in said
    assert "weights=FILE" in said


def test_unknown_names_and_weights_name_the_nearest(tmp_path):
    said = sentence(from_torchvision, "resnet19", "random")
    assert "Unknown torchvision model 'resnet19'" in said
    assert "resnet18" in said
    assert "densenet121" not in said
    said = sentence(from_torchvision, "resnet50", "IMAGENET1K_V3")
    assert "IMAGENET1K_V1, IMAGENET1K_V2, random, a file" in said
    assert "IMAGENET1K_FEATURES" not in sentence(from_torchvision, "vgg16", "IMAGENET1K_FEATURES").split("Choices")[1]
    assert "Choices" in sentence(from_torchvision, "resnet50", None)
    assert sentence(from_torchvision, "resnet50", str(tmp_path / "no.pth")) == f"There is no file {tmp_path}/no.pth."


def test_weights_that_do_not_fit_name_the_first_mismatches(tmp_path):
    file = saved(network("squeezenet1_1").state_dict(), tmp_path / "squeeze.pth")
    said = sentence(from_torchvision, "resnet18", file)
    assert "missing: conv1.weight, bn1.weight, bn1.bias and 119 more" in said
    assert "unexpected: features.0.weight, features.0.bias, features.3.squeeze.weight and 49 more" in said
    assert "different shape: features.0.weight (64x3x3x3 for 96x3x7x7)" in sentence(
        from_torchvision, "squeezenet1_0", file
    )


def test_files_without_weights(tmp_path):
    for content in ({"state_dict": {"epoch": 3}}, [1, 2], torch.ones(2), {"epoch": 3}):
        file = saved(content, tmp_path / "odd.pth")
        assert "holds no weights" in sentence(from_torchvision, "resnet18", file)
    (tmp_path / "odd.pth").write_bytes(b"no archive")
    assert "not a file saved by torch" in sentence(from_torchvision, "resnet18", file)
    assert "does not fit" in sentence(from_torchvision, "squeezenet1_1", saved({}, tmp_path / "empty.pth"))


def test_without_timm(tmp_path, monkeypatch):
    for module in ("timm", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, module, None)
    install = """install it with 'uv sync --extra timm' or "pip install 'lit-shift[timm]'"."""
    assert sentence(from_timm, "resnet18", "random") == f"timm is not installed: {install}"
    assert install in sentence(from_torchvision, "resnet18", str(tmp_path / "a.safetensors"))


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


@torch.no_grad()
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("outputs", [1000, 3])
def test_timm(timm, tmp_path, suffix, outputs):
    net = timm.create_model("test_resnet.r160_in1k", num_classes=outputs).eval()
    file = tmp_path / f"mine{suffix}"
    if suffix == ".pth":
        torch.save(net.state_dict(), file)
    else:
        pytest.importorskip("safetensors.torch").save_file(net.state_dict(), file)
    classifier = from_timm("test_resnet.r160_in1k", str(file))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    resize, crop, _, normalize = transform.transforms
    height, width = crop.size
    assert classifier.view == View(height, width, resize.size, resize.interpolation.value)
    assert len(classifier.classes) == outputs
    images = torch.rand(2, 3, height, width)
    torch.testing.assert_close(classifier(images), net(normalize(images)))


def test_what_timm_cannot_make(timm, tmp_path, monkeypatch):
    assert "resnet18" in sentence(from_timm, "resnet19", "random")
    assert "resnet18.a1_in1k" in sentence(from_timm, "resnet18.a4_in1k", "random")
    assert "Choices: DEFAULT, random, a file" in sentence(from_timm, "resnet18", "V1")
    untrained = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
    assert f"publishes no weights of {untrained}" in sentence(from_timm, untrained, "DEFAULT")
    assert len(from_timm("test_vit.r160_in1k", "random", ["a", "b"]).classes) == 2
    assert "does not classify" in sentence(from_timm, "convnext_tiny.dinov3_lvd1689m", "random")

    def fails(*args, **kwargs):
        raise FileNotFoundError("look at your connection") from OSError("no network")

    monkeypatch.setattr(timm, "create_model", fails)
    said = sentence(from_timm, "inception_resnet_v2", "DEFAULT")
    assert "(no network)" in said
    assert "https://huggingface.co/timm/inception_resnet_v2.tf_in1k" in said


MODULE = """
import torch
from torch import nn
from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.view import View

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def classifier():
    return Classifier(net(), [0] * 3, [1] * 3, ["a", "b"], View(5, 7))

def maps():
    return nn.Conv2d(3, 4, 3)

def pair():
    return nn.LSTM(8, 2)

def nothing():
    pass

number = 3
"""
OPTIONS = {"mean": MEAN, "std": STD, "size": 8, "resize": None, "interpolation": "bilinear"}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the current folder, from which commands import."""
    (tmp_path / "mine_of_the_zoo.py").write_text(MODULE)
    (tmp_path / "broken_of_the_zoo.py").write_text("import no_such_module_anywhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield "mine_of_the_zoo"
    sys.modules.pop("mine_of_the_zoo", None)


def test_a_network_of_ones_own(module, tmp_path):
    classifier = from_python(f"{module}:net", **OPTIONS, classes=["a", "b"])
    made = sys.modules[module].net().eval()
    agree(classifier, made, size=8)
    assert (classifier.classes, classifier.view) == (["a", "b"], View(8, 8, None, "bilinear"))
    made[0].weight.data.fill_(0.5)
    file = saved(made.state_dict(), tmp_path / "weights.pth")
    agree(from_python(f"{module}:net", **OPTIONS, weights=file), made, size=8)


def test_a_classifier_of_ones_own_is_used_as_it_is(module, tmp_path):
    made = from_python(f"{module}:classifier", **OPTIONS)
    assert isinstance(made, Classifier)
    assert (made.view, made.classes) == (View(5, 7), ["a", "b"])
    other = sys.modules[module].net()
    other[-1].bias.data.fill_(9)
    again = from_python(f"{module}:classifier", **OPTIONS, weights=saved(other.state_dict(), tmp_path / "weights.pth"))
    assert again.net[-1].bias.tolist() == [9, 9]
    assert again.view == View(5, 7)


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("mine_of_the_zoo.net", {}, "must be of the form module:function"),
        ("no_module_of_the_zoo:net", {}, "there is no module 'no_module_of_the_zoo' in"),
        ("mine_of_the_zoo:no", {}, "module 'mine_of_the_zoo' has no function 'no'"),
        ("mine_of_the_zoo:number", {}, "has no function 'number'"),
        ("mine_of_the_zoo:nothing", {}, "returns a NoneType, not a torch.nn.Module"),
        ("mine_of_the_zoo:maps", {}, "returns a tensor (1, 4, 6, 6) for an image, not logits"),
        ("mine_of_the_zoo:pair", {}, "cannot take an image of 8x8 pixels (ValueError: LSTM"),
        ("mine_of_the_zoo:net", {"size": 2}, "cannot take an image of 2x2 pixels (RuntimeError: "),
        ("mine_of_the_zoo:net", {"size": 0}, "size=0 must be a whole number, 1 or more"),
        ("mine_of_the_zoo:net", {"resize": "all"}, "resize=all must be"),
        ("mine_of_the_zoo:net", {"mean": 0.5}, "mean=0.5 must be three numbers"),
        ("mine_of_the_zoo:net", {"std": [1, 1]}, "std=[1, 1] must be three numbers"),
        ("mine_of_the_zoo:net", {"interpolation": "cubic"}, "Did you mean 'bicubic'?"),
        ("mine_of_the_zoo:net", {"classes": ["a"]}, "has 1 names, but the network has 2 outputs"),
        ("mine_of_the_zoo:net", {"weights": "no.pth"}, "There is no file no.pth"),
    ],
)
def test_what_cannot_be_made_of_ones_own(module, target, options, said):
    assert said in sentence(from_python, target, **OPTIONS | options)


def test_an_error_in_ones_own_module_is_ones_own(module):
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        from_python("broken_of_the_zoo:net", **OPTIONS)


def model_config(overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=[f"+{overrides[0]}", *overrides[1:]]).model


def test_presets_are_the_networks_of_azulay_and_weiss(monkeypatch, hub, module):
    nets = {"vgg16": "torchvision", "resnet50": "torchvision", "inception_resnet_v2": "timm"}
    for preset, home in nets.items():
        model = model_config([f"model={preset}"])
        assert model._target_ == f"lit_shift.classifiers.zoo.from_{home}"
        assert model.name.startswith(preset)
    squeeze = ["model=torchvision", "model.name=squeezenet1_1"]
    torch.save(network("squeezenet1_1").state_dict(), hub / "squeezenet1_1-b8a52dc0.pth")
    assert instantiate(model_config(squeeze)).classes == IMAGENET
    mine = ["model=python", f"model.target={module}:net", "model.classes=[a,b]"]
    assert instantiate(model_config(mine)).view == View(224, 224)


def test_vgg13_is_a_classifier_too():
    net = VGG13(MaxPool, width=2)
    assert Classifier(net, MEAN, STD, ["a"] * 10, View(32, 32))(torch.rand(1, 3, 32, 32)).shape == (1, 10)
