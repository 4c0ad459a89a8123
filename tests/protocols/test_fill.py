from itertools import product

import numpy as np
import pytest
import torch

from lit_shift.protocols.fill import FILLS, Fill, inpaint
from lit_shift.utils.errors import InputError

WEIGHTS = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])


def literal_inpaint(image, known):
    """Ring by ring: all pixels that have a known neighbour now, from what was known before."""
    image, known = image.double().numpy().copy(), known[0].numpy().copy()
    height, width = known.shape
    while not known.all():
        ring = {}
        for i, j in product(range(height), range(width)):
            near = [
                (WEIGHTS[a + 2, b + 2], image[:, i + a, j + b])
                for a, b in product(range(-2, 3), repeat=2)
                if 0 <= i + a < height and 0 <= j + b < width and known[i + a, j + b]
            ]
            if near and not known[i, j]:
                ring[i, j] = sum(weight * pixel for weight, pixel in near) / sum(weight for weight, _ in near)
        for (i, j), pixel in ring.items():
            image[:, i, j], known[i, j] = pixel, True
    return torch.from_numpy(image)


def holes(height, width, rng):
    """Known pixels: random ones, a rectangle at the border, one in a corner, all but one, all."""
    known = torch.zeros(5, 1, height, width, dtype=torch.bool)
    known[0] = torch.rand(1, height, width, generator=rng) < 0.15
    known[0, 0, 0, 0] = True
    known[1, 0, : (height + 1) // 2, width // 2 :] = True
    known[2, 0, -1, -1] = True
    known[3:] = True
    known[3, 0, height // 2, width // 2] = False
    return known


@pytest.fixture(params=[(7, 12), (6, 6), (1, 9), (1, 2)], ids=str)
def canvases(request, rng):
    return torch.rand(5, 3, *request.param, generator=rng), holes(*request.param, rng)


def test_inpainting_is_a_literal_loop_ring_by_ring(canvases):
    images, known = canvases
    for image, its, filled in zip(images, known, inpaint(images, known), strict=True):
        torch.testing.assert_close(filled.double(), literal_inpaint(image, its), rtol=0, atol=1e-6)


def test_known_pixels_are_untouched_and_unknown_ones_are_between_them(canvases):
    images, known = canvases
    filled = inpaint(images, known)
    assert filled.dtype == images.dtype
    for image, its, full in zip(images, known[:, 0], filled, strict=True):
        assert torch.equal(full[:, its], image[:, its])
        low, high = image[:, its].amin(1), image[:, its].amax(1)
        assert (full >= low[:, None, None] - 1e-6).all()
        assert (full <= high[:, None, None] + 1e-6).all()


def test_what_was_in_a_hole_does_not_matter(canvases):
    images, known = canvases
    expected = inpaint(images, known)
    for junk in (torch.nan, torch.inf, -7.0):
        assert torch.equal(inpaint(images.where(known, junk), known), expected)


def test_a_constant_image_stays_constant(canvases):
    images, known = canvases
    constant = torch.full_like(images, 0.3)
    torch.testing.assert_close(inpaint(constant.where(known, 0), known), constant)


def test_images_of_a_batch_do_not_matter_to_each_other(canvases):
    images, known = canvases
    together = inpaint(images, known)
    for i in range(len(images)):
        torch.testing.assert_close(inpaint(images[i : i + 1], known[i : i + 1])[0], together[i], rtol=0, atol=1e-6)


def test_its_arguments_are_left_as_they_were(canvases):
    images, known = canvases
    before = images.clone(), known.clone()
    inpaint(images, known)
    assert torch.equal(images, before[0])
    assert torch.equal(known, before[1])


def test_there_is_nothing_to_inpaint_from():
    known = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    known[1] = False
    with pytest.raises(ValueError, match="no known pixel"):
        inpaint(torch.zeros(2, 3, 4, 4), known)


CORNERS = torch.tensor([[0, 0], [3, 1], [4, 6]])


def paste(canvas, image, corner):
    canvas = canvas.clone()
    for i, j in product(range(image.shape[1]), range(image.shape[2])):
        canvas[:, corner[0] + i, corner[1] + j] = image[:, i, j]
    return canvas


@pytest.fixture
def small(rng):
    return torch.rand(3, 3, 5, 4, generator=rng)


def around(images, fill, seed=0, places=(8, 2, 5)):
    return Fill(fill, seed).around(images, 9, 10, CORNERS[: len(images)], places)


def test_black_and_mean_are_pasted_upon(small):
    black, mean = around(small, "black"), around(small, "mean")
    for image, corner, on_black, on_mean in zip(small, CORNERS.tolist(), black, mean, strict=True):
        assert torch.equal(on_black, paste(torch.zeros(3, 9, 10), image, corner))
        colour = torch.from_numpy(image.numpy().mean(axis=(1, 2))).view(3, 1, 1)
        torch.testing.assert_close(on_mean, paste(colour.expand(3, 9, 10), image, corner))


def test_inpainted_surroundings_are_a_literal_loop(small):
    for image, corner, filled in zip(small, CORNERS.tolist(), around(small, "inpaint"), strict=True):
        known = paste(torch.zeros(3, 9, 10), torch.ones_like(image), corner)[:1].bool()
        expected = literal_inpaint(paste(torch.zeros(3, 9, 10), image, corner), known)
        torch.testing.assert_close(filled.double(), expected, rtol=0, atol=1e-6)


def test_noise_is_uniform_and_goes_by_place_and_seed_alone(small):
    torch.manual_seed(1)
    together = around(small, "noise")
    torch.manual_seed(2)
    for i, place in enumerate((8, 2, 5)):
        alone = Fill("noise", 0).around(small[i : i + 1], 9, 10, CORNERS[i : i + 1], [place])
        assert torch.equal(alone[0], together[i])
    corner = together[:, :, -1, 0]
    assert not torch.equal(corner[0], corner[1])
    smaller = Fill("noise", 0).around(small[:, :, :1, :1], 9, 10, CORNERS, (8, 2, 5))
    outside = paste(torch.ones(3, 9, 10), torch.zeros(3, 5, 4), (0, 0)).bool()
    assert torch.equal(smaller[0][outside], together[0][outside])  # whatever the size of the image
    assert not torch.equal(around(small, "noise", seed=1)[0][outside], together[0][outside])
    field = Fill("noise", 0).around(small[:1], 200, 200, CORNERS[:1], [0])
    quantiles = field.flatten().quantile(torch.linspace(0, 1, 11))
    torch.testing.assert_close(quantiles, torch.linspace(0, 1, 11), rtol=0, atol=0.01)


@pytest.mark.parametrize("fill", FILLS)
def test_an_image_as_large_as_its_canvas_is_all_there_is(fill, small):
    full = Fill(fill, 0).around(small, 5, 4, torch.zeros(3, 2, dtype=torch.int64), (0, 1, 2))
    assert torch.equal(full, small)


@pytest.mark.parametrize("fill", FILLS)
def test_a_single_pixel_is_enough(fill):
    pixel = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1)
    filled = Fill(fill, 0).around(pixel, 6, 3, torch.tensor([[5, 0]]), [0])
    assert torch.equal(filled[:, :, 5, 0], pixel[:, :, 0, 0])
    if fill in ("mean", "inpaint"):
        torch.testing.assert_close(filled, pixel.expand(1, 3, 6, 3))


def test_an_unknown_fill_is_refused():
    with pytest.raises(
        InputError, match=r"Unknown fill 'blak'. Did you mean 'black'\? Choices: black, mean, noise, in"
    ):
        Fill("blak", 0)
