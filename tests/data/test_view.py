import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.v2.functional import gaussian_blur

from lit_shift.data.view import View, resized, scaled, whole
from lit_shift.utils.errors import InputError


@pytest.fixture
def photograph(rng):
    """Smooth in places, rough in others: (1, 3, 150, 211) uint8."""
    rough = torch.rand(1, 3, 150, 211, generator=rng)
    rough[..., 100:] = gaussian_blur(rough, [9, 9], [3.0, 3.0])[..., 100:]
    return (255 * rough).round().to(torch.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("crop", "resize"), [(96, 128), (64, 64), (160, 200), (33, 50)])
def test_whole_is_what_torchvision_tests_its_weights_on(photograph, interpolation, crop, resize):
    preset = ImageClassification(
        crop_size=crop,
        resize_size=resize,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        interpolation=InterpolationMode(interpolation),
    )
    found = whole(photograph / 255, View(crop, crop, resize, interpolation))
    as_tensor = preset(photograph)
    assert found.shape == as_tensor.shape
    assert (found - as_tensor).abs().max() <= 0.51 / 255  # the preset rounds to whole levels
    if interpolation != "nearest":  # of which Pillow takes other neighbours
        as_file = preset(Image.fromarray(photograph[0].permute(1, 2, 0).numpy()))
        assert (found[0] - as_file).abs().mean() <= 0.5 / 255
        if interpolation != "bicubic":  # which rings, and Pillow clips it between rows and columns
            assert (found[0] - as_file).abs().max() <= 2 / 255


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5), (1, 1), (10, 13)])
def test_without_a_scale_it_is_the_middle(height, width, rng):
    images = torch.rand(2, 3, 10, 13, generator=rng)
    found = whole(images, View(height, width))
    top, left = round((10 - height) / 2), round((13 - width) / 2)
    assert torch.equal(found, images[:, :, top : top + height, left : left + width])


def test_the_shorter_side_is_scaled_and_the_longer_follows(rng):
    images = torch.rand(1, 3, 20, 50, generator=rng)
    assert scaled(images, View(8, 8, 10)).shape == (1, 3, 10, 25)
    assert scaled(images.mT, View(8, 8, 10)).shape == (1, 3, 25, 10)
    assert scaled(images, View(8, 8)) is images
    assert whole(images, View(8, 6, 10)).shape == (1, 3, 8, 6)


def test_values_stay_in_range_where_bicubic_rings():
    stripes = torch.zeros(1, 3, 30, 30)
    stripes[..., ::5] = 1
    found = scaled(stripes, View(40, 40, 47, "bicubic"))
    assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize("size", [(5, 9), (10, 13), (1, 1), (23, 30), (10, 4)])
def test_resized_is_pillows_bilinear(size, rng):
    images = torch.rand(2, 3, 10, 13, generator=rng)
    found = resized(images, *size)
    for n in range(2):
        for c in range(3):
            channel = Image.fromarray(images[n, c].numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
            np.testing.assert_allclose(found[n, c], np.asarray(channel), atol=1e-5)


def test_a_size_that_is_right_is_left_alone(rng):
    images = torch.rand(1, 3, 4, 6, generator=rng)
    assert resized(images, 4, 6) is images


@pytest.mark.parametrize(("height", "width"), [(11, 13), (10, 14)])
def test_an_image_smaller_than_the_input_is_refused(height, width):
    message = rf"An image of 10x13 pixels is smaller than the network's input of {height}x{width}: enlarge"
    with pytest.raises(InputError, match=message):
        whole(torch.zeros(1, 3, 10, 13), View(height, width))
