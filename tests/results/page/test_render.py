"""The page, opened in Debian's chromium as a reader would: from a file, with a mouse and a keyboard."""

import base64
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from lit_shift.results.page import paths
from lit_shift.results.page.render import render
from lit_shift.results.page.runs import content as made
from lit_shift.runs.findings import Findings
from tests.conftest import HANGS
from tests.findings import arrays, build, findings
from tests.results.page.test_paths import model, under

pytestmark = pytest.mark.xdist_group("browser")  # one browser for all

H = W = 32
MINUS, MISSING = "\N{MINUS SIGN}", "\N{EN DASH}"
EVIL = "</script><script>document.title = 'broken'</script><b>&amp;"
CLASSES = ["cat", "dog", f"frog {EVIL}"]
LAYERS = [("pixels", 32), ("pool1_ds", 16), ("softmax", 1)]
CIFAR, DIGITS = "cifar10, vgg13, 200 epochs", "digits, vgg13, 20 epochs"
PIXELS = {index: np.random.default_rng(index).integers(0, 256, (H, W, 3), dtype=np.uint8) for index in (3, 8)}


def encoded(array: np.ndarray) -> str:
    return base64.b64encode(array.astype(np.uint8).tobytes()).decode()


def png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def make_run(number: int, name: str, protocol: str = CIFAR, explorer: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(100 + number)
    logits = rng.normal(size=(len(PIXELS), H, W, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    measured = dict(zip(map(str, PIXELS), probabilities, strict=True)) if explorer else {}
    edges = np.logspace(-5, 0, 51)
    return {
        "id": f"{protocol.split(',')[0]}-{name}-{number:08x}",
        "name": name,
        "pool": name.split("-")[0],
        "filter": name.split("-")[1],
        "aug": "-aug" in name,
        "seed": 0,
        "protocol": protocol,
        "images": 10000,
        "shifts": 1024,
        "variation": 0.0014,
        "tv": {
            "layers": ["conv1_1", "conv1_2"],
            "final": [1.2, 1.1],
            "epochs": [1, 2],
            "course": [[2, 1.2], [1.9, 1.1]],
        },
        "equivariance": [
            {"layer": layer, "resolution": [side, side], "top": 0.6 + number, "map": rng.random((H, W)).tolist()}
            for layer, side in LAYERS
        ],
        "variations": {
            "edges": edges.tolist(),
            "counts": np.histogram(10 ** rng.uniform(-5, 0, 500), edges)[0].tolist(),
        },
        "stability": {key: np.diagonal(p[..., 0]).tolist() for key, p in measured.items()},
        "probabilities": {key: encoded(np.round(255 * p)) for key, p in measured.items()},
        "predictions": {key: encoded(p.argmax(-1)) for key, p in measured.items()},
    }


def make_row(runs: list[dict[str, Any]], rates: list[float], published: list[float] | None, **more: Any) -> dict:
    family, taps = re.fullmatch(r"([a-z]+)(\d*)", runs[0]["filter"]).groups()  # type: ignore[union-attr]
    names = ["accuracy", "accuracy_random", "consistency", "average"]
    cells = {
        name: {
            "mean": rate,
            "std": None,
            "published": published and published[i],
            "best": rate > 0.96,
            "worst": rate < 0.88,
        }
        for i, (name, rate) in enumerate(zip(names, rates, strict=True))
    }
    common = {key: runs[0][key] for key in ("pool", "filter", "aug", "protocol")}
    row = {**common, "family": family, "taps": int(taps or 1), "n": len(runs), "notes": []}
    return {**row, "runs": [run["id"] for run in runs], **cells, **more}


def make_measured(plain: str, aug: str, digits: str) -> list[Findings]:
    """Two runs on one path, a third on a longer one, and two classifiers from elsewhere.

    One of these is measured with other options and another tolerance, the other under one protocol alone, where it has
    no intervals.
    """
    circular = "path=vertical, seed=0"
    placement = under("placement", 5, ordered=False, shown=(), seed=8)
    first = under(seed=1, shown=(2, 5)), under("circular", 7, options=circular, seed=2), placement
    second = (
        under(seed=1, shown=(2, 5)),
        under("circular", 7, options=circular, seed=3),
        under("placement", 5, ordered=False, shown=(), seed=9),
    )
    for key in ("embed/probability", "embed/sums"):
        second[0][1][key] = second[0][1][key][:, ::-1]
    first[0][1]["embed/probability"][3, 1] = np.nan
    longer = under(steps=13, seed=4), under("placement", 6, ordered=False, shown=(), seed=5)
    other = (
        under(seed=6, layers=("features.0", "pool"), shown=()),
        under("circular", 7, options="path=diagonal, seed=0", tolerance=0.1),
    )
    few = under("circular", 7, options=circular, seed=7, shown=())
    for key in [key for key in few[0] if "_ci95" in key]:
        del few[0][key]
    few[0]["circular/complete"] = 0.0
    return [
        model(name, *measured)
        for name, *measured in [
            (plain, *first),
            (aug, *second),
            (digits, *longer),
            (f"net {EVIL}", *other),
            ("few", few),
        ]
    ]


def make_content() -> dict[str, Any]:
    """Five rows of two protocols, two classifiers from elsewhere, and a run that is not finished.

    One run has no explorer's data and one hardly any; one lacks an image; a row has nothing published.
    """
    plain, aug, tri, digits = (
        make_run(0, "max-delta-noaug-s0"),
        make_run(1, "max-delta-aug-s0"),
        make_run(2, "blur-tri5-noaug-s0", explorer=False),
        make_run(3, "blur-tri5-noaug-s0", DIGITS),
    )
    for key in ("stability", "probabilities", "predictions"):
        del aug[key]["8"]
    bare = make_run(4, "blur-rect6-aug-s0", explorer=False)
    bare |= {"tv": {"layers": [], "final": [], "epochs": [], "course": []}, "equivariance": [], "variations": None}
    measured = make_measured(plain["id"], aug["id"], digits["id"])
    measures = {"rank_correlation": 0.87, "mean_absolute_difference": 0.0123}
    names = ["accuracy", "accuracy_random", "consistency", "average"]
    return {
        "title": "lit_shift: 5 runs",
        "rows": [
            make_row([plain], [0.916, 0.875, 0.881, 0.899], [0.914, 0.876, 0.881, 0.898]),
            make_row([aug], [0.934, 0.938, 0.966, 0.95], [0.93, 0.94, 0.96, 0.95]),
            make_row([tri], [0.933, 0.933, 0.982, 0.957], [0.943, 0.933, 0.982, 0.957], notes=[f"a note {EVIL}"]),
            make_row([digits], [0.985, 0.98, 0.97, 0.977], None),
            make_row([bare], [0.914, 0.914, float("nan"), 0.952], [0.914, 0.914, 0.989, 0.952]),
        ],
        "unfinished": [{"run": "cifar10-max-delta-noaug-s1-00000009", "note": "unfinished: epoch 17 of 200"}],
        "foot": [
            {"protocol": CIFAR, "rows": 4, **dict.fromkeys(names, measures)},
            {"protocol": DIGITS, "rows": 1, **dict.fromkeys(names)},
        ],
        "published": [
            {"filter": "tri3", "family": "tri", "taps": 3, "aug": aug, "accuracy": 0.93, "accuracy_random": 0.92}
            | {"consistency": 0.94, "average": 0.935}
            for aug in (False, True)
        ],
        "runs": [plain, aug, tri, digits, bare],
        "images": [
            {"index": index, "label": i, "png": png(pixels)} for i, (index, pixels) in enumerate(PIXELS.items())
        ],
        "classes": CLASSES,
        "size": [H, W],
        "elsewhere": [{"id": each.name, "name": each.name, "data": "imagefolder"} for each in measured[3:]],
        "paths": paths.content(measured),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if not chromium:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Debian's chromium: apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=arguments)


@pytest.fixture(scope="module")
def show(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Page]]:
    """Opens a page on some content. Whatever is done with it, it asks for nothing and has no errors."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(1000 * HANGS)
    wrong: list[str] = []
    context.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    context.on("console", lambda message: wrong.append(message.text))

    def show(content: dict[str, Any]) -> Page:
        file = tmp_path_factory.mktemp("page") / "page.html"
        sets = {"sets": [{"name": "cifar10", **content}]} | content
        file.write_text(render(sets), encoding="utf-8")
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"{error.message} {error.stack}"))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield show
    context.close()
    assert not wrong


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return make_content()


@pytest.fixture(scope="module")
def opened(show: Callable[..., Page], content: dict[str, Any]) -> Page:
    return show(content)


@pytest.fixture(scope="module")
def measured(content: dict[str, Any]) -> list[Findings]:
    return make_measured(*(content["runs"][number]["id"] for number in (0, 1, 3)))


@pytest.fixture
def page(opened: Page) -> Page:
    """The page as it was opened, but for the shift and the order of the rows."""
    opened.evaluate("""() => {
        for (const [id, kind] of [["filter", "input"], ["aug", "change"]]) {
            document.getElementById(id).value = "";
            document.getElementById(id).dispatchEvent(new Event(kind));
        }
        for (const box of document.querySelectorAll("#table tbody input")) {
            if (box.checked === box.ariaLabel.startsWith("Draw blur rect6")) box.click();
        }
        for (const box of document.querySelectorAll("#elsewhere input:not(:checked)")) box.click();
        for (const select of document.querySelectorAll("#paths select")) {
            if (select.selectedIndex === 0) continue;
            select.selectedIndex = 0;
            select.dispatchEvent(new Event("change"));
        }
        document.querySelector("#film .strip button[aria-pressed=false]:first-child")?.click();
        document.querySelector("#explorer .strip button").click();
        document.getElementById("home").click();
    }""")
    return opened


def column(page: Page, kind: str, nth: int = 0) -> list[str]:
    """A column of the rows that are shown; the kinds of numbers recur, once for each measure."""
    cells = f"row => row.querySelectorAll('td.{kind}')[{nth}].innerText"
    return page.evaluate(f"[...document.querySelectorAll('#table tbody tr:not([hidden])')].map({cells})")


def data(page: Page, figure: str) -> list[dict[str, Any]]:
    """The traces of a figure, or of all its plots."""
    host = f"[...document.querySelectorAll('{figure} .plot')].filter(host => host.offsetParent)"
    return page.evaluate(f"{host}.flatMap(host => host.data ?? [])")


def names(page: Page, figure: str) -> list[str]:
    return [trace["name"] for trace in data(page, figure)]


def pixels(page: Page, canvas: str) -> np.ndarray:
    """What a canvas shows, once it has been redrawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    values = page.locator(canvas).evaluate("""canvas => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    return np.array(values, dtype=np.uint8).reshape(H, W, 4)[..., :3]


def shift_shown(page: Page) -> tuple[int, int]:
    pixels(page, "#image")
    h, w = re.findall(r"[+-]?\d+", page.inner_text("#shift").replace(MINUS, "-"))
    return int(h), int(w)


def drag(page: Page, right: float, down: float) -> None:
    """Drag the image by so many of its own pixels."""
    page.locator("#image").scroll_into_view_if_needed()
    box = page.locator("#image").bounding_box()
    assert box
    x, y, pixel = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / W
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right * pixel, y + down * pixel, steps=4)
    page.mouse.up()


def probabilities(content: dict[str, Any], run: int, index: int) -> np.ndarray:
    text = content["runs"][run]["probabilities"][str(index)]
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(H, W, 3) / 255


def predictions(content: dict[str, Any], run: int, index: int) -> np.ndarray:
    text = content["runs"][run]["predictions"][str(index)]
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(H, W)


def test_it_is_one_file_without_a_network(content: dict[str, Any]) -> None:
    text = render(content)
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|img|link)[^>]+(src|href)=[\"'](?!data:)", text.split("<script>")[0])
    inlined = json.loads(text.split('id="content">')[1].split("</script>")[0])
    assert inlined["classes"] == CLASSES
    assert inlined["rows"][4]["consistency"]["mean"] is None  # NaN, which JSON has not


def test_no_button_of_plotly_uploads(page: Page) -> None:
    buttons = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map(each => each.dataset.title)")
    assert set(buttons) == {"Download plot as a PNG", "Zoom", "Pan", "Reset axes"}


def test_table(page: Page) -> None:
    assert column(page, "filter") == ["delta", "delta", "tri5", "tri5", "rect6"]
    assert column(page, "ours") == ["91.6", "93.4", "93.3", "98.5", "91.4"]
    assert column(page, "paper") == ["91.4", "93.0", "94.3", MISSING, "91.4"]
    assert column(page, "diff") == ["+0.2", "+0.4", f"{MINUS}1.0", MISSING, "0.0"]
    assert column(page, "ours", 2) == ["88.1", "96.6", "98.2", "97.0", MISSING]
    assert page.locator("#table td.best").all_inner_texts() == ["96.6", "98.2", "98.5", "98.0", "97.0", "97.7"]
    assert page.locator("#table td.worst").all_inner_texts() == ["87.5"]
    assert not page.locator("#set").is_visible()
    foot = page.locator("#table tfoot tr").all_inner_texts()
    assert foot[0].split("\t")[1:] == ["0.87"] * 4
    assert foot[1].split("\t")[1:] == ["1.2"] * 4
    assert foot[2].split("\t")[1:] == [MISSING] * 4
    assert "Not in the table: cifar10-max-delta-noaug-s1-00000009 (unfinished: epoch 17 of 200)" in page.inner_text(
        "#notes"
    )


def test_sorting(page: Page) -> None:
    """Best first, worst first, as it was; what is missing is last; the keyboard does it, too."""
    head = page.locator("#table th.ours").nth(2)
    head.locator("button").click()
    assert column(page, "ours", 2) == ["98.2", "97.0", "96.6", "88.1", MISSING]
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").press("Enter")
    assert column(page, "ours", 2) == ["88.1", "96.6", "97.0", "98.2", MISSING]
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator("#table th.filter button").click()
    assert column(page, "filter") == ["delta", "delta", "rect6", "tri5", "tri5"]
    assert head.get_attribute("aria-sort") == "none"
    for _ in range(2):
        page.locator("#table th.filter button").click()
    assert column(page, "filter") == ["delta", "delta", "tri5", "tri5", "rect6"]
    assert page.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 0


def test_filtering(page: Page) -> None:
    page.fill("#filter", "TRI cifar")
    assert column(page, "filter") == ["tri5"]
    assert page.inner_text("#count") == "1 of 5 rows"
    assert [len(trace["x"]) for trace in data(page, "#fig5") if trace["name"] == "ours"] == [1, 0]
    page.fill("#filter", "")
    page.select_option("#aug", "true")
    assert column(page, "filter") == ["delta", "rect6"]


def test_ticked_rows_are_drawn(page: Page, content: dict[str, Any]) -> None:
    plain, aug = "max-delta-noaug-s0", "max-delta-aug-s0"
    tri, digits = (run["id"] for run in content["runs"][2:4])  # their names are the same
    for figure in ("#fig6", "#fig7 .pair > :first-child", "#fig7 .pair > :last-child"):
        assert names(page, figure) == [plain, aug, tri, digits]
    assert names(page, "#fig2") == [plain, aug, digits]
    assert f"Not measured on this image: {tri}." in page.inner_text("#fig2")
    colours = {trace["name"]: trace["line"]["color"] for trace in data(page, "#fig6")}
    assert len(set(colours.values())) == 4

    page.uncheck("#table tbody tr:nth-child(1) input")
    assert names(page, "#fig6") == [aug, tri, digits]
    assert {trace["name"]: trace["line"]["color"] for trace in data(page, "#fig6")} == {
        name: tint for name, tint in colours.items() if name != plain
    }
    page.select_option("#layer", "conv1_2")
    assert [trace["y"] for trace in data(page, "#fig7 .pair > :last-child")] == [[1.9, 1.1]] * 3

    page.click("#clear")
    page.check("#table tbody tr:nth-child(5) input")  # a run that has none of the measures
    for figure in ("#fig4", "#fig6", "#fig7", "#fig2"):
        assert data(page, figure) == []
        assert "No ticked run has this measure" in page.inner_text(figure)


def test_accuracy_against_consistency(page: Page) -> None:
    published, plain, _, aug = data(page, "#fig5")
    assert (published["x"], published["y"]) == ([93], [94])
    np.testing.assert_allclose(plain["x"], [91.6, 93.3, 98.5])
    np.testing.assert_allclose(plain["y"], [88.1, 98.2, 97])
    titles = page.evaluate("(({ xaxis, yaxis }) => [xaxis, yaxis])(document.querySelector('#fig5 .plot').layout)")
    assert [each["title"]["text"] for each in titles] == ["accuracy (%)", "consistency (%)"]
    assert plain["marker"]["symbol"] == ["circle", "diamond", "diamond"]
    assert plain["marker"]["color"][0] != plain["marker"]["color"][1] == plain["marker"]["color"][2]
    assert aug["x"] == [93.4]  # the other row has no consistency


def test_heat_maps(page: Page, content: dict[str, Any]) -> None:
    """No shift in the middle, and red at half the distance between two images."""
    maps = data(page, "#fig4")
    layers = [layer for run in content["runs"] for layer in run["equivariance"]][: len(maps)]
    assert len(maps) == 4 * len(LAYERS)
    for trace, layer in zip(maps, layers, strict=True):
        np.testing.assert_array_equal(trace["z"], np.fft.fftshift(layer["map"]))
        assert trace["x"] == trace["y"] == list(range(-16, 16))
        assert (trace["zmin"], trace["zmax"]) == (0, layer["top"] / 2)
    assert page.locator("#fig4 .annotation-text").all_text_contents()[:3] == [
        "pixels [32x32]",
        "pool1_ds [16x16]",
        "softmax [1x1]",
    ]


def test_histogram(page: Page, content: dict[str, Any]) -> None:
    trace = data(page, "#fig6")[0]
    assert trace["y"][:-1] == content["runs"][0]["variations"]["counts"]
    np.testing.assert_allclose(trace["x"], np.logspace(-5, 0, 51))
    x, y = page.evaluate("(({ xaxis, yaxis }) => [xaxis, yaxis])(document.querySelector('#fig6 .plot')._fullLayout)")
    assert (x["type"], x["range"], y["type"]) == ("log", [-5, 0], "linear")
    assert "below" in x["title"]["text"]
    assert "max-delta-noaug-s0 (0.00140)" in page.inner_text("#fig6 .legend")


def test_stability_follows_the_image(page: Page, content: dict[str, Any]) -> None:
    for nth, index in enumerate(PIXELS):
        page.locator("#fig2 .strip button").nth(nth).click()
        curve = 100 * np.array(content["runs"][0]["stability"][str(index)])
        np.testing.assert_allclose(data(page, "#fig2")[0]["y"], curve)
        np.testing.assert_array_equal(pixels(page, "#image"), PIXELS[index])


@pytest.mark.parametrize(("right", "down"), [(5, 0), (0.4, -3.3), (-9, 14), (-12, -15)])
def test_dragging_rolls_the_image(page: Page, right: float, down: float) -> None:
    drag(page, right, down)
    offset = round(down), round(right)
    assert shift_shown(page) == offset
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(PIXELS[3], offset, (0, 1)))


def test_dragging_on_wraps_around(page: Page) -> None:
    for _ in range(3):
        drag(page, 12, -12)
    assert shift_shown(page) == (-4, 4)
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(PIXELS[3], (-36, 36), (0, 1)))
    page.mouse.move(10, 10)  # the button is up: nothing is dragged
    assert shift_shown(page) == (-4, 4)


def test_arrow_keys(page: Page) -> None:
    page.focus("#image")
    for key in ["ArrowUp", "ArrowLeft", "ArrowLeft"]:
        page.keyboard.press(key)
    assert shift_shown(page) == (-1, -2)
    for key in ["ArrowDown"] * 18 + ["ArrowRight"] * 2:
        page.keyboard.press(key)
    assert shift_shown(page) == (-15, 0)
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(PIXELS[3], (17, 0), (0, 1)))


def test_bars_are_the_probabilities_at_the_shift(page: Page, content: dict[str, Any]) -> None:
    drag(page, -7, 4)
    assert shift_shown(page) == (4, -7)
    for panel, run in ((0, 0), (1, 1)):
        root = page.locator("#stage .panel").nth(panel)
        expected = probabilities(content, run, 3)[4, -7]
        assert root.locator(".value").all_inner_texts() == [f"{100 * p:.1f} %" for p in expected]
        widths = root.locator(".track i").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
        np.testing.assert_allclose(widths, 100 * expected, atol=1e-3)
        guess = predictions(content, run, 3)[4, -7]
        sign = "✓" if guess == 0 else "✗"
        assert root.locator(".verdict").inner_text().split() == ["predicted:", *CLASSES[guess].split(), sign]
        assert root.locator(".bar.correct .name").inner_text() == "cat"


def test_map_of_predictions(page: Page, content: dict[str, Any]) -> None:
    """It is fftshifted, its legend counts the shifts, and a click on it goes to the shift that it shows there."""
    root = page.locator("#stage .panel").nth(1)
    shown = pixels(page, "#stage .panel:nth-child(3) .map")
    guesses = np.fft.fftshift(predictions(content, 1, 3))
    bars = root.locator(".track i").evaluate_all("bars => bars.map(bar => getComputedStyle(bar).backgroundColor)")
    colours = np.array([[int(part) for part in re.findall(r"\d+", bar)] for bar in bars])
    np.testing.assert_array_equal(shown, colours[guesses])
    counts = np.bincount(guesses.ravel(), minlength=3)
    assert (
        root.locator(".agree").inner_text().startswith(f"{100 * counts.max() / (H * W):.1f} % of the shifts agree on")
    )
    assert f"dog {100 * counts[1] / (H * W):.1f} %" in root.locator(".shares").inner_text()

    root.locator(".map").scroll_into_view_if_needed()
    box = root.locator(".map").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 20.5 / W, box["y"] + box["height"] * 6.5 / H)
    assert shift_shown(page) == (-10, 4)
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(PIXELS[3], (-10, 4), (0, 1)))
    here = root.locator(".here").bounding_box()
    assert here
    assert here["x"] - box["x"] == pytest.approx(box["width"] * 20 / W, abs=0.5)
    assert here["y"] - box["y"] == pytest.approx(box["height"] * 6 / H, abs=0.5)


def test_names_are_no_markup(page: Page) -> None:
    page.locator("#explorer .strip button").last.click()
    assert page.title() == "lit_shift: 5 runs"
    assert page.locator("#stage .bar .name").nth(2).inner_text() == CLASSES[2]
    assert EVIL in page.inner_text("#notes")
    assert page.locator("#table abbr").get_attribute("title") == f"a note {EVIL}"


def test_an_image_that_a_run_lacks(page: Page, content: dict[str, Any]) -> None:
    page.locator("#explorer .strip button").last.click()
    lacks = page.locator("#stage .panel").nth(1)
    assert lacks.locator(".lack").is_visible()
    assert not lacks.locator(".map").is_visible()
    assert names(page, "#fig2") == ["max-delta-noaug-s0", content["runs"][3]["id"]]
    drag(page, 3, 3)
    assert shift_shown(page) == (3, 3)


NETS = ["max-delta-noaug-s0", "max-delta-aug-s0", "digits-blur-tri5-noaug-s0-00000003", f"net {EVIL}", "few"]
ESCAPED = EVIL.replace("&", "&amp;").replace("<", "&lt;")


def found(measured: list[Findings], number: int, key: str) -> np.ndarray:
    return measured[number].arrays[key].astype(float)


def test_bars_of_each_measure(page: Page, measured: list[Findings]) -> None:
    """By protocol, told apart by options; with whiskers where there is an interval, without a bar where no value."""
    for measure, factor, count in (("jaggedness_rate_top1", 100, 3), ("mad", 100, 3), ("accuracy", 100, 4)):
        page.select_option("#measure", measure)
        traces = data(page, "#jagged")
        assert len(traces) == 5
        for trace, each in zip(traces, measured, strict=True):
            assert [x for x in trace["x"] if x != "placement"] == [
                "embed",
                "circular (path=vertical)",
                "circular (path=diagonal)",
            ]
            assert len(trace["x"]) == count
            for i, title in enumerate(trace["x"]):
                name = title.split()[0]
                options = str(each.arrays.get(f"{name}/options", ""))
                mean = each.metrics.get(f"{name}/{measure}")
                if mean is None or ("diagonal" in title) != ("diagonal" in options):
                    assert trace["y"][i] is None
                    continue
                assert trace["y"][i] == pytest.approx(factor * mean)
                ends = [each.metrics.get(f"{name}/{measure}_ci95_{end}", mean) for end in ("low", "high")]
                bars = [mean - trace["error_y"]["arrayminus"][i] / factor, mean + trace["error_y"]["array"][i] / factor]
                assert bars == pytest.approx(ends)
    assert "6 images" in traces[0]["customdata"][0]


def test_classifiers_from_elsewhere_are_drawn_among_small_transformations_alone(page: Page) -> None:
    for figure in ("#fig6", "#fig7", "#fig2", "#fig4"):
        assert not {NETS[3], "few"} & set(names(page, figure))
    assert "few" not in page.inner_text("#explorer")
    assert page.locator("#elsewhere tbody tr").all_inner_texts()[1].split("\t")[1:] == [
        "few",
        "imagefolder",
        "6",
        "circular (path=vertical)",
    ]
    colours = {trace["name"]: trace["marker"]["color"] for trace in data(page, "#jagged")}
    assert len(set(colours.values())) == 5
    page.locator("#elsewhere input").first.focus()
    page.keyboard.press("Space")
    assert {trace["name"]: trace["marker"]["color"] for trace in data(page, "#jagged")} == {
        name: tint for name, tint in colours.items() if not name.startswith("net")
    }
    page.click("#clear")
    for part in ("#jagged", "#sizes", "#heat", "#depth", "#film", "#sums", "#features"):
        assert data(page, part) == []
        assert "Nothing that is ticked" in page.inner_text(part)


def test_probability_of_the_correct_class(page: Page, measured: list[Findings]) -> None:
    tri = "cifar10-blur-tri5-noaug-s0-00000002"
    panels = data(page, "#heat")
    assert [panel["name"] for panel in panels] == [*NETS[:3], f"net {ESCAPED}"]
    for panel, each in zip(panels, measured, strict=False):
        given = each.arrays["embed/probability"].astype(float)
        order = np.argsort(-np.nansum(given, axis=1))
        np.testing.assert_allclose(np.array(panel["z"], float), 100 * given[order], atol=0.2)
        assert panel["x"] == each.arrays["embed/positions"].tolist()
        assert panel["y"] == [str(place) for place in each.arrays["embed/places"][order]]
        assert (panel["zmin"], panel["zmax"]) == (0, 100)
    assert sum(value is None for row in panels[0]["z"] for value in row) == 1
    note = page.inner_text("#protocol-note")
    assert note == f"position under embed; fill=black; paths of 9, 13 positions; not measured: {tri}, few."
    page.select_option("#protocol", label="circular (path=vertical)")
    note = page.inner_text("#protocol-note")
    assert (
        f"with other options: {NETS[3]}; not measured: {tri}, {NETS[2]}; measured on a part of the images: few" in note
    )
    assert [panel["name"] for panel in data(page, "#heat")] == [*NETS[:2], "few"]


def by_image(model: Findings) -> np.ndarray:
    return model.arrays["embed/nonshiftability_by_image"]


def test_non_shiftability(page: Page, measured: list[Findings]) -> None:
    """By layer where all have the same, else by their share of the depth; pools are squares.

    Steps are counted where all paths are as long, else it is their share.
    """
    means = [trace for trace in data(page, "#depth") if trace["mode"] == "lines+markers"]
    assert [trace["x"] for trace in means] == [[0.5, 0.5, 1]] * 3 + [[0, 0]]
    page.locator("#elsewhere input").first.uncheck()
    title = "document.querySelector('#depth .plot').layout.yaxis.title.text"
    for models, start in (
        (3, "share of the steps, in percent, at which a sum changes"),
        (2, "steps at which a sum changes"),
    ):
        traces = data(page, "#depth")
        assert len(traces) == 3 * models
        assert page.evaluate(title).startswith(start)
        for thin, band, trace, each in zip(traces[::3], traces[1::3], traces[2::3], measured, strict=False):
            scale = 100 / (len(each.arrays["embed/positions"]) - 1) if models == 3 else 1
            single = [[*(scale * float(count) for count in counts), None] for counts in by_image(each)]
            assert thin["x"] == ["conv1", "pool1", "conv2", None] * len(single)
            assert [value is None for value in thin["y"]] == [value is None for counts in single for value in counts]
            np.testing.assert_allclose(*(np.array(values, float) for values in (thin["y"], sum(single, []))), atol=0.5)
            mean, low, high = scale * each.arrays["embed/nonshiftability"].T
            assert trace["x"] == ["conv1", "pool1", "conv2"]
            np.testing.assert_allclose(trace["y"], mean, atol=0.05)
            assert trace["marker"]["symbol"] == ["circle", "square", "circle"]
            np.testing.assert_allclose(band["y"], [*high, *low[::-1]], atol=0.05)
        page.locator("#table tbody input:checked").last.uncheck()


def test_what_changes_or_departs_is_said_by_the_tolerance(page: Page, measured: list[Findings]) -> None:
    for protocol, number, tolerance, text in [
        ("embed", 0, 0.2, "20 %"),
        ("circular (path=diagonal)", 3, 0.1, "10 %"),
    ]:
        page.select_option("#protocol", label=protocol)
        title = page.evaluate("document.querySelector('#depth .plot').layout.yaxis.title.text")
        assert title.endswith(f"at which a sum changes by over {text}")
        sums = found(measured, number, f"{protocol.split()[0]}/maps/conv2")[0].sum((1, 2))
        written = page.locator("#features tr").nth(2).locator("td > span")
        red = written.evaluate_all("all => all.map(each => each.classList.contains('off'))")
        assert red == (abs(sums / sums.mean() - 1) > tolerance).tolist()


def test_accuracy_by_size(page: Page, measured: list[Findings]) -> None:
    traces = [trace for trace in data(page, "#sizes") if trace.get("fill") is None]
    assert [trace["name"] for trace in traces] == [*NETS[:2], *(f"{name}, top 5" for name in NETS[:2])]
    for trace, (number, top) in zip(traces, [(0, 1), (1, 1), (0, 5), (1, 5)], strict=True):
        expected = 100 * found(measured, number, f"placement/accuracy_top{top}")[:, 0]
        np.testing.assert_allclose(trace["y"], expected, atol=0.01)
        assert trace["x"] == [-2, -1, 0, 1, 2]
    assert f"Not drawn, as measured at other positions: {NETS[2]}." in page.inner_text("#sizes")


def test_film(page: Page, measured: list[Findings]) -> None:
    """Curves belong to the frames above; to point at a curve or a frame highlights the frame, and its feature maps."""
    curves = data(page, "#film")
    assert [curve["name"] for curve in curves] == NETS[:2]
    for number, curve in enumerate(curves):
        np.testing.assert_allclose(curve["y"], 100 * found(measured, number, "embed/curve")[0], atol=0.01)
    assert f"Not measured on these frames: {NETS[2]}, {NETS[3]}." in page.inner_text("#film")
    frames = page.locator("#film .frames button")
    assert frames.all_inner_texts() == [
        str(at).replace("-", MINUS) for at in measured[0].arrays["embed/frame_positions"]
    ]

    page.mouse.move(0, 0)  # away from where another test has left it
    frames.nth(2).focus()
    highlighted = "[...document.querySelectorAll('#paths .highlighted')].map(each => each.dataset.frame)"
    assert page.evaluate(highlighted) == ["2"] * 4
    page.locator("#film .plot").scroll_into_view_if_needed()
    box = page.locator("#film .plot .nsewdrag").bounding_box()
    middle = frames.nth(5).bounding_box()
    assert box
    assert middle
    for x in (-8, 1):  # the frame stands above its place on the axis
        page.mouse.move(middle["x"] + middle["width"] / 2 + x, box["y"] + box["height"] / 2)
        page.wait_for_timeout(60)  # plotly does not look at every move
    page.wait_for_function(f"({highlighted}).join() === '5,5,5,5'")
    lines = page.evaluate("document.querySelector('#film .plot').layout.shapes")
    assert [line["x0"] for line in lines if line["line"]["width"] == 2] == [
        measured[0].arrays["embed/frame_positions"][5]
    ]

    page.locator("#film .strip button").nth(1).press("Enter")
    np.testing.assert_allclose(data(page, "#film")[0]["y"], 100 * found(measured, 0, "embed/curve")[1], atol=0.01)
    assert "test image 5" in page.inner_text("#film h3")
    page.locator("#film .strip button").nth(2).click()
    assert names(page, "#film") == [NETS[2]]


def test_sums_of_the_last_layers_maps(page: Page, measured: list[Findings]) -> None:
    curves = data(page, "#sums")
    assert len(curves) == 2 * 16
    for number in (0, 1):
        sums = found(measured, number, "embed/sums")[0]
        strongest = np.argsort(-sums.mean(0))[:16]
        expected = (sums / sums.mean(0)).T[strongest]
        np.testing.assert_allclose([curve["y"] for curve in curves[16 * number :][:16]], expected, atol=1e-3)
    band = "document.querySelector('#sums .plot').layout.shapes.map(({ y0, y1 }) => [y0, y1])"
    assert page.evaluate(band) == [[0.8, 1.2]]
    page.select_option("#protocol", label="circular (path=diagonal)")
    assert page.evaluate(band) == [[0.9, 1.1]]


def test_feature_maps(page: Page, measured: list[Findings]) -> None:
    for number in (0, 1):
        page.select_option("#mapped", index=number)
        rows = page.locator("#features tr")
        assert rows.locator("th").all_inner_texts() == ["input", "conv1 [12x12]", "conv2 [1x1]"]
        maps = found(measured, number, "embed/maps/conv1")[0]
        totals = maps.sum((1, 2))
        sums = [float(text) for text in rows.nth(1).locator("td").all_inner_texts()]
        np.testing.assert_allclose(sums, totals / totals.mean(), atol=0.006)
        shown = (
            rows.nth(1)
            .locator("canvas")
            .evaluate_all("all => all.map(each => [...each.getContext('2d').getImageData(0, 0, 12, 12).data])")
        )
        green = np.array(shown).reshape(8, 12, 12, 4)[..., 1]  # which rises throughout viridis
        assert (green[maps == maps.max()] == 231).all()
        order = np.argsort(maps.ravel())
        assert (np.diff(green.ravel()[order]) >= 0).all()


def test_narrow_and_dark(page: Page) -> None:
    size = page.viewport_size
    assert size
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 800})
    pixels(page, "#image")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    widths = page.evaluate("[...document.querySelectorAll('.plot svg.main-svg')].map(each => each.clientWidth)")
    assert max(widths) <= 420
    background = "document.querySelector('#fig6 .plot').layout.paper_bgcolor"
    assert page.evaluate(background) == "#15181c"
    page.set_viewport_size(size)
    page.emulate_media(color_scheme="light")
    pixels(page, "#image")
    assert page.evaluate(background) == "#ffffff"


def test_no_images(show: Callable[..., Page]) -> None:
    """Where no run has saved its answers at all shifts, one sentence says how to get them."""
    content = make_content() | {"images": []}
    content["runs"] = [run | {"stability": None, "probabilities": None, "predictions": {}} for run in content["runs"]]
    page = show(content)
    for section in ("#explorer", "#fig2"):
        assert "python eval.py ckpt=RUN/checkpoints/last.ckpt" in page.inner_text(section)
    assert not page.locator("#image").is_visible()
    assert len(names(page, "#fig6")) == 4
    page.close()


def test_seeds_of_a_row(show: Callable[..., Page]) -> None:
    """A row of several seeds draws one of them, unless all are asked for; what is drawn comes first in the explorer."""
    seeds = [make_run(10 + seed, f"blur-tri3-noaug-s{seed}") for seed in range(3)]
    ids = [run["id"] for run in seeds]
    content = make_content() | {"rows": [make_row(seeds, [0.9] * 4, None)], "runs": seeds[::-1], "foot": []}
    page = show(content)
    selects = page.locator("#stage select")
    assert names(page, "#fig6") == ["blur-tri3-noaug-s0"]
    assert [select.input_value() for select in selects.all()] == [ids[0], ids[2]]
    groups = selects.first.locator("optgroup")
    assert [group.locator("option").count() for group in groups.all()] == [1, 2]

    page.select_option("#seeds", "all")
    assert names(page, "#fig6") == [run["name"] for run in seeds]
    assert [select.input_value() for select in selects.all()] == ids[:2]
    assert [group.locator("option").count() for group in groups.all()] == [3, 0]
    selects.first.select_option(ids[2])
    shift_shown(page)
    values = page.locator("#stage .panel").first.locator(".value").all_inner_texts()
    assert values == [f"{100 * p:.1f} %" for p in probabilities(content, 0, 3)[0, 0]]
    page.close()


def test_no_finished_run(show: Callable[..., Page]) -> None:
    nothing = {"elsewhere": [], "paths": paths.content([])}
    page = show(make_content() | {"rows": [], "runs": [], "images": [], "foot": []} | nothing)
    assert "unfinished: epoch 17 of 200" in page.inner_text("#notes")
    assert "python eval.py ckpt=RUN/checkpoints/last.ckpt 'protocol=[embed,scale,circular]'" in page.inner_text(
        "#paths"
    )
    assert not page.locator("#paths select:visible, #elsewhere:visible").count()
    page.close()


def test_one_run_of_many_classes(show: Callable[..., Page]) -> None:
    """One run has one panel. Of many classes the likeliest get a bar, and the correct one does."""
    content = make_content()
    run, rng = content["runs"][0], np.random.default_rng(0)
    p = rng.integers(0, 3, (H, W, 100))
    p[..., 40:60] += 100
    run |= {"probabilities": {"3": encoded(p)}, "predictions": {"3": encoded(p.argmax(-1))}}
    one = {"rows": content["rows"][:1], "runs": [run], "images": content["images"][:1]}
    page = show(content | one | {"classes": [f"class {k}" for k in range(100)]})
    assert names(page, "#fig2") == ["max-delta-noaug-s0"]
    assert page.locator("#table caption").inner_text() == CIFAR  # not a column
    assert page.locator("#table td.protocol").count() == 0
    assert page.locator("#stage .panel").count() == 1
    shown = page.locator("#stage .bar .name").all_inner_texts()
    assert len(shown) == 12
    assert shown[0] == "class 0"
    assert all(40 <= int(name.split()[1]) < 60 for name in shown[1:])
    page.close()


def test_findings_of_runs_as_they_are_gathered(show: Callable[..., Page]) -> None:
    """From measurement to page: two runs that share images, one that has been measured on numbers alone."""
    runs = [
        findings("max", pool="max", arrays=arrays(0)),
        findings("tri5", arrays=arrays(1)),
        findings("bare", filter="rect3"),
    ]
    del runs[2].metrics["test/consistency"]
    page = show(made(runs, build(runs), []))
    assert column(page, "ours")[0] == "90.0"
    assert set(names(page, "#fig2")) == {"max", "tri5"}
    assert len([trace for trace in data(page, "#fig4") if trace["type"] == "heatmap"]) == 4
    assert page.locator("#stage .panel").count() == 2
    page.close()
    bare = show(made(runs[2:], build(runs[2:]), []))
    assert "eval.py" in bare.inner_text("#explorer")
    bare.close()


def test_one_of_several_data_sets_is_shown_at_a_time(show: Callable[..., Page]) -> None:
    """Each has its own table, pictures and explorer, and published values only where it is CIFAR-10."""
    digits = {"labels": np.zeros(6, int), "pixels": np.zeros((2, 3, H, W), np.uint8)}
    runs = [
        findings("max", pool="max", arrays=arrays(0)),
        findings("tri5", arrays=arrays(1)),
        findings("digits", data="digits", arrays=arrays(2) | digits),
    ]
    page = show(made(runs, build(runs), [("late", "unfinished")]))
    assert page.locator("#set option").all_inner_texts() == ["cifar10", "digits"]
    for _ in range(2):  # there and back
        assert names(page, "#fig2") == ["max", "tri5"]
        assert column(page, "paper") == ["91.6", "93.3"]
        page.select_option("#set", "digits")
        page.wait_for_selector("html[data-ready]", state="attached")
        assert names(page, "#fig2") == names(page, "#fig6") == ["digits"]
        assert page.locator("#stage .panel").count() == 1
        assert page.locator("#table th").all_inner_texts().count("ours") == 4
        assert page.locator("#table .paper, #table .diff, #table tfoot tr").count() == 0
        assert [trace["name"] for trace in data(page, "#fig5") if trace["x"]] == ["ours"]
        assert "published" not in page.inner_text("#fig5")
        assert "late" in page.inner_text("#notes")
        drag(page, 3, -2)
        assert shift_shown(page) == (-2, 3)
        assert not pixels(page, "#image").any()
        page.set_viewport_size({"width": 420, "height": 800})
        page.set_viewport_size({"width": 1280, "height": 1000})
        page.select_option("#set", "cifar10")
        page.wait_for_selector("html[data-ready]", state="attached")
    page.close()


def test_classifiers_from_elsewhere_alone(show: Callable[..., Page]) -> None:
    """There is nothing of Zhang's then."""
    page = show(made([model("resnet", under()), model("vgg", under(seed=1))], build([]), []))
    assert page.title() == "lit_shift: 2 classifiers"
    assert page.locator("h2:visible").all_inner_texts() == [
        "Measured alone",
        "Small transformations (Azulay & Weiss)",
    ]
    assert page.locator("nav a:visible").count() == 2
    assert names(page, "#heat") == ["resnet", "vgg"]
    assert not page.locator("#sizes").is_visible()
    page.close()


def test_page_is_package_data() -> None:
    folder = Path(render.__code__.co_filename).parent
    names = {file.name for file in folder.iterdir() if file.suffix in (".html", ".css", ".js")}
    assert names == {"page.html", "page.css", "page.js", "paths.js"}
