"""What is logged is the measure of the right images, computed by brute force here."""

import os
import signal
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer
from scipy.signal import resample

from lit_shift import feature_distance, functional
from lit_shift.callbacks import (
    ConsistencyReadings,
    Equivariance,
    FilterTV,
    LieDerivative,
    ShiftMeasures,
    ShownImages,
)
from lit_shift.callbacks.probe import Probe
from lit_shift.data import Digits
from lit_shift.data.loader import Images
from lit_shift.intervals import of_mean
from lit_shift.models import VGG13, ResNet18
from lit_shift.models.layers import Layers
from lit_shift.models.lie import bandwidth, lie_derivatives
from lit_shift.pools.pool import MaxPool
from lit_shift.shifts import draw_offsets, fourier_shift, roll, seeded
from lit_shift.training.module import LitClassifier
from lit_shift.training.signals import KeepMeasured


class FewDigits(Digits):
    """Seven test images, in batches of 3, 3 and 1."""

    def setup(self, stage=None):
        super().setup(stage)
        self.test = Images(*(part[:7] for part in self.test))


@pytest.fixture
def data():
    module = FewDigits(batch_size=64, eval_batch_size=3, aug=False, flip=False, padding="circular", val_size=0, seed=0)
    module.setup()
    return module


def classifier(data, padding):
    """Of random weights, each layer normalised, so that its answers depend on the shift."""
    torch.manual_seed(0)
    net = VGG13(partial(MaxPool, padding=padding), width=2, padding=padding)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1
    net(torch.randn(8, 3, 32, 32))
    optimizer = partial(torch.optim.SGD, lr=0.01)
    return LitClassifier(net, data.mean, data.std, optimizer, milestones=[0.5], gamma=0.1, compile=False)


class _Halved(torch.autograd.Function):
    """Every second sample, by an operation without a derivative."""

    @staticmethod
    def forward(ctx, x):
        return x[:, :, ::2, ::2].clone()


class BackwardOnly(torch.nn.Module):
    def forward(self, x):
        return _Halved.apply(x)


def trainer(*callbacks, **options):
    return Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=os.devnull,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        **options,
    )


def logits_at(module, pixels, offsets):
    every = pixels.repeat_interleave(offsets.shape[1], 0), offsets.flatten(0, 1)
    with torch.no_grad():
        logits = [module(roll(*some)) for some in zip(*(part.split(256) for part in every), strict=True)]
    return torch.cat(logits).unflatten(0, offsets.shape[:2])


def expected(logits, labels, sampled):
    return {
        "accuracy_random": functional.accuracy_random(logits, labels).item(),
        "consistency": functional.consistency(logits, sampled).item(),
        "variation": functional.variation(logits, labels, sampled).item(),
    }


def flip_rates(logits):
    """Of logits (N, 1024, K) at all shifts."""
    torus = logits.unflatten(1, (32, 32))
    by_direction = {name: functional.flip_rate(torus, name).item() for name in functional.STEPS}
    both = (by_direction["horizontal"] + by_direction["vertical"]) / 2
    return {"flip_rate": both} | {f"flip_rate_{name}": value for name, value in by_direction.items()}


def test_all_shifts_of_the_whole_test_set(data):
    module = classifier(data, "circular")
    run = trainer(ShiftMeasures(1, 4, 8, 0), FilterTV(1))
    run.test(module, data, verbose=False)
    offsets = torch.tensor(list(product(range(32), repeat=2))).expand(7, -1, -1)
    logits = logits_at(module.eval(), data.test.pixels, offsets)
    logged = {key: value.item() for key, value in run.callback_metrics.items()}
    for name, value in (expected(logits, data.test.labels, sampled=False) | flip_rates(logits)).items():
        assert logged[f"test/{name}"] == pytest.approx(value, rel=1e-4)
        assert logged[f"test/{name}_ci95_low"] < logged[f"test/{name}"] < logged[f"test/{name}_ci95_high"]
    correct = (logits[:, 0].argmax(1) == data.test.labels).float().mean()
    assert logged["test/accuracy"] == pytest.approx(correct.item())
    ends = [logged[f"test/accuracy_ci95_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx(of_mean(correct.item(), correct.item() * (1 - correct.item()), 7), abs=1e-6)
    assert logged["test/images"] == 7
    assert logged["test/shifts"] == 1024
    assert logged["test/exact"] == 1
    for block, i in product(range(1, 6), (1, 2)):
        weight = getattr(module.net.features, f"conv{block}_{i}").weight
        assert logged[f"tv/conv{block}_{i}"] == pytest.approx(functional.total_variation(weight).item())


def test_a_seeded_sample_of_shifts_where_boundaries_are_not_circular(data):
    module = classifier(data, "zeros")
    run = trainer(ShiftMeasures(1, 4, 8, seed=5))
    run.test(module, data, verbose=False)
    offsets = draw_offsets((7, 8), 32, 32, seeded(5))
    values = expected(logits_at(module.eval(), data.test.pixels, offsets), data.test.labels, sampled=True)
    for name, value in values.items():
        assert run.callback_metrics[f"test/{name}"].item() == pytest.approx(value, rel=1e-4)
    assert run.callback_metrics["test/shifts"] == 8
    assert run.callback_metrics["test/exact"] == 0
    assert not [key for key in run.callback_metrics if "flip_rate" in key]  # a sample has no steps


def test_during_training_a_subset_every_n_epochs_without_touching_the_training(data):
    """The weights of a training that is measured are those of one that is not."""
    seen = {}

    class Watched(ShiftMeasures):
        def _log(self, stage):
            super()._log(stage)
            seen.setdefault(stage, []).append(self.probe.module.current_epoch + 1)

    measured, plain = classifier(data, "circular"), classifier(data, "circular")
    options = {"max_epochs": 3, "limit_train_batches": 2}
    trainer(Watched(2, 4, 8, 0), **options).fit(measured, data)
    trainer(**options).fit(plain, data)
    assert seen == {"subset": [2]}
    weights = zip(measured.net.state_dict().values(), plain.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_arrays_of_every_test_image_in_order(data):
    module, measures = classifier(data, "circular"), ShiftMeasures(1, 4, 8, 0)
    trainer(measures).test(module, data, verbose=False)
    offsets = torch.tensor([[d, d] for d in range(32)]).expand(7, -1, -1)
    probabilities = logits_at(module.eval(), data.test.pixels, offsets).double().softmax(2)
    correct = probabilities[torch.arange(7), :, data.test.labels]
    np.testing.assert_allclose(module.arrays["diagonal"], correct, rtol=1e-4)
    assert module.arrays["labels"].tolist() == data.test.labels.tolist()
    every = torch.tensor(list(product(range(32), repeat=2))).expand(7, -1, -1)
    logits = logits_at(module, data.test.pixels, every)
    expected = functional.variation(logits, data.test.labels, reduction="none")
    np.testing.assert_allclose(module.arrays["variation"], expected, rtol=1e-3)


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_the_means_of_arrays_are_the_measures(data, padding):
    """Of an untrained network, which is right where the label is its own answer: on every second image."""
    module = classifier(data, padding)
    answers = module.eval()(data.test.pixels).argmax(1)
    data.test = data.test._replace(labels=torch.where(torch.arange(7) % 2 == 0, answers, (answers + 1) % 10))
    run = trainer(ShiftMeasures(1, 4, 8, 0))
    run.test(module, data, verbose=False)
    names = {name for name in module.arrays if f"test/{name}" in run.callback_metrics}
    over_steps = {"flip_rate", "flip_rate_vertical", "flip_rate_horizontal", "flip_rate_diagonal"}
    over_shifts = {"accuracy", "accuracy_random", "consistency", "variation"}
    assert names == (over_shifts | over_steps if padding == "circular" else over_shifts)
    for name in names:
        assert module.arrays[name].shape == (7,)
        assert module.arrays[name].dtype == np.float32
        mean = module.arrays[name].mean(dtype=float)
        assert mean == pytest.approx(run.callback_metrics[f"test/{name}"].item(), rel=1e-5)
    assert module.arrays["accuracy"].tolist() == [1, 0, 1, 0, 1, 0, 1]


def test_without_circular_boundaries_the_diagonal_is_measured_shift_by_shift(data):
    module, measures = classifier(data, "zeros"), ShiftMeasures(1, 4, 8, 0)
    trainer(measures).test(module, data, verbose=False)
    offsets = torch.tensor([[d, d] for d in range(32)]).expand(7, -1, -1)
    logits = logits_at(module.eval(), data.test.pixels, offsets)
    expected = functional.correct_probability(logits, data.test.labels)
    np.testing.assert_allclose(module.arrays["diagonal"], expected, rtol=1e-4)


def features_of(module, pixels):
    """Every layer of Fig. 4, by hooks on plain passes; the dense operations by calling them."""
    seen = {"pixels": module.normalize(pixels)}
    hooks = []
    for name, layer in module.net.features.named_children():

        def hook(layer, inputs, output, name=name):
            if name.startswith("pool"):
                seen[f"{name}_dense"], name = layer.dense(inputs[0]), f"{name}_ds"
            seen[name] = output.clone()

        hooks.append(layer.register_forward_hook(hook))
    with torch.no_grad():
        seen["classifier"] = module(pixels)
    seen["softmax"] = seen["classifier"].softmax(1)
    for handle in hooks:
        handle.remove()
    return {
        name: maps.flatten(1).unflatten(1, (maps.shape[1], -1)) if maps.ndim == 4 else maps[:, :, None]
        for name, maps in seen.items()
    }, {name: maps.shape[2:] or (1, 1) for name, maps in seen.items()}


def test_equivariance_of_a_seeded_subset_at_shifts_of_every_kind(data):
    module, callback = classifier(data, "circular"), Equivariance(1, 5, 0, every_layer=False)
    run = trainer(callback)
    run.test(module, data, verbose=False)
    images = data.subset_dataloader(data.test, 5, 0).images.pixels
    unshifted, sizes = features_of(module.eval(), images)

    def at_resolution(maps, size):
        maps = maps.unflatten(2, size).double().numpy()
        return torch.from_numpy(resample(resample(maps, 32, axis=2), 32, axis=3))

    names = [key.removeprefix("equivariance/") for key in module.arrays if key.startswith("equivariance/")]
    assert (names[0], names[-1]) == ("pixels", "softmax")
    for h, w in ((1, 0), (5, 6), (16, 16), (31, 2)):
        shifted, _ = features_of(module, images.roll((h, w), (2, 3)))
        for name in names:
            ours = at_resolution(unshifted[name], sizes[name]).roll((h, w), (2, 3))
            distance = feature_distance.cosine_distance(ours, at_resolution(shifted[name], sizes[name])).mean()
            assert module.arrays[f"equivariance/{name}"][h, w] == pytest.approx(distance.item(), abs=2e-6)
            distance = feature_distance.cosine_distance(unshifted[name], shifted[name]).mean()
            assert module.arrays[f"invariance/{name}"][h, w] == pytest.approx(distance.item(), abs=2e-6)
    for name in names:
        for kind in ("equivariance", "invariance"):
            mean = module.arrays[f"{kind}/{name}"].mean()
            assert run.callback_metrics[f"{kind}/{name}"].item() == pytest.approx(mean)
        assert tuple(module.arrays[f"resolution/{name}"]) == tuple(sizes[name])
        pairs = feature_distance.cosine_distance(unshifted[name][:-1], unshifted[name][1:]).mean()
        assert module.arrays[f"between_images/{name}"] == pytest.approx(pairs.item(), abs=2e-6)


def test_equivariance_of_a_network_whose_last_map_has_several_places(data):
    """A ResNet's logits have 8x8 phases on 32x32 images: shifts by 8 pixels only roll its last map."""
    module = classifier(data, "circular")
    module.net = ResNet18(MaxPool, width=2)
    trainer(Equivariance(1, 7, 0, False)).test(module, data, verbose=False)
    of_softmax = module.arrays["invariance/softmax"]
    assert of_softmax.shape == (32, 32)
    assert of_softmax[0, 0] == of_softmax[8, 16] == 0
    assert of_softmax[1, 1] == of_softmax[9, 25] > 0


def test_an_unknown_upsampling_is_named_with_the_choices():
    with pytest.raises(ValueError, match=r"lanczos.*fourier, bilinear, nearest"):
        Equivariance(1, 5, 0, False, "lanczos")


def test_networks_that_do_not_commute_with_shifts_have_no_equivariance_and_one_reading_less(data, capsys):
    run = trainer(Equivariance(1, 5, 0, False), ConsistencyReadings(5, 0))
    run.test(classifier(data, "zeros"), data, verbose=False)
    assert not [key for key in run.callback_metrics if key.startswith(("equivariance", "consistency"))]
    assert capsys.readouterr().err.count("circular boundaries everywhere") == 2


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_rates_of_change_of_a_seeded_subset(data, padding):
    """Whatever the boundaries; over batches of 3 and 2."""
    module = classifier(data, padding)
    run = trainer(LieDerivative(5, 0))
    run.test(module, data, verbose=False)
    module.eval()
    x = module.normalize(data.subset_dataloader(data.test, 5, 0).images.pixels)
    found = lie_derivatives(Layers(module.net, x[:1]), x)
    expected = {"test/lie_derivative": found.output, "test/bandwidth": bandwidth(x)}
    expected |= {f"lie_derivative/{name}": rates for name, rates in found.layers.items()}
    assert len(expected) == 2 + 15
    for key, values in expected.items():
        assert run.callback_metrics[key].item() == pytest.approx(values.double().mean().item(), rel=1e-3)
        low, high = (run.callback_metrics[f"{key}_ci95_{end}"].item() for end in ("low", "high"))
        bound = 2**0.5 if key == "test/bandwidth" else np.inf
        ends = of_mean(values.double().mean().item(), values.double().var(correction=0).item(), 5, bound)
        assert (low, high) == pytest.approx(ends, rel=1e-3)


class Detached(torch.nn.Linear):
    """Leaves PyTorch's differentiation, so that all rates would be 0."""

    def forward(self, x):
        return super().forward(x.detach())


@pytest.mark.parametrize(("name", "layer"), [("features.pool1", BackwardOnly()), ("classifier", Detached(16, 10))])
def test_a_network_without_forward_derivative_has_no_rates_and_all_else(data, name, layer, capsys):
    module = classifier(data, "circular")
    module.net.set_submodule(name, layer)
    run = trainer(LieDerivative(5, 0))
    run.test(module, data, verbose=False)
    assert "Lie derivatives are not measured" in capsys.readouterr().err
    assert not [key for key in run.callback_metrics if "lie" in key or "bandwidth" in key]
    assert "test/accuracy" in run.callback_metrics


def test_readings_of_consistency_from_single_passes(data):
    module = classifier(data, "circular")
    run = trainer(ConsistencyReadings("all", 0))
    run.test(module, data, verbose=False)
    module.eval()
    pixels, labels = data.test.pixels, data.test.labels
    every = torch.tensor(list(product(range(32), repeat=2))).expand(7, -1, -1)
    circular = logits_at(module, pixels, every).argmax(2)
    logged = {key: value.item() for key, value in run.callback_metrics.items()}
    same = (circular[:, :, None] == circular[:, None]).double().mean((1, 2))
    assert logged["consistency/pairs"] == pytest.approx(same.mean().item())
    ends = [logged[f"consistency/pairs_ci95_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx(of_mean(same.mean().item(), same.var(correction=0).item(), 7))
    correct = (circular == labels[:, None]).double().mean(1)
    assert logged["consistency/same_and_correct"] == pytest.approx(correct.square().mean().item())
    x = module.normalize(pixels)
    half = logits_at(module.net, fourier_shift(x, 0.5, 0.5), every).argmax(2)  # whole steps from there are rolls
    unshifted = (half == circular[:, :1]).double().mean()
    assert logged["consistency/half_pixel"] == pytest.approx(unshifted.item(), abs=2 / (7 * 1024))
    padded = torch.nn.functional.pad(x, (3, 3, 3, 3))
    with torch.no_grad():
        crops = [module.net(padded[:, :, a : a + 32, b : b + 32]).argmax(1) for a, b in product(range(6), repeat=2)]
    crops = torch.stack(crops, 1)
    agreeing = (crops[:, :, None] == crops[:, None]).double().mean()
    assert logged["consistency/zero_padded_crops"] == pytest.approx(agreeing.item())


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_shown_images_at_every_shift(data, padding):
    module, callback = classifier(data, padding), ShownImages([6, 2], 8, 2, 0)
    trainer(callback).test(module, data, verbose=False)
    shown = module.arrays["shown"].tolist()
    assert module.arrays["chosen"].tolist() == shown[:2] == [6, 2]
    assert np.array_equal(module.arrays["pixels"], data.test.pixels[shown])
    every = torch.tensor(list(product(range(32), repeat=2))).expand(len(shown), -1, -1)
    expected = logits_at(module.eval(), data.test.pixels[shown], every).softmax(2).unflatten(1, (32, 32))
    np.testing.assert_allclose(module.arrays["probabilities"], expected, atol=1e-5)


def test_the_least_stable_are_shown_where_none_is_chosen(data):
    measures, callback = ShiftMeasures(1, 4, 8, 0), ShownImages(None, 3, 2, 0)
    module = classifier(data, "circular")
    trainer(measures, callback).test(module, data, verbose=False)
    variation, shown = module.arrays["variation"], set(module.arrays["shown"])
    assert module.arrays["chosen"].tolist() == sorted(range(7), key=lambda place: -variation[place])[:3]
    again = ShownImages(None, 0, 2, 0)
    trainer(again).test(module, data, verbose=False)
    assert set(module.arrays["shown"]) <= shown  # the sample is that of every model


@pytest.mark.parametrize("moment", ["first batch", "layers", "rates", "readings", "images"])
def test_an_interrupted_measurement_keeps_what_it_has(data, moment):
    class Interrupt(Callback):
        """Ctrl-C after the first batch, or while a callback measures by itself."""

        def on_test_batch_end(self, *_):
            if moment == "first batch":
                os.kill(os.getpid(), signal.SIGINT)

        def on_test_epoch_end(self, *_):
            if moment != "first batch":
                os.kill(os.getpid(), signal.SIGINT)

    callbacks = [ShiftMeasures(1, 4, 8, 0)]
    parts = {"layers": Equivariance(1, 7, 0, False), "rates": LieDerivative(7, 0)}
    parts["readings"] = ConsistencyReadings(7, 0)
    parts["images"] = ShownImages([0], 0, 2, 0)
    for name, callback in parts.items():
        callbacks += [Interrupt(), callback] if name == moment else [callback]
    callbacks += [Interrupt()] if moment == "first batch" else []
    before = signal.getsignal(signal.SIGINT)
    run = trainer(*callbacks, KeepMeasured())
    module = classifier(data, "circular")
    run.test(module, data, verbose=False)
    assert signal.getsignal(signal.SIGINT) == before
    logged = {key.split("/")[0] for key in run.callback_metrics}
    first = moment == "first batch"
    assert run.callback_metrics["test/images"] == (3 if first else 7)
    assert ("equivariance" in logged) == (moment not in ("first batch", "layers"))
    assert ("lie_derivative" in logged) == (moment in ("readings", "images"))
    assert ("consistency" in logged) == (moment == "images")
    assert "shown" not in module.arrays


@pytest.mark.parametrize(
    ("callback", "key"),
    [
        (Equivariance(1, 7, 0, False), "equivariance"),
        (LieDerivative(7, 0), "lie_derivative"),
        (ConsistencyReadings(7, 0), "consistency"),
        (ShownImages([0, 1], 0, 0, 0), "shown"),
    ],
)
def test_a_measure_that_is_cut_within_its_loop_is_none(data, callback, key, monkeypatch):
    """Its mean over fewer images is not passed off as one over all."""
    seen = []

    def interrupt(self, pixels):
        seen.append(len(pixels))
        os.kill(os.getpid(), signal.SIGINT)
        return normalize(self, pixels)

    normalize = Probe.input
    run = trainer(ShiftMeasures(1, 4, 8, 0), callback, KeepMeasured())
    measure = callback.on_test_epoch_end

    def interrupted(*arguments):
        monkeypatch.setattr(Probe, "input", interrupt)
        measure(*arguments)

    monkeypatch.setattr(callback, "on_test_epoch_end", interrupted)
    module = classifier(data, "circular")
    run.test(module, data, verbose=False)
    assert seen
    assert not [name for name in run.callback_metrics if name.startswith(key)]
    assert {"labels", "accuracy", "consistency", "diagonal"} <= module.arrays.keys()  # those of ShiftMeasures
    assert not [name for name in module.arrays if name.startswith((f"{key}/", "shown"))]
    assert run.callback_metrics["test/complete"] == 1


def test_a_measure_of_a_part_of_the_test_set_says_so(data):
    run = trainer(ShiftMeasures(1, 4, 8, 0), limit_test_batches=2)
    run.test(classifier(data, "circular"), data, verbose=False)
    assert (run.callback_metrics["test/images"], run.callback_metrics["test/complete"]) == (6, 0)
