import re
from collections import Counter
from fractions import Fraction
from functools import partial
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare

from lit_shift.boxes import COLUMNS
from lit_shift.data.annotations import Outline, largest_boxes
from lit_shift.data.view import View, resized, scaled_size, whole
from lit_shift.protocols.base import Whole
from lit_shift.protocols.canvas import Canvas, Embed, Placement, Scale
from lit_shift.protocols.crop import Crop
from lit_shift.protocols.fill import FILLS
from lit_shift.protocols.roll import Circular, Subpixel
from lit_shift.protocols.trajectory import PATHS
from lit_shift.protocols.video import Frames
from lit_shift.utils.errors import InputError

ORDERED = [path for path in PATHS if path != "random"]
VIEWS = [View(12, 12), View(8, 12), View(9, 6), View(12, 12, 15)]
PLACES = [5, 0]


def embed(size=None, canvas=None, path="vertical", fill="black", draws=4, seed=0):
    return Embed(size, canvas, path, fill, draws, seed)


def scale(smallest=None, largest=None, canvas=None, fill="black", seed=0):
    return Scale(smallest, largest, canvas, fill, seed)


def placement(sizes=3, smallest=None, largest=None, canvas=None, fill="black", seed=0):
    return Placement(sizes, smallest, largest, canvas, fill, seed)


def crop(window=None, windows=None, box=None, path="vertical", draws=4, seed=0, boxes=None, skip_bad=False):
    return Crop(window, windows, box, path, draws, seed, boxes, skip_bad)


def circular(path="vertical", draws=4, seed=0):
    return Circular(path, draws, seed)


def subpixel(fraction=0.25, steps=5, path="vertical", draws=4, seed=0):
    return Subpixel(fraction, steps, path, draws, seed)


def frames(protocol, images, view, places=PLACES):
    """(N, S, 3, h, w)"""
    return torch.stack(list(protocol.frames(images, places[: len(images)], view)), dim=1)


@pytest.fixture
def images(rng):
    return torch.rand(2, 3, 15, 17, generator=rng)


def corners(path, rows, cols):
    """Upper left corners along a path through ``rows`` x ``cols`` of them, its middle in the middle of all."""
    middle = (rows - 1) // 2, (cols - 1) // 2
    if path == "vertical":
        return [(row, middle[1]) for row in range(rows)]
    if path == "horizontal":
        return [(middle[0], col) for col in range(cols)]
    if path == "diagonal":
        n = min(rows, cols)
        first = [center - (n - 1) // 2 for center in middle]
        return [(first[0] + step, first[1] + step) for step in range(n)]
    return [(row, col) for row in range(rows) for col in (range(cols) if row % 2 == 0 else reversed(range(cols)))]


def paste(image, corner, height, width, colour):
    canvas = colour.expand(3, height, width).clone()
    canvas[:, corner[0] : corner[0] + image.shape[1], corner[1] : corner[1] + image.shape[2]] = image
    return canvas


def colours(fill, image):
    return torch.zeros(3, 1, 1) if fill == "black" else image.mean((1, 2), keepdim=True)


def sizes_of(view, canvas, size):
    """Of the canvas and of an image of height ``size`` on it, which keeps the input's proportions."""
    height, width = (canvas, canvas) if canvas else view[:2]
    return height, width, size, max(1, round(size * view.width / view.height))


class TestEmbed:
    @pytest.mark.parametrize("view", VIEWS, ids=str)
    @pytest.mark.parametrize(("size", "canvas"), [(None, None), (1, None), (8, None), (5, 13), (None, 16)])
    @pytest.mark.parametrize("fill", ["black", "mean"])
    def test_each_frame_is_the_image_pasted_on_a_canvas(self, images, view, size, canvas, fill):
        height, width, h, w = sizes_of(view, canvas, size or (canvas or view.height) // 2)
        for path in ORDERED:
            found = frames(embed(size, canvas, path, fill), images, view)
            steps = corners(path, height - h + 1, width - w + 1)
            assert found.shape == (2, len(steps), 3, height, width)
            for image, its in zip(resized(whole(images, view), h, w), found, strict=True):
                expected = [paste(image, corner, height, width, colours(fill, image)) for corner in steps]
                torch.testing.assert_close(its, torch.stack(expected))

    @pytest.mark.parametrize("fill", FILLS)
    @pytest.mark.parametrize("canvas", [12, 13])
    @pytest.mark.parametrize(("path", "step"), [("vertical", (1, 0)), ("horizontal", (0, 1)), ("diagonal", (1, 1))])
    def test_a_step_moves_the_whole_scene_by_a_pixel(self, images, fill, canvas, path, step):
        found = frames(embed(7, canvas, path, fill), images, View(12, 12)).unbind(1)
        assert len(found) == canvas - 7 + 1
        for before, now in pairwise(found):
            assert torch.equal(now[..., step[0] :, step[1] :], before[..., : canvas - step[0], : canvas - step[1]])

    @pytest.mark.parametrize("path", ORDERED)
    @pytest.mark.parametrize("canvas", [4, 10, 11])
    def test_the_image_is_always_whole_and_goes_from_end_to_end(self, path, canvas):
        found = frames(embed(4, canvas, path), torch.ones(1, 3, 12, 12), View(12, 12))[0, :, 0]
        torch.testing.assert_close(found.sum((1, 2)), torch.full((len(found),), 16.0))
        down, across = (found.amax((0, axis)).bool() for axis in (2, 1))  # rows and columns that it ever covers
        assert down.all() == (path != "horizontal" or canvas == 4)
        assert across.all() == (path != "vertical" or canvas == 4)

    def test_an_image_as_large_as_its_canvas_does_not_move(self, images):
        for fill, path in product(FILLS, ORDERED):
            found = frames(embed(8, None, path, fill), images, View(8, 12))
            assert torch.equal(found[:, 0], whole(images, View(8, 12)))
            assert found.shape[1] == 1

    def test_a_single_pixel_on_a_single_pixel(self):
        found = frames(embed(), torch.ones(1, 3, 1, 1), View(1, 1))
        assert torch.equal(found, torch.ones(1, 1, 3, 1, 1))

    def test_a_narrow_image_is_still_a_pixel_wide(self):
        found = frames(embed(1), torch.ones(1, 3, 12, 3), View(12, 3))
        assert ((found > 0).sum((3, 4)) == 1).all()

    @pytest.mark.parametrize("fill", FILLS)
    def test_what_is_random_goes_by_place_and_seed_alone(self, images, fill):
        view = View(12, 12)
        torch.manual_seed(1)
        together = frames(embed(path="random", fill=fill), images, view)
        torch.manual_seed(2)
        for i, place in enumerate(PLACES):
            alone = frames(embed(path="random", fill=fill), images[i : i + 1], view, [place])
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)
        assert not torch.equal(frames(embed(path="random", fill=fill, seed=1), images, view), together)
        same = images[:1].expand(2, -1, -1, -1)
        first, second = frames(embed(path="random", fill=fill), same, view)
        assert not torch.equal(first, second)

    def test_random_places_are_all_places_alike(self):
        found = frames(embed(1, 4, "random", draws=50), torch.ones(40, 3, 4, 4), View(4, 4), range(40))
        counts = Counter(found[:, :, 0].flatten(2).argmax(2).flatten().tolist())
        assert set(counts) == set(range(16))
        assert chisquare(list(counts.values())).pvalue > 1e-3


class TestScale:
    @pytest.mark.parametrize("view", VIEWS, ids=str)
    @pytest.mark.parametrize(("smallest", "largest", "canvas"), [(None, None, None), (1, 8, None), (3, 3, 13)])
    @pytest.mark.parametrize("fill", ["black", "mean"])
    def test_the_image_grows_in_the_middle(self, images, view, smallest, largest, canvas, fill):
        protocol = scale(smallest, largest, canvas, fill)
        found = frames(protocol, images, view)
        first = smallest or max(1, (canvas or view.height) // 4)
        heights = range(first, (largest or canvas or view.height) + 1)
        assert protocol.positions(view).tolist() == list(heights)
        assert found.shape[1] == len(heights)
        for step, size in enumerate(heights):
            height, width, h, w = sizes_of(view, canvas, size)
            for image, frame in zip(resized(whole(images, view), h, w), found[:, step], strict=True):
                expected = paste(image, ((height - h) // 2, (width - w) // 2), height, width, colours(fill, image))
                torch.testing.assert_close(frame, expected)

    def test_the_last_is_the_whole_image(self, images):
        for view in VIEWS:
            assert torch.equal(frames(scale(), images, view)[:, -1], whole(images, view))

    def test_a_narrow_image_is_still_a_pixel_wide(self):
        found = frames(scale(1), torch.ones(1, 3, 12, 3), View(12, 3))
        assert (found[:, 0] > 0).sum() == 3
        assert scale().positions(View(3, 3)).tolist() == [1, 2, 3]

    def test_noise_stays_where_it_is(self, images):
        found = frames(scale(2, fill="noise"), images, View(12, 12))
        for step, size in enumerate(range(2, 13)):
            outside = paste(torch.zeros(1, size, size), ((12 - size) // 2,) * 2, 12, 12, torch.ones(1)).bool()
            assert torch.equal(found[:, step, outside], found[:, 0, outside])


class TestPlacement:
    def test_sizes_are_evenly_spaced_and_none_comes_twice(self):
        view = View(100, 100)
        assert placement(4, 10, 40).positions(view).tolist() == [10, 20, 30, 40]
        assert placement(9).positions(view).tolist() == np.linspace(25, 100, 9).round().tolist()
        assert placement(50, 3, 5).positions(view).tolist() == [3, 4, 5]

    @pytest.mark.parametrize("view", VIEWS, ids=str)
    @pytest.mark.parametrize("fill", ["black", "mean"])
    def test_the_image_is_pasted_somewhere_whole(self, images, view, fill):
        protocol = placement(4, 3, fill=fill)
        found = frames(protocol, images, view)
        for step, size in enumerate(protocol.positions(view).tolist()):
            height, width, h, w = sizes_of(view, None, size)
            for image, frame in zip(resized(whole(images, view), h, w), found[:, step], strict=True):
                places = product(range(height - h + 1), range(width - w + 1))
                pasted = [paste(image, corner, height, width, colours(fill, image)) for corner in places]
                assert sum(torch.allclose(frame, one) for one in pasted) == 1

    def test_every_place_is_as_likely_and_goes_by_place_and_seed_alone(self):
        view, white = View(4, 4), torch.ones(800, 3, 4, 4)
        found = frames(placement(2, 1, 2), white, view, range(800))
        counts = Counter(found[:, 0, 0].flatten(1).argmax(1).tolist())
        assert set(counts) == set(range(16))
        assert chisquare(list(counts.values())).pvalue > 1e-3
        assert torch.equal(frames(placement(2, 1, 2), white[:1], view, [77])[0], found[77])
        other = frames(placement(2, 1, 2, seed=1), white, view, range(800))
        assert (other == found).flatten(1).all(1).float().mean() < 0.1

    def test_no_two_sizes_share_their_draw(self):
        """Of 9 rows and of 3, which one random number would choose alike modulo 3."""
        found = frames(placement(2, 1, 7, 9), torch.ones(200, 3, 9, 9), View(9, 9), range(200))[:, :, 0]
        small, large = (found > 0).amax(3).int().argmax(2).unbind(1)
        assert 0.2 < (small % 3 == large).float().mean() < 0.5


def windows(side, window, first, last):
    """Every place of a window that holds a span, in fractions of the side."""
    return [
        place
        for place in range(side - window + 1)
        if place <= first * side + 1e-9 and last * side - 1e-9 <= place + window
    ]


def middle(side, window):
    """Where half a window begins and ends in the middle of an image, in fractions of its side."""
    first = (side - window // 2) // 2
    return Fraction(first, side), Fraction(first + window // 2, side)


class TestCrop:
    BOXES = [None, (0.25, 0.5, 0.5, 0.75), (0.125, 0.25, 0.25, 0.5), (0.0, 0.125, 0.5, 0.625), (0.5, 0.0, 0.75, 0.5)]

    @pytest.mark.parametrize("box", BOXES, ids=str)
    @pytest.mark.parametrize(
        ("view", "window"), [(View(12, 12, 16), 12), (View(12, 10, 16), None), (View(8, 8, 16), 11)]
    )
    @pytest.mark.parametrize("size", [(16, 16), (16, 20), (18, 16)])
    def test_windows_are_slices_that_hold_the_box(self, box, view, window, size, rng):
        images = torch.rand(2, 3, *size, generator=rng)
        h, w = (window, window) if window else (view.height, view.width)
        left, top, right, bottom = box or [edges[k] for k in (0, 1) for edges in (middle(16, w), middle(16, h))]
        room = len(windows(16, h, top, bottom)), len(windows(16, w, left, right))
        if box is None:
            (top, bottom), (left, right) = middle(size[0], h), middle(size[1], w)
        rows, cols = windows(size[0], h, top, bottom), windows(size[1], w, left, right)
        for path in ORDERED:
            needed = 1 if path == "horizontal" else room[0], 1 if path == "vertical" else room[1]
            if len(rows) < needed[0] or len(cols) < needed[1]:
                with pytest.raises(InputError, match="hold the box"):
                    frames(crop(window, None, box, path), images, view)
                continue
            first = [(some[0] + some[-1]) // 2 - (n - 1) // 2 for some, n in zip((rows, cols), room, strict=True)]
            found = frames(crop(window, None, box, path), images, view).unbind(1)
            for frame, (down, right_by) in zip(found, corners(path, *room), strict=True):
                row, col = first[0] + down, first[1] + right_by
                assert row in rows
                assert col in cols
                expected = images[:, :, row : row + h, col : col + w]
                assert torch.equal(frame, resized(expected, *view[:2]))

    @pytest.mark.parametrize(("view", "side"), [(View(16, 16), 14), (View(16, 16, 16), 14), (View(9, 9), 7)])
    def test_of_an_image_no_larger_than_the_input_seven_eighths_are_seen(self, view, side, rng):
        images = torch.rand(1, 3, view.height, view.width, generator=rng)
        found = frames(crop(), images, view)[0]
        assert len(found) == view.height - side + 1
        column = (view.width - side) // 2
        for row, frame in enumerate(found):
            window = images[:, :, row : row + side, column : column + side]
            assert torch.equal(frame[None], resized(window, view.height, view.width))

    def test_a_number_of_windows_that_is_asked_for_lies_in_the_middle(self, rng):
        images = torch.rand(1, 3, 20, 20, generator=rng)
        found = frames(crop(12, 3), images, View(12, 12))[0]
        for row, frame in zip((3, 4, 5), found, strict=True):
            assert torch.equal(frame, images[0, :, row : row + 12, 4:16])

    def test_random_windows_go_by_place_and_hold_the_box(self, rng):
        view, images = View(8, 8), torch.rand(2, 3, 12, 12, generator=rng)
        protocol = crop(8, None, (0.3, 0.3, 0.6, 0.7), "random", draws=30)
        found = frames(protocol, images, view)
        rows, cols = windows(12, 8, 0.3, 0.7), windows(12, 8, 0.3, 0.6)
        for image, its in zip(images, found, strict=True):
            seen = [
                [(r, c) for r, c in product(rows, cols) if torch.equal(image[:, r : r + 8, c : c + 8], frame)]
                for frame in its
            ]
            assert all(len(places) == 1 for places in seen)
        assert torch.equal(frames(protocol, images[1:], view, PLACES[1:])[0], found[1])

    def test_along_an_axis_that_stays_still_one_window_will_do(self, rng):
        images, box = torch.rand(1, 3, 16, 27, generator=rng), (0.25, 0.25, 0.75, 0.75)
        view = View(12, 16, 16)
        assert len(frames(crop(16, 1, box, "vertical"), images, view)[0]) == 1
        with pytest.raises(InputError, match="hold the box"):
            frames(crop(15, 4, box, "horizontal"), images, view)
        wide = torch.rand(1, 3, 16, 40, generator=rng)
        with pytest.raises(InputError, match="0 windows of 10x14 along an axis hold the box, but 1 are asked for"):
            frames(crop(box=box), wide, view)

    @pytest.mark.parametrize("path", ORDERED)
    @pytest.mark.parametrize("size", [(40, 16), (16, 40), (16, 17), (31, 16)])
    def test_photographs_of_any_shape_have_the_paths_of_a_square_one(self, path, size, rng):
        images = torch.rand(1, 3, *size, generator=rng)
        assert len(frames(crop(path=path), images, View(12, 12, 16))[0]) == len(
            crop(path=path).positions(View(12, 12, 16))
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"window": 17},
                "0 windows of 17x17 .*, but 1 are asked for: windows=1 with a .* from 1 to 16 would",
            ),
            (
                {"box": (0, 0, 1, 1)},
                "0 windows of 12x12 .*, but 1 are asked for: .* window from 16 to 16 would do",
            ),
            ({"box": (0, 0.2, 1, 0.5)}, "0 windows of 12x12 .*: .*=1 with a window from 16 to 16 would do"),
            (
                {"windows": 6},
                "5 windows of 12x12 along an axis hold the box, but 6 are asked for: .*windows=5 would do",
            ),
        ],
    )
    def test_too_few_windows_are_said_with_what_would_do(self, options, message):
        view, images = View(12, 12, 16), torch.zeros(1, 3, 16, 16)
        with pytest.raises(InputError, match=f"In an image of 16x16 pixels, {message}") as error:
            frames(crop(**options), images, view)
        found = dict(re.findall(r"(windows?)[^\d]*(\d+)", str(error.value).partition("asked for: ")[2]))
        frames(crop(**options | {name: int(value) for name, value in found.items()}), images, view)

    def test_a_box_larger_than_any_window(self):
        (wide,), view = torch.zeros(1, 1, 3, 16, 40), View(12, 12, 16)
        with pytest.raises(InputError, match="but 1 are asked for: no window would do"):
            frames(crop(box=(0, 0, 1, 1)), wide, view)

    @pytest.mark.parametrize(
        ("view", "counts"),
        [
            (View(64, 32, 32), (9, 5)),
            (View(32, 64, 32), (5, 9)),
            (View(64, 64, 64), (9, 9)),
            (View(64, 32), (9, 5)),
            (View(12, 10, 16), (5, 6)),
        ],
    )
    def test_tall_and_wide_inputs_have_the_frames_of_a_square_one_of_that_side(self, view, counts, rng):
        smallest = max(view.height, view.resize or 0), max(view.width, view.resize or 0)
        images = torch.rand(1, 3, *smallest, generator=rng)
        for path, count in zip(("vertical", "horizontal"), counts, strict=True):
            assert len(crop(path=path).positions(view)) == count
            assert len(frames(crop(path=path), images, view)[0]) == count

    @pytest.mark.parametrize("view", [*VIEWS, View(7, 5, 9), View(20, 6, 7)], ids=str)
    def test_the_default_takes_every_image_that_fills_the_input(self, view):
        """Photographs without a box have none to be held; an image that does not fill it is said, as elsewhere."""
        for height, width in product(range(3, 80, 7), repeat=2):
            size = scaled_size(height, width, view)
            fills = size[0] >= view.height and size[1] >= view.width
            flaws = [crop(path=path).flaw((height, width), 0, view) for path in PATHS]
            assert all(flaw is None for flaw in flaws) == fills
            assert all("smaller than the network's input" in flaw for flaw in flaws if flaw)
        assert crop().flaw((512, 512), 0, View(224, 224)) is None


def annotate(path, rows):
    lines = [",".join(map(str, row)) for row in (COLUMNS, *rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


class TestOwnBoxes:
    NAMES = ("d/test/cat/1.png", "d/test/dog/2.JPEG", "d/test/dog/3.png", "d/test/cow/3.png", "d/test/cow/4.jpg")

    def test_they_are_matched_by_name_or_stem_and_the_largest_counts(self, tmp_path):
        rows = [
            ("1.png", "cat", 100, 50, 10, 5, 20, 10),
            ("1.png", "cat", 100, 50, 30, 10, 90, 45),
            ("1.png", "cat", 100, 50, 0, 0, 50, 10),
            ("2", "dog", 10, 10, 1, 2, 3, 4),
            ("elsewhere/2.png", "dog", 10, 10, 2, 2, 3, 4),
            ("cow/3.png", "cow", 8, 8, 1, 1, 7, 7),
            ("dog/3.jpg", "dog", 9, 9, 1, 1, 7, 7),
            ("5.png", "ox", 8, 8, 1, 1, 7, 7),
        ]
        found = largest_boxes(Path(annotate(tmp_path / "a.csv", rows)), self.NAMES, None)
        assert found == {
            0: Outline(30, 10, 90, 45, 100, 50),
            1: Outline(1, 2, 3, 4, 10, 10),
            2: Outline(1, 1, 7, 7, 9, 9),
            3: Outline(1, 1, 7, 7, 8, 8),
        }

    @pytest.mark.parametrize("name", ["3.png", "3", "x/3.png"])
    def test_one_that_may_be_of_several_images_is_refused(self, tmp_path, name):
        path = annotate(tmp_path / "a.csv", [(name, "a", 9, 9, 1, 1, 7, 7)])
        with pytest.raises(InputError, match=r"images \(d/test/dog/3.png, d/test/cow/3.png\): it must name the folder"):
            largest_boxes(Path(path), self.NAMES, None)

    def test_none_of_any_image_is_refused(self, tmp_path):
        path = annotate(tmp_path / "a.csv", [("8.png", "a", 9, 9, 1, 1, 7, 7)])
        with pytest.raises(
            InputError, match=r"No image has a box in .*: images are called d/test/cat/1.png and 4 more, "
        ):
            crop(boxes=path).meet(self.NAMES)

    @pytest.mark.parametrize("path", ORDERED)
    @pytest.mark.parametrize("factor", [1, 3])
    def test_every_window_holds_each_images_own_box(self, tmp_path, rng, path, factor):
        """Against the sum of a white box on black; annotated at another scale it is the same."""
        view, images, rows = View(12, 12, 20), torch.zeros(3, 3, 20, 26), []
        for number, (left, top, right, bottom) in enumerate([(3, 2, 8, 9), (16, 10, 24, 18), (9, 4, 12, 9)]):
            images[number, :, top:bottom, left:right] = 1
            rows.append(
                (f"{number}.png", "a", 26 * factor, 20 * factor, *(factor * x for x in (left, top, right, bottom)))
            )
        protocol = crop(boxes=annotate(tmp_path / "a.csv", rows), path=path, windows=3)
        protocol.meet([f"{number}.jpg" for number in range(3)])
        found = frames(protocol, images, view, [0, 1, 2])
        assert found.shape[:2] == (3, len(corners(path, 3, 3)))
        for image, its in zip(images, found, strict=True):
            torch.testing.assert_close(its.sum((1, 2, 3)), image.sum().expand(len(its)))
        without = crop(path=path, windows=3)
        assert not torch.allclose(frames(without, images, view, [0, 1, 2])[0, :, 0].sum((1, 2)), images[0, 0].sum())

    def test_an_image_without_one_has_the_middle_and_is_counted(self, tmp_path, rng, capsys):
        view, images = View(12, 12, 16), torch.rand(1, 3, 16, 16, generator=rng)
        boxes = annotate(tmp_path / "a.csv", [("0.png", "a", 16, 16, 0, 0, 12, 12)])
        protocol = crop(boxes=boxes, windows=1)
        protocol.meet(["0.png", "1.png", "2.png"])
        assert "2 of 3 images have no box in" in capsys.readouterr().err
        for place in (1, 2):
            assert torch.equal(frames(protocol, images, view, [place]), frames(crop(windows=1), images, view, [place]))
        assert protocol.flaw((16, 16), 0, view) is None
        assert crop(boxes=boxes).flaw((16, 16), 0, view) is None  # before it has met them

    def test_one_that_too_few_windows_hold_is_said(self, tmp_path):
        protocol = crop(boxes=annotate(tmp_path / "a.csv", [("0.png", "a", 16, 16, 1, 1, 11, 11)]))
        protocol.meet(["0.png", "1.png"])
        flaw = protocol.flaw((16, 16), 0, View(12, 12, 16))
        assert "2 windows of 12x12 along an axis hold the box, but 5 are asked for: windows=2 would do" in flaw
        assert protocol.flaw((16, 16), 1, View(12, 12, 16)) is None

    def test_boxes_that_cannot_be_are_skipped_only_where_that_is_asked_for(self, tmp_path, capsys):
        rows = [("0.png", "a", 16, 16, 0, 0, 11, 17), ("0.png", "a", 16, 16, 1, 1, 2, 2)]
        path = annotate(tmp_path / "a.csv", rows)
        with pytest.raises(InputError, match="reaches outside its image"):
            crop(boxes=path).meet(["0.png"])
        protocol = crop(boxes=path, skip_bad=True)
        protocol.meet(["0.png"])
        assert protocol.own == {0: Outline(1, 1, 2, 2, 16, 16)}
        assert "1 boxes of" in capsys.readouterr().err


class TestCircular:
    @pytest.mark.parametrize("view", VIEWS, ids=str)
    @pytest.mark.parametrize("path", ORDERED)
    def test_the_image_rolls_around_all_its_places(self, images, view, path):
        found = frames(circular(path), images, view)
        seen = whole(images, view)
        middle = (view.height - 1) // 2, (view.width - 1) // 2
        steps = corners(path, view.height, view.width)
        for step, (row, col) in enumerate(steps):
            assert torch.equal(found[:, step], seen.roll((row - middle[0], col - middle[1]), (2, 3)))
        assert found.shape[1] == len(steps)

    def test_random_shifts_are_each_images_own(self, images):
        found = frames(circular("random", draws=9), images, View(12, 12))
        for i, place in enumerate(PLACES):
            seen = whole(images[i : i + 1], View(12, 12))
            every = [seen[0].roll((h, w), (1, 2)) for h, w in product(range(12), repeat=2)]
            assert all(sum(torch.equal(frame, one) for one in every) == 1 for frame in found[i])
            assert torch.equal(
                frames(circular("random", draws=9), images[i : i + 1], View(12, 12), [place])[0], found[i]
            )


def waves(height, width, down, right):
    """A band-limited image with values in [0, 1], displaced by any fraction of a pixel."""
    i, j = torch.arange(height)[:, None] - down, torch.arange(width) - right
    i, j = 2 * torch.pi * i / height, 2 * torch.pi * j / width
    image = (3 + torch.cos(2 * i + j + 0.3) + torch.sin(3 * j - i) + torch.cos(i - 1)) / 6
    return torch.stack([image, image.square(), 1 - image])[None]


class TestSubpixel:
    @pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 18)])
    @pytest.mark.parametrize("path", ORDERED)
    def test_a_band_limited_image_is_sampled_at_the_shifted_places(self, height, width, path):
        protocol = subpixel(0.3, 4, path)
        found = frames(protocol, waves(height, width, 0, 0), View(height, width))[0]
        steps = corners(path, 4, 4)
        assert len(found) == len(steps)
        for frame, (row, col) in zip(found, steps, strict=True):
            torch.testing.assert_close(frame[None], waves(height, width, 0.3 * (row - 1), 0.3 * (col - 1)))

    def test_whole_steps_are_rolls(self, images):
        view = View(12, 12)
        found = frames(subpixel(0.5, 9, "diagonal"), images, view)
        for step in range(0, 9, 2):
            expected = whole(images, view).roll(((step - 4) // 2,) * 2, (2, 3))
            torch.testing.assert_close(found[:, step], expected, rtol=0, atol=1e-5)

    def test_random_shifts_are_each_images_own(self, images):
        view = View(12, 12)
        together = frames(subpixel(path="random"), images, view)
        for i, place in enumerate(PLACES):
            alone = frames(subpixel(path="random"), images[i : i + 1], view, [place])
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)

    def test_positions_are_in_pixels(self):
        view = View(12, 12)
        assert subpixel(0.25, 5).positions(view).tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
        assert subpixel(0.25, 2, "grid").positions(view).tolist() == [0, 1, 2, 3]


@pytest.fixture
def video(tmp_path, rng):
    """Three frames of several kinds and sizes, and what is none."""
    pixels = {}
    for name, (height, width) in {"b.PNG": (14, 12), "a.jpeg": (13, 15), "c.jpg": (12, 12)}.items():
        array = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=rng).numpy()
        Image.fromarray(array).save(tmp_path / name)
        pixels[name] = torch.from_numpy(np.array(Image.open(tmp_path / name))).permute(2, 0, 1)[None] / 255
    Image.new("RGB", (20, 20)).save(tmp_path / ".hidden.png")
    (tmp_path / "about.txt").write_text("a video")
    return tmp_path, [pixels[name] for name in sorted(pixels)]


class TestFrames:
    def test_frames_come_in_the_order_of_their_names(self, video):
        folder, pixels = video
        protocol = Frames(str(folder), skip_bad=False, resize="crop")
        found = frames(protocol, torch.zeros(1, 3, 5, 5), View(12, 10))
        assert [file.name for file in protocol.files] == ["a.jpeg", "b.PNG", "c.jpg"]
        assert protocol.positions(View(12, 10)).tolist() == [0, 1, 2]
        for frame, expected in zip(found[0], pixels, strict=True):
            assert torch.equal(frame[None], whole(expected, View(12, 10)))

    def test_they_are_squashed_as_in_the_paper_unless_cropped(self, video):
        """All of a frame is seen, however wide; a crop of one smaller than the input cannot be."""
        folder, pixels = video
        view, protocol = View(12, 10), Frames(str(folder), skip_bad=False)
        found = frames(protocol, torch.zeros(1, 3, 5, 5), view)
        for frame, file in zip(found[0], pixels, strict=True):
            expected = torch.nn.functional.interpolate(file, (12, 10), mode="bilinear", antialias=True)
            torch.testing.assert_close(frame[None], expected)
        assert torch.equal(protocol.seen(pixels[0], view), found[:, 0])
        assert protocol.flaw((5, 5), 0, View(300, 300)) is None
        flaw = Frames(str(folder), False, "crop").flaw((13, 15), 0, View(13, 12))
        assert flaw.startswith(
            f"{folder / 'c.jpg'}: An image of 12x12 pixels is smaller than the network's input of 13x12"
        )
        assert "resize=squash takes any size" in flaw
        with pytest.raises(InputError, match=r"Unknown resize 'squish'. Did you mean 'squash'\?"):
            Frames(str(folder), False, "squish")

    def test_a_frame_that_cannot_be_read_is_known_before(self, video):
        (video[0] / "b.PNG").write_text("no image")
        assert "b.PNG cannot be read" in Frames(str(video[0]), skip_bad=False).flaw((13, 15), 0, View(12, 10))
        assert Frames(str(video[0]), skip_bad=True).flaw((13, 15), 0, View(12, 10)) is None

    def test_what_is_left_out_of_the_folder_is_said(self, video, capsys):
        (video[0] / "more").mkdir()
        Image.new("RGB", (4, 4)).save(video[0] / "more" / "0.png")
        assert len(Frames(str(video[0]), skip_bad=False).files) == 3
        said = capsys.readouterr().err
        assert "holds 1 images in folders, which are left out" in said
        assert "(1 of .txt)" in said

    def test_numbers_in_names_count_by_value(self, tmp_path):
        for name in ("2 b.png", "10 a.png", "1.png", "2 a.png"):
            Image.new("RGB", (4, 4)).save(tmp_path / name)
        assert [file.stem for file in Frames(str(tmp_path), skip_bad=False).files] == ["1", "2 a", "2 b", "10 a"]

    def test_a_frame_that_cannot_be_read_is_named_when_it_comes(self, video):
        folder, _ = video
        (folder / "b.PNG").write_bytes((folder / "b.PNG").read_bytes()[:60])
        every = Frames(str(folder), skip_bad=False).frames(torch.zeros(1, 3, 5, 5), [0], View(12, 10))
        next(every)
        with pytest.raises(InputError, match=r"b\.PNG cannot be read as an image;"):
            next(every)

    def test_or_it_is_left_out_and_counted(self, video):
        folder, pixels = video
        (folder / "b.PNG").write_bytes((folder / "b.PNG").read_bytes()[:60])
        protocol = Frames(str(folder), skip_bad=True, resize="crop")
        assert protocol.skipped == 1
        assert protocol.positions(View(12, 10)).tolist() == [0, 1]
        found = frames(protocol, torch.zeros(1, 3, 5, 5), View(12, 10))
        for frame, expected in zip(found[0], (pixels[0], pixels[2]), strict=True):
            assert torch.equal(frame[None], whole(expected, View(12, 10)))

    def test_no_folder_and_too_few_frames(self, tmp_path):
        with pytest.raises(InputError, match=r"folder=\S*none is no folder: name one that holds the frames of"):
            Frames(str(tmp_path / "none"), skip_bad=False)
        Image.new("RGB", (4, 4)).save(tmp_path / "only.png")
        with pytest.raises(InputError, match="holds 1 images that can be read; a video has two or more"):
            Frames(str(tmp_path), skip_bad=False)


def test_whole_is_the_image_as_it_is_meant_to_be_seen(images):
    for view in VIEWS:
        assert torch.equal(frames(Whole(), images, view)[:, 0], whole(images, view))


EVERY = {
    **{f"embed-{path}-{fill}": partial(embed, path=path, fill=fill) for path, fill in product(PATHS, FILLS)},
    **{f"scale-{fill}": partial(scale, fill=fill) for fill in FILLS},
    **{f"placement-{fill}": partial(placement, fill=fill) for fill in FILLS},
    **{
        f"{make.__name__}-{path}": partial(make, path=path) for make, path in product([crop, circular, subpixel], PATHS)
    },
    "whole": Whole,
}


@pytest.mark.parametrize("name", EVERY)
def test_there_is_a_position_for_each_frame(name, rng):
    protocol = EVERY[name]()
    assert protocol.ordered == ("random" not in name and "placement" not in name and name != "whole")
    for view in VIEWS:
        images = torch.rand(2, 3, view.resize or view.height, view.resize or view.width, generator=rng)
        before = images.clone()
        found = list(protocol.frames(images, PLACES, view))
        assert protocol.positions(view).shape == (len(found),)
        assert torch.equal(images, before)
        for frame in found:
            assert frame.shape == (2, 3, *view[:2])
            assert frame.dtype == images.dtype
            assert "subpixel" in name or (frame.min() >= -1e-6 and frame.max() <= 1 + 1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(embed, 0), "size=0 must be a whole number, 1 or more"),
        (partial(embed, 2.5), "size=2.5 must be a whole number"),
        (partial(embed, canvas=-1), "canvas=-1 must be a whole number"),
        (partial(embed, path="up"), "Unknown path 'up'"),
        (partial(embed, fill="white"), "Unknown fill 'white'"),
        (partial(embed, draws=0), "draws=0 must be a whole number"),
        (partial(scale, 0), "smallest=0 must be a whole number"),
        (partial(scale, None, "all"), "largest=all must be a whole number"),
        (partial(scale, canvas=0), "canvas=0 must be a whole number"),
        (partial(placement, 1), "sizes=1 must be a whole number, 2 or more"),
        (partial(crop, 0), "window=0 must be a whole number"),
        (partial(crop, None, 0), "windows=0 must be a whole number"),
        *(
            (
                partial(crop, box=box),
                r"box=.* must be left, top, right, bottom in fractions of the image, such as",
            )
            for box in [
                (),
                (0, 0, 1),
                (0.5, 0, 0.5, 1),
                (0, 0, 1, 1.1),
                (0, 0.7, 1, 0.2),
                "half",
                0.5,
                (0, 0, 1, torch.nan),
            ]
        ),
        (partial(subpixel, 0), "fraction=0 must be above 0"),
        (partial(subpixel, -0.25), "fraction=-0.25 must be above 0"),
        (partial(subpixel, torch.nan), "fraction=nan must be above 0"),
        (partial(subpixel, steps=0), "steps=0 must be a whole number"),
    ],
)
def test_options_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("protocol", "view", "size"),
    [
        (embed(13), View(12, 12), "13x13 pixels does not fit on a canvas of 12x12"),
        (embed(9, 8), View(12, 12), "9x9 pixels does not fit on a canvas of 8x8"),
        (embed(8, 8), View(8, 12), "8x12 pixels does not fit on a canvas of 8x8"),
        (scale(12, 13), View(12, 12), "13x13 pixels does not fit on a canvas of 12x12"),
        (placement(2, 4, 13), View(12, 12), "13x13 pixels does not fit on a canvas of 12x12"),
    ],
)
def test_an_image_that_does_not_fit_on_its_canvas(protocol, view, size, images):
    """Which is known before there is one; with what it names it is none."""
    with pytest.raises(InputError, match=f"An image of {size}, but an image of .* would do") as error:
        protocol.positions(view)
    most, canvas = re.search(r"an image of (\d+) pixels or fewer, or canvas=(\d+) would", str(error.value)).groups()
    canvas_of = protocol.canvas
    assert canvas_of.image_size(int(most), view)
    with pytest.raises(InputError):
        canvas_of.image_size(int(most) + 1, view)
    assert Canvas(int(canvas), "black", 0).image_size(int(size.split("x")[0]), view)


@pytest.mark.parametrize("make", [scale, partial(placement, 3)])
def test_the_smallest_is_not_above_the_largest(make):
    with pytest.raises(InputError, match=r"smallest=9 must not be above largest=8\."):
        make(9, 8).positions(View(12, 12))
    with pytest.raises(InputError, match=r"smallest=13 must not be above largest=12\."):
        make(13).positions(View(12, 12))


@pytest.mark.parametrize("name", EVERY)
def test_an_image_smaller_than_the_input_is_refused_and_known_to_be_by_its_size(name):
    protocol = EVERY[name]()
    with pytest.raises(InputError, match="smaller than the network's input"):
        list(protocol.frames(torch.zeros(1, 3, 8, 8), [0], View(12, 12)))
    assert "smaller than the network's input" in protocol.flaw((8, 8), 0, View(12, 12))
    assert "An image of 13x20 pixels" in protocol.flaw((26, 40), 0, View(14, 12, 13))
    for view in VIEWS:
        assert protocol.flaw((20, 19), 0, view) is None
        list(protocol.frames(torch.zeros(1, 3, 20, 19), [0], view))
