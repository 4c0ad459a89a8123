"""The canonical crop moves with what it shows."""

import torch
from torch import nn

from lit_shift.classifiers.canonical import CanonicalCrop, score
from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.view import View


def pixels(net: nn.Module) -> Classifier:
    return Classifier(net, [0.5] * 3, [0.25] * 3, ["a"], View(32, 40))


def test_an_object_on_a_plain_ground_is_seen_alike_wherever_it_is():
    torch.manual_seed(0)
    seen = []
    classifier = CanonicalCrop(pixels(nn.Flatten()))
    thing = torch.rand(3, 8, 9)
    for row, col in ((10, 12), (11, 12), (12, 17), (13, 20)):
        image = torch.full((1, 3, 32, 40), 0.5)  # the mean colour, so that the window's border cannot be told
        image[0, :, row : row + 8, col : col + 9] = thing
        seen.append(classifier.answer(image, [(0, 0)]).view(3, 32, 40))
    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0])
    assert seen[0].abs().sum() > 0


def test_the_window_is_centred_on_the_peak_of_the_score_and_shows_the_mean_beyond_the_image():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 32, 40) * 0.01
    image[0, :, 4, 33] = 1
    image[1, :, 20, 3] = 1
    found = CanonicalCrop(pixels(nn.Identity())).answer(image, [(0, 0), (1, 0)])
    for one, x, peak in zip(found, (image - 0.5) / 0.25, score(image).flatten(1).argmax(1).tolist(), strict=True):
        row, col = divmod(peak, 40)
        for i, j in ((16, 20), (0, 0), (31, 39), (16, 5)):
            r, c = i - 16 + row, j - 20 + col
            expected = x[:, r, c] if 0 <= r < 32 and 0 <= c < 40 else torch.zeros(3)
            torch.testing.assert_close(one[:, i, j], expected)


def test_the_score_is_a_blur_of_squared_contrast():
    """It commutes with shifts away from the border, and a plain image has none."""
    torch.manual_seed(0)
    plain, image = torch.full((1, 3, 32, 32), 0.3), torch.full((1, 3, 96, 96), 0.3)
    torch.testing.assert_close(score(plain), torch.zeros(1, 32, 32), rtol=0, atol=1e-10)
    image[:, :, 44:52, 40:50] = torch.rand(3, 8, 10)
    moved, expected = score(image.roll((3, -2), (2, 3))), score(image).roll((3, -2), (1, 2))
    inside = (0, slice(30, 66), slice(30, 66))  # no mirrored pixel that varies is within reach
    torch.testing.assert_close(moved[inside], expected[inside], rtol=1e-4, atol=1e-9)
    assert score(image).argmax() // 96 in range(40, 56)
