"""Remedies measured against a loop over frames, and what is advised."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.loader import Batch
from lit_shift.data.view import View
from lit_shift.evaluation.remedied import command_for
from lit_shift.models import VGG13
from lit_shift.pools import MaxPool
from lit_shift.protocols.roll import Circular
from lit_shift.remedies.advice import advice
from lit_shift.remedies.candidates import NOTHING, Remedy, candidates
from lit_shift.remedies.measure import Measured
from lit_shift.remedies.saving import save
from lit_shift.utils.errors import InputError
from tests.conftest import train_tiny


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    net = VGG13(MaxPool, width=4, num_classes=5).train()
    net(torch.randn(64, 3, 32, 32))
    return Classifier(net, [0.5] * 3, [0.3] * 3, list("abcde"), View(32, 32))


def remedies(classifier, images=()):
    return list(candidates(classifier, [3], ["tri3"], "dense_first", None, images, seed=0))


def test_candidates(classifier):
    found = remedies(classifier, [torch.rand(8, 3, 32, 32)])
    names = ["nothing", "vote over 3 crops", "canonical crop", "antialias tri3", "antialias tri3, norms anew"]
    assert [remedy.name for remedy in found] == names
    assert [remedy.is_network for remedy in found] == [False, False, False, True, True]
    assert [remedy.passes for remedy in found[:3]] == [1, 3, 1]
    assert 1 < found[3].passes == found[4].passes < 1.2  # a 2x2 max takes no multiplications, its blur few
    assert len(remedies(classifier)) == 4


def test_measures_are_those_of_a_loop(classifier):
    torch.manual_seed(1)
    found = remedies(classifier)
    protocol = Circular("diagonal", draws=32, seed=0)
    measured = Measured(found, protocol, batch=7, skip_bad=False)
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([2, -1, 0])
    measured.update(Batch(pixels[:2], labels[:2], torch.tensor([0, 1])))
    measured.update(Batch(pixels[2:], labels[2:], torch.tensor([2])))
    steps = len(protocol.positions(classifier.view))
    with torch.no_grad():
        for remedy in found:
            expected = {name: [] for name in ("jaggedness", "mad", "agreement", "accuracy")}
            for image, label in zip(pixels / 255, labels.tolist(), strict=True):
                frames = list(protocol.frames(image[None], [0], classifier.view))
                logits = torch.cat([remedy.classifier.answer(frame, [(0, 0)]) for frame in frames])
                usual = torch.cat([classifier(frame) for frame in frames]).argmax(1)
                answers = logits.argmax(1)
                correct = label if label >= 0 else int(classifier(image[None]).argmax())
                curve = logits.double().softmax(1)[:, correct]
                expected["jaggedness"].append(float((answers[1:] != answers[:-1]).sum()) / (steps - 1))
                expected["mad"].append(float((curve[1:] - curve[:-1]).abs().mean()))
                expected["agreement"].append(float((answers == usual).sum()) / steps)
                if label >= 0:
                    expected["accuracy"].append(float((answers == label).sum()) / steps)
            for name, values in expected.items():
                np.testing.assert_allclose(measured.of(remedy, name), values, rtol=1e-4, atol=1e-6)
    assert (measured.of(found[0], "agreement") == 1).all()


class Given:
    """Measures that are given."""

    def __init__(self, classifier, **rows):
        self.remedies = [Remedy(name, classifier, passes) for name, (passes, *_) in rows.items()]
        self.rows = rows
        self.rate = "agreement" if rows[NOTHING][3] is None else "accuracy"

    def interval(self, remedy, measure):
        _, jaggedness, agreement, accuracy = self.rows[remedy.name]
        mean = {"jaggedness": jaggedness, "agreement": agreement, "accuracy": accuracy}[measure]
        return None if mean is None else (mean, mean - 0.02, mean + 0.02)


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ({"vote": (16, 0.05, 0.9, 0.79), "blur": (1.5, 0.06, 0.9, 0.79)}, "blur"),  # nearly as good, and cheaper
        ({"vote": (16, 0.05, 0.9, 0.79), "blur": (1.5, 0.10, 0.9, 0.79)}, "vote"),
        ({"vote": (16, 0.05, 0.9, 0.79), "blur": (1.5, 0.0, 0.1, 0.1)}, "vote"),  # answers always the same
        ({"vote": (16, 0.31, 0.9, 0.85), "blur": (1.5, 0.0, 0.1, 0.1)}, NOTHING),
        ({"vote": (16, 0.05, 0.7, None), "blur": (1.5, 0.2, 0.6, None)}, "vote"),  # without labels
        ({"vote": (16, 0.05, 0.5, None), "blur": (1.5, 0.2, 0.6, None)}, NOTHING),
    ],
)
def test_advice(classifier, rows, chosen):
    accuracy = None if rows["vote"][3] is None else 0.8
    found = advice(Given(classifier, **{NOTHING: (1, 0.3, 1.0, accuracy)}, **rows))
    assert found.remedy.name == chosen
    if chosen != NOTHING:
        assert f"at {rows[chosen][1]:.1%} of one-pixel steps instead of 30.0%" in found.sentence
        assert f"{rows[chosen][0]:.3g} times the work" in found.sentence
    else:
        assert "fine-tune" in found.sentence


def test_the_command_that_applies_a_remedy(classifier):
    nothing, vote, _, antialiased, _ = remedies(classifier, [torch.rand(8, 3, 32, 32)])
    words = ["model=resnet50", "data.root=my images", "votes=[3]", "protocol.size=64", "save=net.pt2"]
    assert command_for(nothing, words) is None
    assert command_for(vote, words) == (
        "lit-shift eval model=resnet50 'data.root=my images' protocol.size=64 protocol=embed tta=3 tta_by=crop"
    )
    assert command_for(antialiased, words) == (
        "lit-shift remedies model=resnet50 'data.root=my images' 'votes=[3]' protocol.size=64 "
        "'remedy=antialias tri3' save=network.onnx"
    )


def test_labels_decide_if_half_of_the_images_have_one(classifier):
    for labels, rate in (([2, 0, -1, -1], "accuracy"), ([2, -1, -1, -1], "agreement")):
        measured = Measured(remedies(classifier)[:1], Circular("diagonal", draws=2, seed=0), batch=8, skip_bad=False)
        measured.update(Batch(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.tensor(labels), torch.arange(4)))
        assert measured.rate == rate


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_a_saved_network_answers_alike(classifier, tmp_path, ending, capsys):
    found = remedies(classifier)
    file = tmp_path / "new" / f"network{ending}"
    save(found, "antialias tri3", file)
    assert ", for images of 32x32 pixels" in capsys.readouterr().err
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected = found[3].classifier.net(x)
    torch.testing.assert_close(answers(file, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_a_saved_network_takes_images_of_any_size_if_the_network_does(tmp_path, ending, capsys):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    class Passes(nn.Module):
        """A network that takes whatever it is given, as some do."""

        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, *images):
            return self.net(*images)

    classifier = Classifier(Passes(), [0.5] * 3, [0.3] * 3, list("abcde"), View(32, 32))
    found = remedies(classifier)
    file = tmp_path / f"network{ending}"
    save(found, "antialias tri3", file)
    assert "pixels" not in capsys.readouterr().err
    x = torch.randn(1, 3, 17, 40)
    with torch.no_grad():
        expected = found[3].classifier.net(x)
    torch.testing.assert_close(answers(file, x), expected, rtol=1e-4, atol=1e-5)


def answers(file, x):
    if file.suffix == ".pt2":
        return torch.export.load(file).module()(x)
    session = pytest.importorskip("onnxruntime").InferenceSession(file)
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def test_what_cannot_be_saved(classifier, tmp_path):
    found = remedies(classifier)
    for name, file, words in (
        ("antialias tri5", "net.pt2", "Unknown remedy 'antialias tri5'"),
        ("vote over 3 crops", "net.pt2", "is no network that could be saved: say remedy=NAME, one of antialias tri3"),
    ):
        with pytest.raises(InputError, match=words):
            save(found, name, tmp_path / "new" / file)
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def run_of_max(images, tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("remedies"), images, "trainer.max_epochs=1", "pool=max")


def test_the_command(run, run_of_max, tmp_path):
    protocol = ("protocol=circular", "protocol.images=4", "votes=[2]", "filters=[tri5]", "unlabelled=8")
    finished = run("lit_shift/commands/remedies.py", f"ckpt={run_of_max}", *protocol, f"save={tmp_path}/net.pt2")
    assert finished.code == 0, finished.err
    for words in ("vote over 2 crops", "antialias tri5, norms anew", "jaggedness"):
        assert words in finished.out
    out = run_of_max / "remedies"
    table, content = pd.read_csv(out / "remedies.csv"), json.loads((out / "remedies.json").read_text())
    assert list(table.remedy) == [row["remedy"] for row in content["remedies"]]
    assert ((table.jaggedness_ci95_low <= table.jaggedness) & (table.jaggedness <= table.jaggedness_ci95_high)).all()
    assert content["advice"] in " ".join((finished.out + finished.err).split())
    assert (out / "remedies.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("protocol=whole",), "its frames are no path"),
        (("protocol=[embed,circular]",), "along one path, not 2"),
        (("filters=[tri4]",), "Unknown filters 'tri4'"),
        (("votes=[1]",), "votes=1 must be a whole number, 2 or more"),
        (("antialias_order=first",), "Unknown antialias_order 'first'"),
        (("antialias_padding=wrap",), "Unknown antialias_padding 'wrap'"),
        (("tuned=nothere",), "There is no checkpoint 'nothere': type tuned=RUN"),
        (("save=net.pth",), "save=net.pth must end in .pt2 or .onnx"),
    ],
)
def test_bad_input(run, run_of_max, arguments, words):
    finished = run(
        "lit_shift/commands/remedies.py", f"ckpt={run_of_max}", "protocol.images=2", "unlabelled=0", *arguments
    )
    assert finished.code == 2
    assert words in finished.err
    assert finished.err.count("error:") == 1


def test_what_is_wrong_is_said_before_anything_is_measured(run, run_of_max):
    finished = run("eval.py", f"ckpt={run_of_max}", "protocol=circular", "antialias=tri4")
    assert finished.code == 2
    assert "Unknown antialias 'tri4'" in finished.err
    assert "written" not in finished.err
    finished = run("train.py", "experiment=finetune", "antialias=tri3")
    assert finished.code == 2
    assert "say init=RUN, or model=NAME for a network trained elsewhere" in finished.err


def test_a_run_before_and_after(run, run_of_max):
    arguments = ("protocol=circular", "protocol.images=4", "figures=false", "antialias=tri5")
    finished = run("eval.py", f"ckpt={run_of_max}", *arguments)
    assert finished.code == 0, finished.err
    assert "Side by side" in finished.out
    assert "dense, tri5, subsampled" in finished.err + finished.out
    before, after = (
        json.loads((run_of_max / folder / "metrics.json").read_text()) for folder in ("eval", "eval-antialias-tri5")
    )
    assert after["circular/mad"] != before["circular/mad"]
    assert after["network/multiplications"] > before["network/multiplications"]


def test_fine_tuning_starts_from_a_runs_weights(images, run_of_max, run, tmp_path):
    arguments = (
        "experiment=finetune",
        f"init={run_of_max}",
        "antialias=tri5",
        "trainer.max_epochs=1",
        "optimizer.lr=0",
    )
    tuned = train_tiny(tmp_path, images, *arguments)
    assert "antialias-tri5" in tuned.name
    ours, theirs = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (tuned, run_of_max)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if name.endswith(".weight"))
    finished = run("eval.py", f"ckpt={tuned}", "figures=false")
    assert finished.code == 0, finished.err
    assert json.loads((tuned / "eval/metrics.json").read_text()) == json.loads((tuned / "metrics.json").read_text())
