import re
from functools import partial
from itertools import product

import pytest
import torch
from scipy.signal import resample
from torch import nn

from lit_shift.classifiers.classifier import full_precision
from lit_shift.feature_distance import cosine_distance, equivariance_distance, invariance_distance
from lit_shift.models.vgg import VGG13
from lit_shift.orbit import LayersAtAllShifts, obstacle, orbit_logits, sampled_logits
from lit_shift.pools.pool import AvgPool, MaxPool, MaxPoolBlurDS
from lit_shift.shifts import roll
from lit_shift.utils.errors import InputError
from tests.pools import of_the_field


def trained(pool, padding="circular", width=2):
    """A float64 network in which the image's detail lives on to the logits, its batch norms not trivial."""
    torch.manual_seed(0)
    return of_the_field.trained(VGG13(pool, num_classes=5, width=width, padding=padding))


def brute_force(model, x):
    height, width = x.shape[-2:]
    offsets = torch.tensor(list(product(range(height), range(width))))
    with torch.no_grad():
        return torch.stack(
            [model(roll(image.expand(len(offsets), -1, -1, -1), offsets)).view(height, width, -1) for image in x]
        )


@pytest.mark.parametrize(
    ("pool", "images"),
    [
        (MaxPool, 2),
        (AvgPool, 1),
        (MaxPoolBlurDS, 1),
        (partial(MaxPoolBlurDS, "rect2"), 1),
        (partial(MaxPoolBlurDS, "pascal7"), 1),
    ],
    ids=["max", "avg", "tri5", "rect2", "pascal7"],
)
def test_all_shifts_at_once_are_1024_passes(pool, images, rng):
    model = trained(pool)
    x = torch.randn(images, 3, 32, 32, dtype=torch.float64, generator=rng)
    expected = brute_force(model, x)
    assert expected.std(dim=(1, 2)).min() > 1e-7  # the shifts do differ
    torch.testing.assert_close(orbit_logits(model, x), expected, rtol=0, atol=1e-12)


def test_images_that_are_not_square_and_larger_than_32(rng):
    model = trained(MaxPool, width=1)
    x = torch.randn(1, 3, 32, 64, dtype=torch.float64, generator=rng)
    torch.testing.assert_close(orbit_logits(model, x), brute_force(model, x), rtol=0, atol=1e-12)


def test_float32_to_rounding(rng):
    model = trained(MaxPoolBlurDS).float()
    x = torch.randn(1, 3, 32, 32, generator=rng)
    torch.testing.assert_close(orbit_logits(model, x), brute_force(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("pool", [MaxPool, AvgPool, MaxPoolBlurDS])
def test_a_gpu_computes_what_a_cpu_does(pool, rng):
    model = trained(pool, width=16).float()
    x = torch.randn(4, 3, 32, 32, generator=rng)
    expected, expected_orbit = model(x).detach(), orbit_logits(model, x)
    model, x = model.cuda(), x.cuda()
    with full_precision(x.device):
        torch.testing.assert_close(model(x).cpu(), expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(orbit_logits(model, x).cpu(), expected_orbit, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_other_boundaries_are_refused_and_sampled_instead(padding, rng):
    model = trained(partial(MaxPoolBlurDS, padding=padding), padding)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng)
    with pytest.raises(ValueError, match="circular boundaries"):
        orbit_logits(model, x)
    offsets = torch.randint(32, (2, 5, 2), generator=rng)
    logits = sampled_logits(model, x, offsets)
    for n, s in product(range(2), range(5)):
        shifted = model(roll(x[n : n + 1], offsets[n, s : s + 1]))[0]
        torch.testing.assert_close(logits[n, s], shifted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (VGG13(partial(MaxPool, padding="zeros"), width=1), "features.pool1"),
        (VGG13(MaxPool, width=1, padding="reflect"), "features.conv1_1"),
        (VGG13(lambda: nn.MaxPool2d(3, 2, 1), width=1), "features.pool1"),
        (VGG13(lambda: nn.AvgPool2d(2, 2, 1), width=1), "features.pool1"),
    ],
)
def test_the_first_layer_whose_boundary_is_not_circular_is_named(model, layer):
    with pytest.raises(InputError, match=rf"circular boundaries everywhere, but {layer} \("):
        orbit_logits(model.eval(), torch.zeros(1, 3, 32, 32))


def test_training_mode_is_refused(rng):
    with pytest.raises(ValueError, match=r"eval\(\)"):
        orbit_logits(trained(MaxPool).train(), torch.zeros(1, 3, 32, 32, dtype=torch.float64))


class Uneven(MaxPoolBlurDS):
    """Looks like a pool, but does not commute with shifts."""

    def dense(self, x):
        return x * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


def Strided(channels):
    """A convolution of stride 2 in a pool's place."""
    return nn.Conv2d(channels, channels, 3, stride=2, padding=1, padding_mode="circular")


class Forward(MaxPool):
    """Overrides the forward pass alone."""

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 2)


@pytest.mark.parametrize("pool", [Forward, lambda: nn.MaxPool2d(2), lambda: nn.AvgPool2d(2), Strided])
def test_pools_of_any_kind_are_taken(pool, rng):
    model = trained(pool)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=rng)
    torch.testing.assert_close(orbit_logits(model, x), brute_force(model, x), rtol=0, atol=1e-12)
    assert not obstacle(model, x)


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (Uneven, r"features.pool1 \(Uneven\), or a function just before it, is the first to give another result"),
        (partial(MaxPool, padding="zeros"), "padding=zeros"),
    ],
)
def test_what_does_not_commute_with_shifts_is_found_out(pool, reason, rng):
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=rng)
    assert re.search(reason, obstacle(trained(pool), x))
    assert not obstacle(trained(MaxPoolBlurDS), x)
    assert not obstacle(trained(MaxPool).float(), x.float())


class OnlyConstant(MaxPool):
    """Commutes with shifts on constant maps alone: what it adds depends on where a map varies."""

    def at_once(self, x):
        return None

    def dense(self, x):
        columns = torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)
        return super().dense(x) + columns * (x.amax((2, 3), keepdim=True) - x.amin((2, 3), keepdim=True))


@pytest.mark.parametrize("value", [0, 0.5, -3])
def test_a_pool_that_commutes_on_a_constant_image_alone_is_found_out(value):
    x = torch.full((1, 3, 32, 32), value, dtype=torch.float64)
    model = trained(OnlyConstant)
    torch.testing.assert_close(orbit_logits(model, x), brute_force(model, x))  # there it does commute
    assert obstacle(model, x)
    assert not obstacle(trained(MaxPool), x)


def test_images_without_finite_answers_tell_nothing(rng):
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=rng)
    x[1] = torch.nan
    assert not obstacle(trained(MaxPool), x)
    assert obstacle(trained(Uneven), x)
    silent = trained(MaxPool)
    silent.classifier.bias.data[:] = torch.nan
    assert obstacle(silent, x)


@pytest.mark.parametrize("size", [(48, 48), (31, 32), (32, 16)])
def test_images_that_the_pools_cannot_halve_are_refused_at_once(size):
    with pytest.raises(ValueError, match=f"multiples of 32, not {size[0]}x{size[1]}"):
        orbit_logits(trained(MaxPool), torch.zeros(1, 3, *size, dtype=torch.float64))


class Unseen(nn.Module):
    """Subsamples by a function."""

    def forward(self, x):
        return nn.functional.max_pool2d(x, 2)


def test_subsampling_that_is_not_seen_is_refused_by_name():
    image = torch.zeros(1, 3, 32, 32)
    mixed = VGG13(iter([Unseen(), *(MaxPool() for _ in range(4))]).__next__, width=1).eval()
    with pytest.raises(InputError, match=r"features.pool1 \(Unseen\) makes it 16x16 where 32x32 was expected"):
        orbit_logits(mixed, image)
    with pytest.raises(InputError, match="no layer that is known to subsample by 2"):
        orbit_logits(VGG13(Unseen, width=1).eval(), image)
    with pytest.raises(InputError, match=r"features.pool1 \(AvgPool2d\) makes it 15x15 where 16x16"):
        orbit_logits(VGG13(iter([nn.AvgPool2d(3, 2), *(MaxPool() for _ in range(4))]).__next__, width=1).eval(), image)
    with pytest.raises(InputError, match=r"features.pool1 \(AvgPool2d\) makes it 8x8 where 32x32"):
        orbit_logits(VGG13(iter([nn.AvgPool2d(4), *(MaxPool() for _ in range(4))]).__next__, width=1).eval(), image)


def test_the_model_is_left_as_it_was():
    model, image = trained(MaxPool, width=1), torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    before = [(dict(module.__dict__), len(module._forward_hooks)) for module in model.modules()]
    orbit_logits(model, image)
    with pytest.raises(InputError):
        orbit_logits(model, image[..., :16])
    assert [(dict(module.__dict__), len(module._forward_hooks)) for module in model.modules()] == before


def maps_of(model, x):
    """Every layer's map of one pass, by hand: no phases, and the dense operation a pass of its own."""
    maps = {"pixels": x}
    for name, layer in model.features.named_children():
        if name.startswith("pool"):
            maps[f"{name}_dense"] = layer.dense(x)
            name = f"{name}_ds"
        x = maps[name] = layer(x)
    maps["classifier"] = model.classifier(x.mean((2, 3)))[:, :, None, None]
    maps["softmax"] = maps["classifier"].softmax(1)
    return maps


def at_resolution(maps, height, width, upsampling="fourier"):
    if upsampling == "nearest":
        return maps.repeat_interleave(height // maps.shape[2], 2).repeat_interleave(width // maps.shape[3], 3)
    return torch.from_numpy(resample(resample(maps.numpy(), height, axis=2), width, axis=3))


FIG_4 = ["pixels"]
FIG_4 += [name for b in range(1, 6) for name in (f"conv{b}_2", f"pool{b}_dense", f"pool{b}_ds")]
FIG_4 += ["classifier", "softmax"]


IMAGE = torch.zeros(1, 3, 32, 32)


def test_layers_are_named_as_in_figure_4():
    assert LayersAtAllShifts(VGG13(MaxPool, width=1), IMAGE).names == FIG_4
    every = LayersAtAllShifts(VGG13(MaxPool, width=1), IMAGE, every=True).names
    assert [name for name in every if not name.endswith("_1")] == FIG_4
    assert {f"conv{block}_1" for block in range(1, 6)} <= set(every)


@pytest.mark.parametrize(
    ("pool", "size"),
    [(MaxPool, (32, 64)), (AvgPool, (32, 32)), (partial(MaxPoolBlurDS, "rect2"), (32, 32)), (MaxPoolBlurDS, (32, 32))],
)
def test_distances_of_every_layer_are_those_of_shifted_passes(pool, size, rng):
    """Zhang's definition word for word, at odd shifts, even ones, and multiples of each stride."""
    model = trained(pool)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=rng)
    layers = LayersAtAllShifts(model, x, every=True)
    names, distances, invariances = layers.names, {}, {}

    def see(name, phases):
        distances[name] = {
            upsampling: equivariance_distance(phases, upsampling) for upsampling in ("fourier", "nearest")
        }
        invariances[name] = invariance_distance(phases)

    layers.measure(x, see)
    assert sorted(distances) == sorted(names)
    with torch.no_grad():
        unshifted = maps_of(model, x)
        for h, w in ((1, 0), (0, 31), (3, 5), (16, 8), (-7, 40)):
            shifted = maps_of(model, roll(x, torch.tensor([[h, w]] * 2)))
            for name in names:
                for upsampling, distance in distances[name].items():
                    before, after = (at_resolution(side[name], *size, upsampling) for side in (unshifted, shifted))
                    stride = distance.shape[1]
                    at_shift = distance[:, h % stride, w % stride]
                    expected = cosine_distance(before.roll((h, w), (2, 3)), after)
                    torch.testing.assert_close(at_shift, expected, rtol=0, atol=1e-12, msg=name)
                expected = cosine_distance(unshifted[name], shifted[name])
                rows, cols = invariances[name].shape[1:]
                at_shift = invariances[name][:, h % rows, w % cols]
                torch.testing.assert_close(at_shift, expected, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("pool", [MaxPool, MaxPoolBlurDS])
def test_distances_are_exactly_zero_before_subsampling_and_at_multiples_of_the_stride(pool, rng):
    model = trained(pool).float()
    x = torch.randn(2, 3, 32, 32, generator=rng)
    strides = {}

    def see(name, phases):
        distance = equivariance_distance(phases)
        strides[name] = distance.shape[1]
        assert (distance[:, 0, 0] == 0).all(), name
        if name in ("pixels", "conv1_2", "pool1_dense"):
            assert (distance == 0).all(), name
        else:
            assert (distance[:, [0, 1, 1], [1, 0, 1]] > 0).all(), name

    LayersAtAllShifts(model, x).measure(x, see)
    assert [strides[name] for name in FIG_4] == [1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32]
