"""What the page gets of measurements along paths: read back from its plots, it is what was measured."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from plotly.utils import PlotlyJSONEncoder

from lit_shift.results.page.paths import content
from lit_shift.results.page.plots import pens
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


def shown(*models):
    """The content for these models, which is JSON."""
    return json.loads(json.dumps(content(models, pens(models)), cls=PlotlyJSONEncoder))


def one(measured):
    """Of one model under one protocol."""
    (protocol,) = shown(model("a", measured))["protocols"]
    return protocol


def read(values):
    """An array as plotly writes it."""
    if not isinstance(values, dict):
        return np.array(values, float)
    array = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"].replace("u1", "uint8"))
    return array.reshape([int(side) for side in values["shape"].split(",")]) if "shape" in values else array


def pixels(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def test_rows_of_the_heat_map_are_sorted_and_keep_their_place():
    for missing in (False, True):
        metrics, arrays = under()
        if missing:
            arrays["embed/probability"][1, 3] = np.nan
        ((trace,),) = (heat["data"] for heat in one((metrics, arrays))["heat"])
        given, places = arrays["embed/probability"].astype(float), arrays["embed/places"].tolist()
        totals = [sum(value for value in row if value == value) for row in given.tolist()]
        expected = sorted(range(6), key=lambda row: -totals[row])
        assert trace["y"] == [str(places[row]) for row in expected]
        np.testing.assert_allclose(read(trace["z"]), 100 * given[expected], atol=0.501)


def test_of_many_images_evenly_many_are_kept():
    (heat,) = one(under(images=1000, steps=20))["heat"]
    assert heat["text"] == "256 of 1,000 images, evenly spread over the order"
    totals = read(heat["data"][0]["z"]).sum(1, dtype=int)
    assert len(totals) == 256
    assert (np.diff(totals) <= 10).all()  # sorted, but for rounding
    (heat,) = one(under(images=1000, steps=224))["heat"]
    assert 100 < len(heat["data"][0]["y"]) < 256
    protocol = one(under(steps=5000, images=3))
    positions = read(protocol["heat"][0]["data"][0]["x"])
    assert (len(positions), positions[0], positions[-1]) == (5000, -2499, 2500)


def test_what_is_no_path_has_accuracies_alone():
    metrics, arrays = under("placement", ordered=False)
    made = shown(model("a", (metrics, arrays)))
    assert [measure["key"] for measure in made["measures"]] == ["accuracy"]
    (protocol,) = made["protocols"]
    assert protocol["depth"] is None
    (film,) = protocol["films"]
    assert film["maps"] == film["sums"] == []
    assert [trace["mode"] for trace in film["data"]] == ["markers"]  # frames that are no small step apart


def test_a_single_frame_is_no_path():
    protocol = one(under("whole", steps=1, ordered=False))
    assert (protocol["heat"], protocol["films"]) == ([], [])


def test_protocols_of_one_name_are_told_apart_by_the_options_that_differ():
    circular = [under("circular", options=f"path={path}, box=[0.1, {0.2 * n}], seed=0") for n, path in enumerate("vd")]
    embed = [under(options=options) for options in ("fill=black, seed=0", "size=9, fill=black, seed=0")]
    models = [model(name, *measured) for name, *measured in zip("ab", circular, embed, strict=True)]
    assert [protocol["title"] for protocol in shown(*models)["protocols"]] == [
        "circular (path=v, box=[0.1, 0.0])",
        "embed",
        "circular (path=d, box=[0.1, 0.2])",
        "embed (size=9)",
    ]
    assert {protocol["title"] for protocol in shown(models[0])["protocols"]} == {"circular", "embed"}


def test_models_on_one_path_share_their_frames():
    same, other = under(seed=1), under(seed=2)
    (protocol,) = shown(*(model(name, of) for name, of in zip("abc", (same, same, other), strict=True)))["protocols"]
    films = sorted(protocol["films"], key=lambda film: film["label"])
    assert [film["label"] for film in films] == ["test image 2 of a, b", "test image 2 of c"]
    frames = same[1]["embed/frames"][0]
    np.testing.assert_array_equal([pixels(url) for url in films[0]["frames"]], frames.transpose(0, 2, 3, 1))
    images = films[0]["layout"]["images"]
    assert [(each["source"], each["x"]) for each in images] == list(
        zip(films[0]["frames"], same[1]["embed/frame_positions"].tolist(), strict=True)
    )


def test_a_film_is_titled_by_the_images_file_if_it_is_known():
    metrics, arrays = under(shown=(5, 8))
    arrays["embed/names"] = np.array(["cat/0012.jpg", "dog/0003.jpg"])
    films = one((metrics, arrays))["films"]
    assert {film["title"]: film["label"] for film in films} == {name: name for name in ("cat/0012.jpg", "dog/0003.jpg")}


def test_the_image_that_answers_change_most_on_comes_first():
    metrics, arrays = under(shown=(5, 8))
    for steady, first in ((0, 8), (1, 5)):
        arrays["embed/curve"][steady], arrays["embed/curve"][1 - steady] = 0.5, np.arange(9) % 2
        assert one((metrics, arrays))["films"][0]["title"] == f"test image {first}"


def test_large_frames_shrink():
    metrics, arrays = under(side=200)
    arrays["embed/frames"][:] = np.linspace(0, 255, 200).astype(np.uint8)
    (film,) = one((metrics, arrays))["films"]
    shrunk = pixels(film["frames"][0]).astype(int)
    assert shrunk.shape == (128, 128, 3)
    assert np.abs(shrunk - np.linspace(0, 255, 128)[:, None]).max() < 12


def test_of_many_models_fewer_images_are_shown_but_one_always():
    many = under(shown=(5, 8, 11))
    many[1]["embed/sums"] = many[1]["embed/sums"][..., :1]  # a curve each is enough
    for count, kept in ((2, 3), (20, 2), (60, 1)):
        (protocol,) = shown(*(model(str(number), many) for number in range(count)))["protocols"]
        assert {film["title"] for film in protocol["films"]} == {f"test image {n}" for n in [5, 8, 11][:kept]}
        assert (f"the pictures of {3 - kept} more images" in protocol["note"]) == (kept < 3)


def test_sums_are_relative_to_their_mean_and_the_strongest_come_first():
    metrics, arrays = under()
    arrays["embed/sums"][0, :, :3] = 0
    arrays["embed/sums"][0, :, 17] += 5
    ((plot,),) = (film["sums"] for film in one((metrics, arrays))["films"])
    given = arrays["embed/sums"][0].astype(float).tolist()
    means = [sum(row[channel] for row in given) / 9 for channel in range(20)]
    strongest = sorted(range(20), key=lambda channel: -means[channel])[:16]
    assert [int(trace["hovertemplate"].split()[1].strip(",")) for trace in plot["data"]] == strongest
    assert strongest[0] == 17
    for trace, channel in zip(plot["data"], strongest, strict=True):
        expected = [row[channel] / means[channel] for row in given]
        np.testing.assert_allclose(read(trace["y"]), expected, rtol=1e-5)
    ((silent,),) = (
        film["sums"] for film in one((metrics, arrays | {"embed/sums": np.zeros_like(arrays["embed/sums"])}))["films"]
    )
    assert all(np.isnan(read(trace["y"])).all() for trace in silent["data"])


def test_maps_are_levels_of_their_layers_largest_value_and_large_ones_are_averaged():
    metrics, arrays = under(side=64)
    given = arrays["embed/maps/conv1"]
    given[:, :, :8] = -1
    ((maps,),) = (film["maps"] for film in one((metrics, arrays))["films"])
    large, small = maps["layers"]
    assert (large["title"], small["title"]) == ("conv1 [64x64]", "conv2 [1x1]")
    means = np.concatenate(given[0].reshape(8, 32, 2, 32, 2).mean((2, 4)), axis=1)
    strip = pixels(large["strip"])
    assert strip.shape == (32, 8 * 32, 3)
    green = strip[..., 1].astype(int)  # which rises throughout viridis
    assert (np.diff(green.ravel()[np.argsort(means.ravel())]) >= -1).all()
    assert green[means == means.max()].min() == 231
    assert set(green[means <= 0].tolist()) == {1}
    totals = given[0].sum((1, 2), dtype=float)
    assert [each["text"] for each in large["sums"]] == [f"{each:.2f}" for each in totals / totals.mean()]
    off = [abs(each - 1) > 0.2 for each in arrays["embed/maps/conv2"][0].ravel() / arrays["embed/maps/conv2"][0].mean()]
    assert [each["off"] for each in small["sums"]] == off


def test_maps_of_a_network_that_is_silent_or_has_diverged():
    metrics, arrays = under()
    arrays["embed/maps/conv1"][:] = 0
    arrays["embed/maps/conv2"][:] = np.nan
    ((maps,),) = (film["maps"] for film in one((metrics, arrays))["films"])
    for layer in maps["layers"]:
        assert len(np.unique(pixels(layer["strip"]).reshape(-1, 3), axis=0)) == 1
        assert {each["text"] for each in layer["sums"]} == {"\N{EN DASH}"}


def test_nothing_measured():
    made = shown(model("a"), model("b", of=config()))
    assert made == {"titles": {"a": [], "b": []}, "remarks": [], "measures": [], "sizes": [], "protocols": []}


@pytest.mark.parametrize("networks", [8, pytest.param(38, marks=pytest.mark.rough)])
def test_a_whole_table_adds_little(networks):
    """38 networks, or their share, for 32x32 images with five layers' maps, under four protocols, 1,000 images each."""
    measured = [under(name, steps, 1000, side=32) for name, steps in (("embed", 17), ("scale", 25), ("circular", 32))]
    rng = np.random.default_rng(0)
    for _, arrays in measured:
        protocol = next(iter(arrays)).partition("/")[0]
        arrays |= {f"{protocol}/maps/{side}": rng.random((1, 8, side, side)) for side in (16, 8, 4)}
    measured.append(under("placement", 9, 1000, ordered=False))
    made = shown(*(model(f"run-{number}", *measured) for number in range(networks)))
    assert len(json.dumps(made)) < 9e6 * networks / 38
