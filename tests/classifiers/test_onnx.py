"""A network in an ONNX file answers as the network of torch that it was exported from."""

import hashlib
import json
import sys
import warnings

import numpy as np
import onnx
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from lit_shift.classifiers.classifier import Classifier
from lit_shift.classifiers.onnx import OnnxNetwork, from_onnx
from lit_shift.data.view import View
from lit_shift.evaluation.folder import with_weights
from lit_shift.functional import jaggedness
from lit_shift.protocols import Circular
from lit_shift.utils.errors import InputError

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
OPTIONS = {"mean": MEAN, "std": STD, "size": 16, "resize": None, "interpolation": "bilinear"}


@pytest.fixture
def net():
    """A small network that aliases, with logits that differ."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 5)
    net = nn.Sequential(*layers).eval()
    with torch.no_grad():
        net[-1].weight.mul_(10)
    return net


def exported(net, file, shape=(1, 3, 16, 16), free=(0,), kind=torch.float32):
    """Export a network whose input has some free axes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is faster, and says that it is older
        axes = {"image": dict.fromkeys(free, "free")} if free else None
        torch.onnx.export(
            net, torch.zeros(shape, dtype=kind), file, input_names=["image"], dynamic_axes=axes, dynamo=False
        )
    return str(file)


def made(file, inputs, outputs, kind=onnx.TensorProto.FLOAT):
    """A model that returns the largest of its inputs, of these shapes, as often as there are outputs."""
    value = onnx.helper.make_tensor_value_info
    names = [f"x{i}" for i in range(len(inputs))]
    nodes = [onnx.helper.make_node("Max", names, [f"y{i}"]) for i in range(len(outputs))]
    graph = onnx.helper.make_graph(
        nodes,
        "made",
        [value(name, kind, shape) for name, shape in zip(names, inputs, strict=True)],
        [value(f"y{i}", kind, shape) for i, shape in enumerate(outputs)],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9), file)
    return str(file)


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_answers_are_those_of_torch_for_any_number_of_images(net, tmp_path, rng, batch):
    file = exported(net, tmp_path / "net.onnx", (batch or 1, 3, 16, 16), () if batch else (0,))
    classifier = from_onnx(file, **OPTIONS)
    assert classifier.net.batch == batch
    assert classifier.classes == [f"output {i}" for i in range(5)]
    for number in (1, 4, 7):
        images = torch.rand(number, 3, 16, 16, generator=rng)
        expected = net((images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
        torch.testing.assert_close(classifier(images), expected, atol=1e-4, rtol=1e-4)


def test_a_path_is_as_jagged_as_by_torch(net, tmp_path, rng):
    exported(net, tmp_path / "net.onnx")
    ours = from_onnx(str(tmp_path / "net.onnx"), **OPTIONS)
    theirs = Classifier(net, MEAN, STD, ours.classes, View(16, 16))
    images = torch.rand(6, 3, 16, 16, generator=rng)
    with torch.no_grad():
        frames = list(Circular("diagonal", 1, 0).frames(images, range(6), ours.view))
        ours, theirs = (torch.stack([each(frame) for frame in frames], 1) for each in (ours, theirs))
    labels = theirs[:, 0].argmax(1)
    assert jaggedness(ours, labels) == jaggedness(theirs, labels) > 0


def test_a_file_in_double_precision_answers_in_that_of_the_images(tmp_path, rng):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    images = torch.rand(2, 3, 16, 16, generator=rng)
    expected = net(images)
    exported(net.double(), tmp_path / "net.onnx", kind=torch.float64)
    found = OnnxNetwork(tmp_path / "net.onnx")(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ([[1, 16, 16, 3]], [[1, 16, 16, 3]], r"takes x0 \(1, 16, 16, 3\) of tensor\(float\): a single input of images"),
        ([[1, 3, 16, 16]] * 2, [[1, 3, 16, 16]], r"takes x0 .*, x1 .*: a single input of images \(N, 3, H, W\)"),
        ([["n", 5]], [["n", 5]], r"takes x0 \(n, 5\) of tensor\(float\): a single input"),
        ([[1, 1, 16, 16]], [[1, 1, 16, 16]], "a single input of images"),
        ([[1, 3, 16, 16]], [[1, 3, 16, 16]] * 2, r"returns y0 .*, y1 .*: a single output of logits \(N, K\)"),
        ([[1, 3, 16, 16]], [[1, 3, 16, 16]], r"returns a tensor \(1, 3, 16, 16\) for an image, not logits"),
        ([[1, 3, 24, 24]], [[1, 3, 24, 24]], r"size=16, but \S+ takes images of 24x24 pixels: say size=24"),
        ([[1, 3, "h", 24]], [[1, 3, "h", 24]], r"takes images of anyx24 pixels: say size=24"),
        ([[1, 3, 16, 24]], [[1, 3, 16, 24]], r"takes images of 16x24 pixels: only square images can be measured"),
    ],
)
def test_other_inputs_and_outputs_are_refused(tmp_path, inputs, outputs, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        from_onnx(made(tmp_path / "net.onnx", inputs, outputs), **OPTIONS)
    assert "\n" not in str(error.value)


def test_images_in_integers_are_refused(tmp_path):
    shape = [1, 3, 16, 16]
    with pytest.raises(InputError, match=r"of tensor\(int32\): a single input of images .* in floating point"):
        from_onnx(made(tmp_path / "net.onnx", [shape], [shape], onnx.TensorProto.INT32), **OPTIONS)


def test_what_is_no_onnx_file(tmp_path, net, monkeypatch):
    with pytest.raises(InputError, match=r"There is no file \S+none\.onnx\.$"):
        from_onnx(str(tmp_path / "none.onnx"), **OPTIONS)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match=r"text\.onnx cannot be read as an ONNX model \(.*\)\.$"):
        from_onnx(str(tmp_path / "text.onnx"), **OPTIONS)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="ONNX Runtime is not installed: install it with 'uv sync --extra onnx' or"):
        from_onnx(exported(net, tmp_path / "net.onnx"), **OPTIONS)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("mean", [0.5], r"mean=\[0.5\] must be three numbers"),
        ("size", 0, "size=0 must be a whole number"),
        ("interpolation", "cubic", "Unknown interpolation 'cubic'"),
        ("classes", ["a", "b"], "has 2 names, but the network has 5 outputs"),
    ],
)
def test_options_that_do_not_fit(tmp_path, net, option, value, sentence):
    with pytest.raises(InputError, match=sentence):
        from_onnx(exported(net, tmp_path / "net.onnx"), **OPTIONS | {option: value})


def test_frames_of_another_size_are_refused_by_name(net, tmp_path):
    exported(net, tmp_path / "net.onnx")
    with pytest.raises(InputError, match="takes images of 16x16 pixels, not of 20x16"):
        OnnxNetwork(tmp_path / "net.onnx")(torch.zeros(1, 3, 20, 16))


def test_the_command_measures_it_and_says_what_cannot_be_seen(net, tmp_path, run):
    file = exported(net, tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    for i in range(3):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
    data = ["data.root=images", "class_of=top1", "protocol=circular", "figures=false", "logger=csv"]
    options = ["model.size=16", "model.mean=[0,0,0]", "model.std=[1,1,1]", "trainer.accelerator=cpu"]
    finished = run("eval.py", "model=onnx", f"model.path={file}", *options, *data)
    assert finished.code == 0, finished.err
    assert "layers in an ONNX file cannot be seen: non-shiftability is not measured" in finished.err.replace("\n", " ")
    (folder,) = (tmp_path / "evals").iterdir()
    assert folder.name.startswith("imagefolder-net-")
    found = json.loads((folder / "metrics.json").read_text())
    assert found["circular/n"] == 3
    assert not any(key.startswith("network/") or "nonshiftability" in key for key in found)
    voted = run("eval.py", "model=onnx", f"model.path={file}", *options, *data[:2], *data[3:], "tta=2")
    assert voted.code == 0, voted.err


def test_a_file_is_known_by_the_weights_beside_it_too(tmp_path):
    """torch writes them to FILE.data, so that FILE is the same for other weights of the same network."""
    cfg = OmegaConf.create({"ckpt": None, "model": {"path": str(tmp_path / "net.onnx")}, "weights_sha256": None})
    (tmp_path / "net.onnx").write_bytes(b"graph")
    digests = [with_weights(cfg).weights_sha256]
    for weights in (b"one", b"other"):
        (tmp_path / "net.onnx.data").write_bytes(weights)
        digests.append(with_weights(cfg).weights_sha256)
    assert digests[0] == hashlib.sha256(b"graph").hexdigest()
    assert len(set(digests)) == 3
