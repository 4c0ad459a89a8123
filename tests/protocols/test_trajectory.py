from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from lit_shift.protocols.trajectory import PATHS, Track
from lit_shift.utils.errors import InputError

SIZES = [(1, 1), (1, 4), (5, 1), (2, 2), (4, 7), (6, 3)]
ORDERED = [path for path in PATHS if path != "random"]


def middle_out(size):
    """Offsets from the middle, or from the former of two middles."""
    return [place - (size - 1) // 2 for place in range(size)]


def literal(path, rows, cols):
    down, right = middle_out(rows), middle_out(cols)
    if path == "grid":
        return [(down[r], c) for r in range(rows) for c in (right if r % 2 == 0 else right[::-1])]
    if path == "diagonal":
        return [(step, step) for step in middle_out(min(rows, cols))]
    return [(step, 0) for step in down] if path == "vertical" else [(0, step) for step in right]


@pytest.mark.parametrize("path", ORDERED)
@pytest.mark.parametrize(("rows", "cols"), SIZES)
def test_offsets_are_a_literal_loop(path, rows, cols):
    track = Track(path, 3, 0)
    offsets = track.offsets(rows, cols, [4, 9])
    assert offsets.dtype == torch.int64
    for image in range(2):
        assert [tuple(step) for step in offsets[:, image].tolist()] == literal(path, rows, cols)


@pytest.mark.parametrize("path", ORDERED)
@pytest.mark.parametrize(("rows", "cols"), SIZES)
def test_every_step_is_one_pixel_and_no_place_is_visited_twice(path, rows, cols):
    steps = [tuple(step) for step in Track(path, 1, 0).offsets(rows, cols, [0])[:, 0].tolist()]
    moved = {"vertical": {(1, 0)}, "horizontal": {(0, 1)}, "diagonal": {(1, 1)}, "grid": {(1, 0), (0, 1), (0, -1)}}
    assert {(b - a, d - c) for (a, c), (b, d) in pairwise(steps)} <= moved[path]
    assert len(set(steps)) == len(steps)
    assert set(steps) <= set(product(middle_out(rows), middle_out(cols)))
    if path == "grid":
        assert len(steps) == rows * cols


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("rows", "cols"), SIZES)
def test_positions_are_pixels_from_the_middle_or_numbers(path, rows, cols):
    track = Track(path, 6, 0)
    positions = track.positions(rows, cols)
    expected = {
        "vertical": middle_out(rows),
        "horizontal": middle_out(cols),
        "diagonal": middle_out(min(rows, cols)),
        "grid": range(rows * cols),
        "random": range(6),
    }
    assert isinstance(positions, np.ndarray)
    assert positions.tolist() == list(expected[path])
    assert len(positions) == len(track.offsets(rows, cols, [0]))


def test_random_offsets_are_uniform_over_the_field_both_ends_included():
    offsets = Track("random", 50, 0).offsets(4, 5, range(400))
    assert offsets.shape == (50, 400, 2)
    counts = Counter(map(tuple, offsets.flatten(0, 1).tolist()))
    assert set(counts) == set(product(middle_out(4), middle_out(5)))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_random_offsets_go_by_place_and_seed_alone():
    def offsets(places, seed=3):
        return Track("random", 8, seed).offsets(32, 32, places)

    torch.manual_seed(1)
    together = offsets([5, 0, 7])
    torch.manual_seed(2)
    for column, place in enumerate([5, 0, 7]):
        assert torch.equal(offsets([place])[:, 0], together[:, column])
    assert not torch.equal(together[:, 0], together[:, 1])
    assert not torch.equal(offsets([5, 0, 7], seed=4), together)


def test_only_random_offsets_are_in_no_order():
    assert {path: Track(path, 1, 0).ordered for path in PATHS} == {path: path in ORDERED for path in PATHS}


def test_what_changes_is_said_in_words():
    assert Track("diagonal", 1, 0).along("circular shift") == "diagonal circular shift in pixels"
    assert Track("grid", 1, 0).along("circular shift") == "grid circular shift, in order"


def test_an_unknown_path_or_no_draw_is_refused():
    with pytest.raises(InputError, match=r"Unknown path 'vertica'. Did you mean 'vertical'\? Choices: vertical, hor"):
        Track("vertica", 1, 0)
    with pytest.raises(InputError, match=r"draws=0 must be a whole number, 1 or more\."):
        Track("random", 0, 0)
