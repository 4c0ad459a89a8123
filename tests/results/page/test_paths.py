"""What the page gets of measurements along paths: read back from its text, it is what was measured."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from lit_shift.results.page.paths import content
from lit_shift.runs.findings import Findings
from tests.findings import config

LAYERS = ("conv1", "pool1", "conv2")
ELSEWHERE = {"choices": {"data": "imagefolder", "model": "torchvision"}, "classes": ["cat", "dog"], "ckpt": None}
pytestmark = pytest.mark.filterwarnings("error")


def under(
    protocol="embed",
    steps=9,
    images=6,
    seed=0,
    shown=(2,),
    layers=LAYERS,
    side=12,
    options="fill=black",
    ordered=True,
    tolerance=0.2,
    rate="accuracy",
):
    """Metrics and arrays, at random, of a protocol; those of the same seed have the same frames."""
    rng = np.random.default_rng(seed)
    count = len(layers) if ordered else 0
    metrics, arrays = {"n": float(images), "steps": float(steps), "complete": 1.0}, {}
    for name in (
        rate,
        *(("jaggedness_top1", "jaggedness_rate_top1", "jagged_fraction_top1", "mad") if ordered else ()),
    ):
        metrics |= dict(zip((f"{name}_ci95_low", name, f"{name}_ci95_high"), sorted(rng.random(3)), strict=True))
    chosen = np.unique(np.linspace(0, steps - 1, min(steps, 8)).round().astype(int))
    arrays |= {
        "options": np.array(options),
        "positions": np.arange(steps) - (steps - 1) // 2,
        "along": np.array(f"position under {protocol}"),
        "places": 3 * rng.permutation(images) + 2,
        "labels": np.arange(images) % 2,
        "answers": np.arange(images) % 2,
        "probability": rng.random((images, steps)).astype(np.float32),
        "shown": np.array(shown),
        "curve": rng.random((len(shown), steps)).astype(np.float32),
        "frames": rng.integers(0, 256, (len(shown), len(chosen), 3, side, side), dtype=np.uint8),
    }
    arrays["frame_positions"] = arrays["positions"][chosen]
    if not ordered:
        arrays |= {f"{rate}_{top}": np.sort(rng.random((steps, 3)))[:, [1, 0, 2]] for top in ("top1", "top5")}
    if count:
        arrays |= {
            "layers": np.array(layers),
            "depths": np.cumsum([name.startswith("conv") for name in layers]),
            "pools": np.array([name.startswith("pool") for name in layers]),
            "tolerance": np.array(tolerance),
            "nonshiftability": np.sort(9 * rng.random((count, 3)))[:, [1, 0, 2]],
            "nonshiftability_by_image": (9 * rng.random((images, count))).astype(np.float16),
            "sums": rng.random((len(shown), steps, 20)).astype(np.float32),
            f"maps/{layers[0]}": rng.random((len(shown), len(chosen), side, side)).astype(np.float32),
            f"maps/{layers[-1]}": rng.random((len(shown), len(chosen), 1, 1)).astype(np.float32),
        }
    return {f"{protocol}/{key}": value for key, value in metrics.items()}, {
        f"{protocol}/{key}": value for key, value in arrays.items()
    }


def model(name, *measured, of=ELSEWHERE):
    """A model with what was found of it under some protocols."""
    metrics = {key: value for found, _ in measured for key, value in found.items()}
    return Findings(name, of, metrics, [], {key: value for _, found in measured for key, value in found.items()})


def as_page_holds(models):
    """The content as the page reads it."""
    return json.loads(render._inline_json(content(models)))


def one(measured):
    """Of one model under one protocol."""
    found = as_page_holds([model("a", measured)])
    ((_, by_protocol),) = found["models"].items()
    ((_, result),) = by_protocol.items()
    return result


def levels(text, *shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def pixels(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_rows_of_the_heat_map_are_sorted_and_keep_their_place():
    metrics, arrays = under()
    arrays["embed/probability"][1, 3] = np.nan
    heat = one((metrics, arrays))["heat"]
    given, places = arrays["embed/probability"].astype(float), arrays["embed/places"].tolist()
    totals = [sum(value for value in row if value == value) for row in given.tolist()]
    expected = sorted(range(6), key=lambda row: -totals[row])
    assert heat["places"] == [places[row] for row in expected]
    read = levels(heat["levels"], 6, 9)
    known = ~np.isnan(given[expected])
    assert (read == 255).tolist() == (~known).tolist()
    np.testing.assert_allclose(read[known] / 254, given[expected][known], atol=0.5 / 254 + 1e-6)


def test_of_many_images_and_long_paths_evenly_many_are_kept():
    result = one(under(images=1000, steps=20))
    assert (result["images"], len(result["heat"]["places"])) == (1000, 256)
    totals = levels(result["heat"]["levels"], 256, 20).sum(1, dtype=int)
    assert (np.diff(totals) <= 10).all()  # sorted, but for rounding
    metrics, arrays = under(images=1000, steps=224)
    rows = len(one((metrics, arrays))["heat"]["places"])
    assert 100 < rows < 256
    result = one(under(steps=5000, images=3))
    assert (result["steps"], len(result["positions"])) == (5000, 1024)
    assert (result["positions"][0], result["positions"][-1]) == (-2499, 2500)
    film = result["films"]["0"]
    assert len(film["sums"][0]) == len(film["curve"]) == 1024


def test_measures_have_their_intervals_where_there_are_some():
    metrics, arrays = under()
    del metrics["embed/mad_ci95_low"], metrics["embed/mad_ci95_high"]
    measures = one((metrics, arrays))["measures"]
    changes = ["jaggedness_top1", "jaggedness_rate_top1", "jagged_fraction_top1"]
    assert list(measures) == ["accuracy", *changes, "mad"]
    assert measures["mad"] == [metrics["embed/mad"], None, None]
    assert measures["accuracy"] == [metrics[f"embed/accuracy{end}"] for end in ("", "_ci95_low", "_ci95_high")]


def test_what_is_no_path_has_accuracies_alone():
    metrics, arrays = under("placement", ordered=False)
    result = one((metrics, arrays))
    assert list(result["measures"]) == ["accuracy"]
    assert result["layers"]["names"] == result["films"]["0"]["maps"] == result["films"]["0"]["sums"] == []
    np.testing.assert_allclose(result["rates"]["top5"], arrays["placement/accuracy_top5"], atol=1e-4)


def test_a_single_frame_is_no_path():
    result = one(under("whole", steps=1, ordered=False))
    assert (result["heat"], result["films"]) == (None, {})


def test_every_protocol_has_the_tolerance_that_it_was_measured_with():
    strict, lax = (under(options=f"tolerance={tolerance}", tolerance=tolerance) for tolerance in (0.07, 0.5))
    models = [model("a", strict, under("placement", 5, ordered=False)), model("b", lax)]
    found = {protocol["title"]: protocol["tolerance"] for protocol in as_page_holds(models)["protocols"]}
    assert found == {"embed (tolerance=0.07)": 0.07, "placement": None, "embed (tolerance=0.5)": 0.5}


def test_protocols_of_one_name_are_told_apart_by_the_options_that_differ():
    circular = [under("circular", options=f"path={path}, box=[0.1, {0.2 * n}], seed=0") for n, path in enumerate("vd")]
    embed = [under(options=options) for options in ("fill=black, seed=0", "size=9, fill=black, seed=0")]
    models = [model(name, *measured) for name, *measured in zip("ab", circular, embed, strict=True)]
    found = as_page_holds(models)["protocols"]
    assert [protocol["title"] for protocol in found] == [
        "circular (path=v, box=[0.1, 0.0])",
        "embed",
        "circular (path=d, box=[0.1, 0.2])",
        "embed (size=9)",
    ]
    assert len({protocol["id"] for protocol in found}) == 4
    assert {protocol["title"] for protocol in as_page_holds(models[:1])["protocols"]} == {"circular", "embed"}


def test_models_on_one_path_share_their_frames():
    same, other = under(seed=1), under(seed=2)
    found = as_page_holds([model(name, measured) for name, measured in zip("abc", (same, same, other), strict=True)])
    assert len(found["films"]) == 2
    assert [list(by["embed (fill=black)"]["films"]) for by in found["models"].values()] == [["0"], ["0"], ["1"]]
    frames = same[1]["embed/frames"][0]
    np.testing.assert_array_equal([pixels(url) for url in found["films"][0]["frames"]], frames.transpose(0, 2, 3, 1))
    assert found["films"][0]["positions"] == same[1]["embed/frame_positions"].tolist()
    assert found["films"][0]["place"] == 2


def test_large_frames_shrink():
    metrics, arrays = under(side=200)
    arrays["embed/frames"][:] = np.linspace(0, 255, 200).astype(np.uint8)
    (film,) = as_page_holds([model("a", (metrics, arrays))])["films"]
    shrunk = pixels(film["frames"][0]).astype(int)
    assert shrunk.shape == (128, 128, 3)
    assert np.abs(shrunk - np.linspace(0, 255, 128)[:, None]).max() < 12


def test_of_many_models_fewer_images_are_shown_but_one_always():
    many = under(shown=(5, 8, 11))
    for count, kept in ((2, 3), (20, 2), (60, 1)):
        found = as_page_holds([model(str(number), many) for number in range(count)])
        assert [film["place"] for film in found["films"]] == [5, 8, 11][:kept]
        assert found["protocols"][0]["images_left_out"] == 3 - kept


def test_sums_are_relative_to_their_mean_and_the_strongest_come_first():
    metrics, arrays = under(shown=(5, 8))
    arrays["embed/sums"][1, :, :3] = 0
    arrays["embed/sums"][1, :, 17] += 5
    found = one((metrics, arrays))["films"]["1"]
    given = arrays["embed/sums"][1].astype(float).tolist()
    means = [sum(row[channel] for row in given) / 9 for channel in range(20)]
    strongest = sorted(range(20), key=lambda channel: -means[channel])[:16]
    assert found["strongest"] == strongest
    assert strongest[0] == 17
    expected = [[row[channel] / means[channel] for row in given] for channel in strongest]
    np.testing.assert_allclose(found["sums"], expected, atol=1e-3)
    silent = metrics, arrays | {"embed/sums": np.zeros_like(arrays["embed/sums"])}
    assert one(silent)["films"]["0"]["sums"] == [[None] * 9] * 16


def test_maps_are_levels_of_their_layers_largest_value_and_large_ones_are_averaged():
    metrics, arrays = under(side=64)
    given = arrays["embed/maps/conv1"]
    given[:, :, :8] = -1
    large, small = one((metrics, arrays))["films"]["0"]["maps"]
    assert (large["layer"], large["size"], large["shape"]) == ("conv1", [64, 64], [32, 32])
    means = given[0].reshape(8, 32, 2, 32, 2).mean((2, 4))
    np.testing.assert_allclose(levels(large["levels"], 8, 32, 32), 255 * means.clip(0) / means.max(), atol=0.5 + 1e-3)
    totals = given[0].sum((1, 2), dtype=float)
    np.testing.assert_allclose(large["sums"], totals / totals.mean(), atol=1e-3)
    values = arrays["embed/maps/conv2"][0].ravel()
    np.testing.assert_allclose(levels(small["levels"], 8), 255 * values / values.max(), atol=0.5 + 1e-3)


def test_maps_of_a_network_that_is_silent_or_has_diverged():
    metrics, arrays = under()
    arrays["embed/maps/conv1"][:] = 0
    arrays["embed/maps/conv2"][:] = np.nan
    for found in one((metrics, arrays))["films"]["0"]["maps"]:
        assert not levels(found["levels"], -1).any()
        assert found["sums"] == [None] * 8


def test_nothing_measured():
    assert as_page_holds([model("a"), model("b", of=config())]) == {
        "protocols": [],
        "remarks": [],
        "films": [],
        "models": {},
    }


def test_a_whole_table_adds_little():
    """38 networks for 32x32 images with five layers' maps, under four protocols, 1,000 images each."""
    measured = [under(name, steps, 1000, side=32) for name, steps in (("embed", 17), ("scale", 25), ("circular", 32))]
    rng = np.random.default_rng(0)
    for _, arrays in measured:
        protocol = next(iter(arrays)).partition("/")[0]
        arrays |= {f"{protocol}/maps/{side}": rng.random((1, 8, side, side)) for side in (16, 8, 4)}
    measured.append(under("placement", 9, 1000, ordered=False))
    text = render._inline_json(content([model(f"run-{number}", *measured) for number in range(38)]))
    assert len(text) < 5e6
