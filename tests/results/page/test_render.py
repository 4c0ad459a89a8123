"""The page, opened in Debian's chromium as a reader would: from a file, with a mouse and a keyboard."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lit_shift.figures.style import COLOURS, FAMILY_COLOURS
from lit_shift.measures import measure_of
from lit_shift.results.comparison import PUBLISHED
from lit_shift.results.page.render import render
from lit_shift.results.page.runs import content
from lit_shift.results.rows.against import differences
from lit_shift.runs.findings import Findings
from tests.conftest import HANGS
from tests.findings import arrays, build, by_image, config, findings
from tests.results.page.test_paths import under

pytestmark = pytest.mark.xdist_group("browser")  # one browser for all

H = W = 32
MINUS, MISSING = "\N{MINUS SIGN}", "\N{EN DASH}"
EVIL = "</script><script>document.title = 'broken'</script><b>&amp;"
ESCAPED = EVIL.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
CLASSES = ["cat", "dog", f"frog {EVIL}"]
PLAIN, AUG, TRI, SHORT, BARE = RUNS = ["max-delta", "max-delta-aug", f"tri5 {EVIL}", "tri5-short", "rect6-aug"]
FILTERS = ["tri5", "delta", "delta", "rect6", "tri5"]
NETS = [PLAIN, AUG, SHORT, f"net {EVIL}", "few"]
COURSE = [{"epoch": 1, "tv/conv1_1": 2, "tv/conv1_2": 1.9}, {"epoch": 2, "tv/conv1_1": 1.5, "tv/conv1_2": 1.4}]


def with_paths(run: Findings, *measured: Any) -> Findings:
    """A run with what was found under some protocols."""
    metrics = {key: value for found, _ in measured for key, value in found.items()}
    along = {key: value for _, found in measured for key, value in found.items()}
    return replace(run, metrics={**run.metrics, **metrics}, arrays={**run.arrays, **along})


def elsewhere(name: str, *measured: Any) -> Findings:
    """A classifier measured on the images of the runs."""
    made = config() | {"ckpt": None, "classes": CLASSES}
    return with_paths(Findings(name, made, {}, [], {}), *measured)


def run(name: str, accuracy: float, consistency: float, more: Any = None, **of_config: Any) -> Findings:
    made = findings(name, accuracy, consistency, more, COURSE, **of_config)
    return replace(made, config={**made.config, "classes": CLASSES})


def make_models() -> list[Findings]:
    """Five runs of two recipes, and two classifiers from elsewhere.

    A run has no arrays and one hardly any measure; one lacks an image. Two runs were measured on one path, a third on a
    longer one. One classifier was measured with other options and another tolerance, the other under one protocol
    alone, where it has no intervals.
    """
    circular = "path=vertical, seed=0"
    plain = run(PLAIN, 0.918, 0.871, arrays(0), pool="max")
    aug = run(AUG, 0.930, 0.966, arrays(1, shown=(1,)), pool="max", aug=True)
    tri = run(TRI, 0.923, 0.982)
    tri.metrics.update({"test/complete": 0, "test/images": 50})  # type: ignore[attr-defined]
    short = run(SHORT, 0.985, 0.97, arrays(3), trainer__max_epochs=20)
    bare = run(BARE, 0.914, float("nan"), filter="rect6", aug=True)
    for key in ("tv/conv1_1", "tv/conv1_2"):
        del bare.metrics[key]  # type: ignore[attr-defined]
    bare.history.clear()

    first = under(seed=1, shown=(2, 5)), under("circular", 7, options=circular, seed=2)
    second = under(seed=1, shown=(2, 5)), under("circular", 7, options=circular, seed=3)
    for key in ("embed/probability", "embed/sums", "embed/curve"):
        second[0][1][key] = second[0][1][key][:, ::-1]
    first[0][1]["embed/probability"][3, 1] = np.nan
    placed = [under("placement", 5, ordered=False, shown=(), seed=seed) for seed in (8, 9)]
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
        with_paths(plain, *first, placed[0]),
        with_paths(aug, *second, placed[1]),
        tri,
        with_paths(short, *longer),
        bare,
        elsewhere(NETS[3], *other),
        elsewhere("few", few),
    ]


def made(
    models: Sequence[Findings], unfinished: Sequence[tuple[str, str]] = (), baseline: str | None = None
) -> dict[str, Any]:
    """What the page shows of them."""
    rows = build([model for model in models if model.trained])
    compared = differences(rows, {model.name: model for model in models}, baseline) if baseline else None
    return content(models, rows, unfinished, compared)


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
    """Opens a page on some models. Whatever is done with it, it asks for nothing and has no errors."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(1000 * HANGS)
    wrong: list[str] = []
    context.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    context.on("console", lambda message: wrong.append(message.text))

    def show(*models: Findings, unfinished: Sequence[tuple[str, str]] = (), baseline: str | None = None) -> Page:
        file = tmp_path_factory.mktemp("page") / "page.html"
        file.write_text(render(made(models, unfinished, baseline)), encoding="utf-8")
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"{error.message} {error.stack}"))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield show
    context.close()
    assert not wrong


@pytest.fixture(scope="module")
def models() -> list[Findings]:
    return make_models()


@pytest.fixture(scope="module")
def measured(models: list[Findings]) -> list[Findings]:
    """Those that were measured along paths."""
    return [next(model for model in models if model.name == name) for name in NETS]


@pytest.fixture(scope="module")
def opened(show: Callable[..., Page], models: list[Findings]) -> Page:
    return show(*models, unfinished=[("max-delta-s1", "unfinished: epoch 17 of 200")])


@pytest.fixture
def page(opened: Page) -> Page:
    """The page as it was opened, but for the shift and the order of the rows; all but the bare run are ticked."""
    opened.evaluate("""() => {
        for (const [id, kind] of [["filter", "input"], ["aug", "change"]]) {
            document.getElementById(id).value = "";
            document.getElementById(id).dispatchEvent(new Event(kind));
        }
        for (const box of document.querySelectorAll("[data-names]")) {
            if (box.checked === (box.ariaLabel.startsWith("Draw blur rect6"))) box.click();
        }
        for (const select of document.querySelectorAll("select[data-choice]")) {
            if (select.selectedIndex === 0) continue;
            select.selectedIndex = 0;
            select.dispatchEvent(new Event("change", { bubbles: true }));
        }
        document.querySelector("#explorer .strip input").click();
        document.getElementById("home").click();
    }""")
    return opened


def column(page: Page, kind: str, nth: int = 0) -> list[str]:
    """A column of the rows that are shown; the kinds of numbers recur, once for each measure."""
    cells = f"row => row.querySelectorAll('td.{kind}')[{nth}].innerText"
    return page.evaluate(f"[...document.querySelectorAll('#table tbody tr:not([hidden])')].map({cells})")


def data(page: Page, figure: str) -> list[dict[str, Any]]:
    """The traces that a figure shows, or all of its plots that are on the page."""
    return page.evaluate(
        """figure => {
            const list = (each) => each?.[Symbol.iterator] && typeof each !== "string" ? Array.from(each, list) : each;
            const hosts = [...document.querySelectorAll(`${figure} .plot`)].filter((host) => host.offsetParent);
            return hosts.flatMap((host) => (host._fullData ?? []).map((full, i) => ({ ...host.data[i],
                x: list(full.x), y: list(full.y), z: list(full.z), visible: full.visible,
                customdata: list(full.customdata), marker: host.data[i].marker,
                error_y: full.error_y?.array && { array: list(full.error_y.array),
                    arrayminus: list(full.error_y.arrayminus) } }))).filter((trace) => trace.visible === true);
        }""",
        figure,
    )


def layout(page: Page, figure: str) -> dict[str, Any]:
    """The layout of its first plot that is on the page."""
    host = f"[...document.querySelectorAll('{figure} .plot')].find(host => host.offsetParent)"
    return page.evaluate(f"{host}.layout")


def names(page: Page, figure: str) -> list[str]:
    """Of the models that it shows, once each."""
    return list(dict.fromkeys(name for trace in data(page, figure) for name in trace.get("meta", ())))


def choose(page: Page, what: str, label: str) -> None:
    page.locator(f"select[data-choice={what}]:visible").select_option(label=label)


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
    match = re.fullmatch(r"h = ([+-]?\d+) px, w = ([+-]?\d+) px", page.inner_text("#shift").replace(MINUS, "-"))
    assert match
    return int(match[1]), int(match[2])


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


def image(models: Sequence[Findings], kept: int = 0) -> np.ndarray:
    """One that all runs keep, or that but one do, (H, W, 3)."""
    return models[0].arrays["pixels"][kept].transpose(1, 2, 0)


def answers(model: Findings, kept: int = 0) -> np.ndarray:
    return model.arrays["probabilities"][kept]


def test_it_is_one_file_without_a_network(models: list[Findings]) -> None:
    text = render(made(models))
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|img|link)[^>]+(src|href)=[\"'](?!data:)", text.split("<script>")[0])
    images = json.loads(text.split('id="images">')[1].split("</script>")[0])
    assert images["classes"] == CLASSES


def test_no_button_of_plotly_uploads(page: Page) -> None:
    buttons = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map(each => each.dataset.title)")
    assert set(buttons) == {"Download plot as a PNG", "Zoom", "Pan", "Reset axes"}


def test_the_explorer_comes_first(page: Page) -> None:
    assert page.locator("main h2").all_inner_texts()[:2] == ["Shift explorer", "Table 1"]


def test_table(page: Page) -> None:
    assert column(page, "filter") == FILTERS
    assert column(page, "ours") == ["98.5", "91.8", "93.0", "91.4", "92.3"]
    assert column(page, "paper") == ["93.3", "91.6", "93.4", "91.4", "93.3"]
    assert column(page, "diff") == ["+5.2", "+0.2", f"{MINUS}0.4", "0.0", f"{MINUS}1.0"]
    assert column(page, "ours", 2) == ["97.0", "87.1", "96.6", MISSING, "98.2"]
    assert not page.locator("#set").is_visible()
    foot = [line.split("\t")[1] for line in page.locator("#table tfoot tr").all_inner_texts()]
    assert foot == [MISSING, "5.2", "1.00", "0.4"]
    assert "Not in the table: max-delta-s1 (unfinished: epoch 17 of 200)" in page.inner_text(".notes")


def test_best_and_worst_are_marked(show: Callable[..., Page]) -> None:
    rates = {"delta": 0.90, "rect2": 0.91, "rect3": 0.92, "tri3": 0.93, "tri5": 0.94, "tri7": 0.95}
    page = show(*(run(filter, rate, rate, filter=filter) for filter, rate in rates.items()))
    for mark, shown in (("best", ["93.0", "94.0", "95.0"]), ("worst", ["90.0", "91.0", "92.0"])):
        assert page.locator(f"#table td.{mark}:nth-child(6)").all_inner_texts() == shown
    page.close()


def test_sorting(page: Page) -> None:
    """Best first, worst first, as it was; what is missing is last; the keyboard does it, too."""
    head = page.locator("#table th.ours").nth(2)
    head.locator("button").click()
    assert column(page, "ours", 2) == ["98.2", "97.0", "96.6", "87.1", MISSING]
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").press("Enter")
    assert column(page, "ours", 2) == ["87.1", "96.6", "97.0", "98.2", MISSING]
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator("#table th.filter button").click()
    assert column(page, "filter") == sorted(FILTERS)
    assert head.get_attribute("aria-sort") == "none"
    for _ in range(2):
        page.locator("#table th.filter button").click()
    assert column(page, "filter") == FILTERS
    assert page.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 0


def test_filtering(page: Page) -> None:
    """The plane has the rows that the table shows."""
    page.fill("#filter", "TRI5 broken")
    assert column(page, "filter") == ["tri5"]
    assert page.inner_text("#count") == "1 of 5 rows"
    assert names(page, "#plane") == [TRI]
    page.fill("#filter", "")
    page.select_option("#aug", "true")
    assert column(page, "filter") == ["delta", "rect6"]
    assert names(page, "#plane") == [AUG]  # the other has no consistency


def test_ticked_rows_are_drawn(page: Page) -> None:
    for figure, shown in (("#variation", [PLAIN, AUG, SHORT]), ("#tv", [PLAIN, AUG, TRI, SHORT])):
        assert sorted(names(page, figure)) == sorted(shown)
    assert set(names(page, "#stability")) == {PLAIN, AUG, SHORT}
    assert f"Not measured: {TRI}." in page.inner_text("#stability")
    colours = {trace["meta"][0]: trace["line"]["color"] for trace in data(page, "#variation")}
    assert len(set(colours.values())) == 3
    assert set(colours.values()) <= set(COLOURS)

    page.uncheck("#table input[aria-label^='Draw max delta (']")
    assert names(page, "#plane") == names(page, "#plane")
    assert {trace["meta"][0]: trace["line"]["color"] for trace in data(page, "#variation")} == {
        name: colour for name, colour in colours.items() if name != PLAIN
    }
    assert page.locator(".panel:visible").count() == 2  # of the explorer
    choose(page, "layer", "conv1_2")
    assert [trace["y"] for trace in data(page, "#tv .pair > :last-child")] == [[1.9, 1.4]] * 3

    page.click("#clear")
    page.check("#table input[aria-label^='Draw blur rect6']")  # a run that has none of the measures
    for figure in ("#equivariance", "#variation", "#tv", "#stability", "#explorer"):
        assert data(page, figure) == []
        assert "Nothing that is ticked has this measure" in page.inner_text(figure)


def test_accuracy_against_consistency(page: Page) -> None:
    """Colours by family, markers by length, as in the figures; what is not ticked is pale; each panel has its runs."""
    traces = {trace["meta"][0]: trace for trace in data(page, "#plane") if "meta" in trace}
    assert set(traces) == {PLAIN, AUG, TRI, SHORT}
    assert {name: (trace["x"][0], trace["y"][0]) for name, trace in traces.items()} == {
        PLAIN: pytest.approx((91.8, 87.1)),
        AUG: pytest.approx((93.0, 96.6)),
        TRI: pytest.approx((92.3, 98.2)),
        SHORT: pytest.approx((98.5, 97.0)),
    }
    assert {name: trace["marker"]["color"] for name, trace in traces.items()} == {
        PLAIN: FAMILY_COLOURS["delta"],
        AUG: FAMILY_COLOURS["delta"],
        TRI: FAMILY_COLOURS["tri"],
        SHORT: FAMILY_COLOURS["tri"],
    }
    assert [traces[name]["marker"]["symbol"] for name in (PLAIN, TRI)] == ["circle", "diamond"]
    assert page.locator("#plane h3").all_inner_texts() == ["without shift augmentation", "with shift augmentation"]
    for aug, panel in ((False, "first"), (True, "last")):
        shown = data(page, f"#plane .pair > :{panel}-child")
        assert [AUG in trace["meta"] for trace in shown if "meta" in trace] == ([True] if aug else [False] * 3)
        published = [trace for trace in shown if trace.get("name") == "published" and trace["x"] != [None]]
        places = [(each["x"][0], each["y"][0]) for each in published]
        rates = [rates for (_, of), rates in PUBLISHED.items() if of == aug]
        np.testing.assert_allclose(places, [(100 * each["accuracy"], 100 * each["consistency"]) for each in rates])
    page.uncheck("#table input[aria-label^='Draw max delta (']")
    opacity = {trace["meta"][0]: trace["opacity"] for trace in data(page, "#plane") if "meta" in trace}
    assert opacity == {PLAIN: 0.3, AUG: 1, TRI: 1, SHORT: 1}


def test_heat_maps(page: Page, models: list[Findings]) -> None:
    """The unshifted image is at the centre, and red is half the distance between two images."""
    maps = data(page, "#equivariance")
    assert len(maps) == 3 * 2
    for trace in maps:
        (run,) = (model for model in models if [model.name] == trace["meta"])
        expected = np.fft.fftshift(run.arrays[f"equivariance/{trace['name']}"])
        np.testing.assert_allclose(trace["z"], expected, atol=1e-6)
        assert (trace["x0"], trace["y0"], trace["zmin"], trace["zmax"]) == (-16, -16, 0, 0.25)
    titles = page.locator("#equivariance .annotation-text").all_text_contents()
    assert titles[:2] == ["pixels32x32", "pool1_ds16x16"]


def test_histogram(page: Page, models: list[Findings]) -> None:
    (trace,) = (trace for trace in data(page, "#variation") if trace["meta"] == [PLAIN])
    variations = models[0].arrays["variation"]
    assert sum(trace["y"][:-1]) == len(variations)
    np.testing.assert_allclose(trace["x"], np.logspace(-5, 0, 51))
    made = layout(page, "#variation")
    assert (made["xaxis"]["type"], made["xaxis"]["range"]) == ("log", [-5, 0])
    assert "below" in made["xaxis"]["title"]["text"]
    assert trace["name"] == f"{PLAIN} (mean {measure_of('variation').written(float(np.mean(variations)))})"


def test_stability_follows_the_image(page: Page, models: list[Findings]) -> None:
    for kept, place in enumerate((1, 4)):
        page.locator("#explorer .strip label").nth(kept).click()
        curve = next(trace["y"] for trace in data(page, "#stability") if trace["meta"] == [PLAIN])
        np.testing.assert_allclose(curve, 100 * models[0].arrays["diagonal"][place], rtol=1e-5)
        np.testing.assert_array_equal(pixels(page, "#image"), image(models, kept))
    choose(page, "image", f"test image 1: {CLASSES[1]}")
    np.testing.assert_array_equal(pixels(page, "#image"), image(models))
    page.locator("#explorer .strip :checked").press("ArrowRight")
    np.testing.assert_array_equal(pixels(page, "#image"), image(models, 1))


@pytest.mark.parametrize(("right", "down"), [(5, 0), (0.4, -3.3), (-9, 14), (-12, -15)])
def test_dragging_rolls_the_image(page: Page, models: list[Findings], right: float, down: float) -> None:
    drag(page, right, down)
    offset = round(down), round(right)
    assert shift_shown(page) == offset
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(image(models), offset, (0, 1)))


def test_dragging_on_wraps_around(page: Page, models: list[Findings]) -> None:
    for _ in range(3):
        drag(page, 12, -12)
    assert shift_shown(page) == (-4, 4)
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(image(models), (-36, 36), (0, 1)))
    page.mouse.move(10, 10)  # the button is up: nothing is dragged
    assert shift_shown(page) == (-4, 4)


def test_arrow_keys(page: Page, models: list[Findings]) -> None:
    page.focus("#image")
    for key in ["ArrowUp", "ArrowLeft", "ArrowLeft"]:
        page.keyboard.press(key)
    assert shift_shown(page) == (-1, -2)
    for key in ["ArrowDown"] * 18 + ["ArrowRight"] * 2:
        page.keyboard.press(key)
    assert shift_shown(page) == (-15, 0)
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(image(models), (17, 0), (0, 1)))


def panel(page: Page, name: str) -> Any:
    """The explorer's, of a run."""
    return page.locator(".panel").filter(has=page.locator("h4", has_text=re.compile(f"^{re.escape(name)}\\s*$")))


def test_bars_are_the_probabilities_at_the_shift(page: Page, models: list[Findings]) -> None:
    drag(page, -7, 4)
    assert shift_shown(page) == (4, -7)
    for model in (models[0], models[1], models[3]):
        root, expected = panel(page, model.name), answers(model)[4, -7]
        written = [float(text.removesuffix(" %")) for text in root.locator(".value").all_inner_texts()]
        np.testing.assert_allclose(written, 100 * expected, atol=0.25)
        widths = root.locator(".track i").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
        np.testing.assert_allclose(widths, 100 * expected, atol=0.2)
        guess = expected.argmax()
        sign = "✓" if guess == 1 else "✗"
        assert root.locator(".verdict").inner_text().split() == ["predicted:", *CLASSES[guess].split(), sign]
        assert root.locator(".bar.correct .name").inner_text() == "dog"


def test_map_of_predictions(page: Page, models: list[Findings]) -> None:
    """It is fftshifted, its legend counts the shifts, and a click on it goes to the shift that it shows there."""
    root = panel(page, AUG)
    shown = pixels(page, f".panel:has-text('{AUG}') .map")
    guesses = np.fft.fftshift(answers(models[1]).argmax(-1))
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
    np.testing.assert_array_equal(pixels(page, "#image"), np.roll(image(models), (-10, 4), (0, 1)))
    here = root.locator(".here").bounding_box()
    assert here
    assert here["x"] - box["x"] == pytest.approx(box["width"] * 20 / W, abs=0.5)
    assert here["y"] - box["y"] == pytest.approx(box["height"] * 6 / H, abs=0.5)


def test_names_are_no_markup(page: Page) -> None:
    assert page.title() == "lit_shift: 5 runs, 2 classifiers"
    assert panel(page, PLAIN).locator(".bar .name").nth(2).inner_text() == CLASSES[2]
    assert EVIL in page.inner_text(".notes")
    assert EVIL in (page.locator("#table abbr").last.get_attribute("title") or "")
    assert f"tri5 {ESCAPED}" in [trace["name"] for trace in data(page, "#tv")]
    assert page.locator("main b").count() == 0


def test_an_image_that_a_run_lacks(page: Page) -> None:
    page.locator("#explorer .strip label").last.click()
    lacks = panel(page, AUG)
    assert lacks.locator(".lack").is_visible()
    assert not lacks.locator(".map").is_visible()
    drag(page, 3, 3)
    assert shift_shown(page) == (3, 3)


def found(measured: list[Findings], number: int, key: str) -> np.ndarray:
    return measured[number].arrays[key].astype(float)


def test_bars_of_each_measure(page: Page, measured: list[Findings]) -> None:
    """By protocol, told apart by options; with whiskers where there is an interval, and words where no value."""
    for key, count in (("jaggedness_rate_top1", 3), ("mad", 3), ("accuracy", 4)):
        measure = measure_of(key)
        choose(page, "measure", measure.axis)
        traces = data(page, "#jagged")
        assert len(traces) == 5
        for trace in traces:
            (model,) = (model for model in measured if [model.name] == trace["meta"])
            assert {x for x in trace["x"] if x != "placement"} == {
                "embed",
                "circular (path=vertical)",
                "circular (path=diagonal)",
            }
            assert len(trace["x"]) == count
            for i, title in enumerate(trace["x"]):
                name = title.split()[0]
                options = str(model.arrays.get(f"{name}/options", ""))
                mean = model.metrics.get(f"{name}/{key}")
                if mean is None or ("diagonal" in title) != ("diagonal" in options):
                    assert (trace["y"][i], trace["text"][i]) == (0, "not measured")
                    continue
                assert trace["y"][i] == pytest.approx(measure.factor * mean)
                assert trace["text"][i] == f"{measure.factor * mean:.3g}"
                ends = [model.metrics.get(f"{name}/{key}_ci95_{end}", mean) for end in ("low", "high")]
                lower, upper = (trace["error_y"][side][i] / measure.factor for side in ("arrayminus", "array"))
                assert [mean - lower, mean + upper] == pytest.approx(ends)
                assert "6 images" in trace["customdata"][i]


def test_classifiers_from_elsewhere_are_drawn_among_small_transformations_alone(page: Page) -> None:
    for figure in ("#variation", "#tv", "#stability", "#equivariance"):
        assert not {NETS[3], "few"} & set(names(page, figure))
        assert "few" not in page.inner_text(figure)
    assert "few" not in page.inner_text("#explorer")
    assert page.locator("#elsewhere tbody tr").all_inner_texts()[1].split("\t")[1:] == [
        "few",
        "cifar10",
        "6",
        "circular (path=vertical)",
    ]
    colours = {trace["meta"][0]: trace["marker"]["color"] for trace in data(page, "#jagged")}
    assert len(set(colours.values())) == 5
    page.locator("#elsewhere input").first.focus()
    page.keyboard.press("Space")
    assert {trace["meta"][0]: trace["marker"]["color"] for trace in data(page, "#jagged")} == {
        name: colour for name, colour in colours.items() if not name.startswith("net")
    }
    page.click("#clear")
    for part in ("#jagged", "#sizes", ".heat", ".depth", ".film"):
        assert data(page, part) == []
        shown = page.locator(f"{part}:visible").inner_text()
        assert "Nothing that is ticked" in shown


def test_probability_of_the_correct_class(page: Page, measured: list[Findings]) -> None:
    panels = data(page, ".heat")
    assert [panel["name"] for panel in panels] == [PLAIN, AUG, SHORT, f"net {ESCAPED}"]
    for panel in panels:
        (model,) = (model for model in measured if [model.name] == panel["meta"])
        given = model.arrays["embed/probability"].astype(float)
        order = np.argsort(-np.nansum(given, axis=1))
        np.testing.assert_allclose(np.array(panel["z"], float), 100 * given[order], atol=0.51)
        assert panel["x"] == model.arrays["embed/positions"].tolist()
        assert panel["y"] == [str(place) for place in model.arrays["embed/places"][order]]
        assert (panel["zmin"], panel["zmax"]) == (0, 100)
    assert sum(value != value for row in panels[0]["z"] for value in row) == 1
    note = page.locator(".note:visible").inner_text()
    assert note == "position under embed; fill=black; paths of 9, 13 positions."
    assert f"Not measured: {TRI}, few." in page.locator(".heat:visible").inner_text()
    choose(page, "protocol", "circular (path=vertical)")
    assert "measured on a part of the images: few" in page.locator(".note:visible").inner_text()
    assert [panel["name"] for panel in data(page, ".heat")] == [PLAIN, AUG, "few"]


def test_non_shiftability(page: Page, measured: list[Findings]) -> None:
    """By layer where all have the same, else by their share of the depth; pools are squares.

    Steps are counted where all paths are as long, else it is their share.
    """
    means = [trace for trace in data(page, ".depth") if trace["mode"] == "lines+markers"]
    assert sorted(trace["x"] for trace in means) == [[0, 0], *[[0.5, 0.5, 1]] * 3]
    assert layout(page, ".depth")["yaxis"]["title"]["text"].startswith("share of the steps, in percent")
    choose(page, "protocol", "circular (path=vertical)")
    assert layout(page, ".depth")["yaxis"]["title"]["text"].startswith("steps at which")
    traces = data(page, ".depth")
    assert len(traces) == 3 * 3
    for thin, band, trace in zip(traces[::3], traces[1::3], traces[2::3], strict=True):
        (model,) = (model for model in measured if [model.name] == trace["meta"])
        single = [[*map(float, counts), float("nan")] for counts in model.arrays["circular/nonshiftability_by_image"]]
        assert thin["x"] == ["conv1", "pool1", "conv2", None] * len(single)
        np.testing.assert_allclose(thin["y"], sum(single, []), atol=1e-5)
        mean, low, high = model.arrays["circular/nonshiftability"].T
        assert trace["x"] == ["conv1", "pool1", "conv2"]
        np.testing.assert_allclose(trace["y"], mean)
        assert trace["marker"]["symbol"] == ["circle", "square", "circle"]
        np.testing.assert_allclose(band["y"], [*high, *low[::-1]])


def test_what_changes_or_departs_is_said_by_the_tolerance(page: Page, measured: list[Findings]) -> None:
    for protocol, number, tolerance, text in [
        ("circular (path=vertical)", 0, 0.2, "20%"),
        ("circular (path=diagonal)", 3, 0.1, "10%"),
    ]:
        choose(page, "protocol", protocol)
        assert layout(page, ".depth")["yaxis"]["title"]["text"].endswith(f"a sum changes by over {text}")
        (band,) = layout(page, ".sums")["shapes"]
        assert (band["y0"], band["y1"]) == (1 - tolerance, 1 + tolerance)
        sums = found(measured, number, "circular/maps/conv2")[0].sum((1, 2))
        written = page.locator(".features:visible tbody").nth(1).locator("tr").nth(2).locator("td > span")
        red = written.evaluate_all("all => all.map(each => each.classList.contains('off'))")
        assert red == (abs(sums / sums.mean() - 1) > tolerance).tolist()


def test_accuracy_by_size(page: Page, measured: list[Findings]) -> None:
    traces = [trace for trace in data(page, "#sizes") if trace.get("fill") is None]
    assert [trace["name"] for trace in traces] == [
        f"{name}{more}" for more in ("", ", top 5") for name in (PLAIN, AUG, SHORT)
    ]
    for trace, (number, top) in zip(traces, [(n, top) for top in (1, 5) for n in (0, 1, 2)], strict=True):
        expected = 100 * found(measured, number, f"placement/accuracy_top{top}")[:, 0]
        np.testing.assert_allclose(trace["y"], expected, rtol=1e-6)
        assert trace["x"] == measured[number].arrays["placement/positions"].tolist()


def test_film(page: Page, measured: list[Findings]) -> None:
    """Curves belong to the frames above; the image that answers change most on comes first."""
    options = page.locator(".film:visible select option").all_inner_texts()
    assert sorted(options) == [f"test image 2 of {PLAIN}, {AUG}", f"test image 2 of {SHORT}", "test image 5"]
    pair = f"test image 2 of {PLAIN}, {AUG}"
    curves = [found(measured, number, "embed/curve") for number in (0, 1)]
    first, second = (sum(np.abs(np.diff(curve[kept])).sum() for curve in curves) for kept in (0, 1))
    assert (options.index(pair) < options.index("test image 5")) == (first > second)
    for kept, option in enumerate((pair, "test image 5")):
        choose(page, "film1", option)
        shown = {trace["meta"][0]: trace["y"] for trace in data(page, ".film [data-when] > .part:first-child")}
        for number in (0, 1):
            expected = 100 * found(measured, number, "embed/curve")[kept]
            np.testing.assert_allclose(shown[NETS[number]], expected, rtol=1e-5)
        images = layout(page, ".film")["images"]
        positions = measured[0].arrays["embed/frame_positions"].tolist()
        assert [each["x"] for each in images] == positions
        heads = page.locator(".features:visible tbody").first.locator("td").all_inner_texts()
        assert [head.replace(MINUS, "-") for head in heads] == [str(at) for at in positions]
    choose(page, "film1", f"test image 2 of {SHORT}")
    assert names(page, ".film") == [SHORT]
    assert "Not measured:" in page.locator(".film:visible").inner_text()


def test_sums_of_the_last_layers_maps(page: Page, measured: list[Findings]) -> None:
    choose(page, "film1", f"test image 2 of {PLAIN}, {AUG}")
    curves = data(page, ".sums")
    assert len(curves) == 2 * 16
    for number in (0, 1):
        sums = found(measured, number, "embed/sums")[0]
        strongest = np.argsort(-sums.mean(0))[:16]
        expected = (sums / sums.mean(0)).T[strongest]
        np.testing.assert_allclose([curve["y"] for curve in curves[16 * number :][:16]], expected, rtol=1e-5)


def test_narrow_and_dark(page: Page) -> None:
    size = page.viewport_size
    assert size
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 420, "height": 800})
    pixels(page, "#image")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    for host in page.locator(".plot:visible").all():  # heat maps scroll within the page
        width = host.evaluate("each => each.querySelector('svg.main-svg').clientWidth")
        assert width <= (760 if host.evaluate("each => Boolean(each.closest('#equivariance'))") else 420)
    background = "document.querySelector('#variation .plot')._fullLayout.paper_bgcolor"
    assert page.evaluate(background) == "#15181c"
    page.set_viewport_size(size)
    page.emulate_media(color_scheme="light")
    pixels(page, "#image")
    assert page.evaluate(background) == "#ffffff"


def test_on_a_phone_the_image_is_on_the_first_screen_and_nothing_is_cut(show: Callable[..., Page]) -> None:
    """However many images there are to choose from; "100.0 %" stays on a line."""
    many = arrays(0, images=40, shown=tuple(range(40)))
    many["probabilities"][:] = [0, 1, 0]
    page = show(run("max", 0.9, 0.9, many, pool="max"))
    page.set_viewport_size({"width": 420, "height": 800})
    box = page.locator("#image").bounding_box()
    assert box
    assert box["y"] + box["height"] < 800
    assert page.locator(".strip label").count() == 40
    value = page.locator(".value", has_text="100.0 %")
    assert value.evaluate("each => each.getClientRects()[0].height < 1.5 * 0.8 * 16 * 1.45")
    page.set_viewport_size({"width": 500, "height": 800})
    for words in page.locator("#table1 h2, #table1 > p").all():
        assert words.evaluate("each => each.scrollWidth <= each.clientWidth")
        assert words.evaluate("each => each.getBoundingClientRect().right") <= 500
    page.close()


def test_no_images(show: Callable[..., Page]) -> None:
    """Where no run has saved its answers at all shifts, one sentence says how to get them."""
    page = show(run("max", 0.9, 0.9, pool="max"))
    for section in ("#explorer", "#stability"):
        assert "uv run eval.py ckpt=RUN" in page.inner_text(section)
    assert "uv run eval.py ckpt=RUN 'protocol=[embed,scale,circular]'" in page.inner_text("#paths")
    assert not page.locator("#image").is_visible()
    assert names(page, "#tv") == ["max"]
    page.close()


def test_seeds_of_a_row(show: Callable[..., Page]) -> None:
    """A row of several seeds draws one of them, the one with most to show, unless all are asked for."""
    seeds = [run(f"seed {seed}", 0.9, 0.9, arrays(seed) if seed else None, seed=seed) for seed in range(3)]
    page = show(*seeds)
    assert names(page, "#tv") == ["seed 1"]
    assert page.locator(".panel:visible h4").all_inner_texts() == ["seed 1"]
    assert page.locator("#table .swatch:visible").count() == 1
    assert column(page, "ours") == ["90.0 ± 0.0"]
    page.select_option("#seeds", "all")
    assert sorted(names(page, "#tv")) == ["seed 0", "seed 1", "seed 2"]
    assert page.locator(".panel:visible h4").all_inner_texts() == ["seed 1", "seed 2"]
    assert page.locator("#table .swatch:visible").count() == 3
    page.close()


def test_differences_from_a_row(show: Callable[..., Page]) -> None:
    """Below Table 1, with the intervals over images and over seeds; of each data set its own rows."""
    values = {name: arrays() | by_image(images=6) for name in ("max", "tri5", "rect2", "short")}
    values["max"]["consistency"] = np.linspace(0.4, 0.45, 6)
    values["tri5"]["consistency"] = np.linspace(0.9, 0.95, 6)
    runs = [
        run(f"{name}{seed}", 0.9, 0.8, values[name], seed=seed, **more)
        for name, more in (("max", {"pool": "max"}), ("tri5", {}), ("rect2", {"filter": "rect2"}))
        for seed in range(2)
    ]
    others = [run("short", 0.9, 0.8, values["short"], filter="rect3", trainer__max_epochs=20)]
    digits = {"labels": np.zeros(6, int), "pixels": np.zeros((2, 3, H, W), np.uint8)}
    others.append(run("digits", 0.9, 0.8, arrays(2) | digits, data="digits"))
    page = show(*runs, *others, baseline="blur-tri5")
    assert page.locator("main h2").all_inner_texts()[1:3] == ["Table 1", "Differences from blur-tri5"]
    lines = [line.split("\t") for line in page.locator("#against tbody tr").all_inner_texts()]
    assert [line[:2] for line in lines] == [
        *(["blur-tri5", ""], ["max", "images"], ["", "2 seeds"]),
        *(["blur-rect2", "images"], ["", "2 seeds"]),
    ]
    assert lines[1][-1].startswith(f"{MINUS}50.00 ({MINUS}")
    assert lines[2][-1] == f"({MINUS}50.00 .. {MINUS}50.00)"
    assert lines[1][2].startswith("0.00 (")
    assert page.locator("#against .worst").all_inner_texts() == [lines[1][-1]]
    assert page.locator("#against .best").count() == 0
    said = page.inner_text("#against")
    assert "No blur-tri5 to compare with: blur-rect3 (cifar10, vgg13 of width 64, 20 epochs" in said
    page.select_option("#set", "digits")
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.locator("#against").count() == 0  # there is nothing to compare
    page.close()


def test_what_rows_cost(show: Callable[..., Page], tmp_path: Path) -> None:
    """A table, and consistency against each cost that is known; the plot has the rows that Table 1 shows."""
    runs = [
        run(name, 0.9, consistency, pool=name if name == "max" else "blur", filter=name, aug=aug)
        for name, consistency, aug in (("max", 0.8, False), ("tri3", 0.9, False), ("tri5", 0.95, True))
    ]
    for number, each in enumerate(runs):
        each.metrics.update({"network/parameters": 1000, "network/multiplications": 10**6 * (number + 1)})  # type: ignore[attr-defined]
    (tmp_path / "environment.json").write_text('{"device": "1 x CPU", "images_per_second": {"training": 50}}')
    runs[1] = replace(runs[1], folder=tmp_path)
    page = show(*runs)
    lines = [line.split("\t") for line in page.locator("#costs tbody tr").all_inner_texts()]
    assert lines == [
        ["max", "delta", "no", "1,000", "1,000,000", MISSING, MISSING],
        ["blur", "tri3", "no", "1,000", "2,000,000", "50", MISSING],
        ["blur", "tri5", "yes", "1,000", "3,000,000", MISSING, MISSING],
    ]
    assert "images per second on 1 x CPU." in page.inner_text("#costs")
    options = page.locator("#costs option").all_inner_texts()
    assert options == ["multiplications per image", "images per second in training"]

    def points() -> dict[str, tuple[float, float]]:
        return {t["meta"][0]: (t["x"][0], t["y"][0]) for t in data(page, "#costs") if "meta" in t}

    assert points() == {"max": (1e6, 80), "tri3": (2e6, 90), "tri5": (3e6, 95)}
    assert page.locator("#costs .pair:visible h3").all_inner_texts() == [
        "without shift augmentation",
        "with shift augmentation",
    ]
    choose(page, "cost", options[1])
    assert points() == {"tri3": (50, 90)}
    choose(page, "cost", options[0])
    page.uncheck("#table input[aria-label='Draw max delta']")
    opacity = {trace["meta"][0]: trace["opacity"] for trace in data(page, "#costs") if "meta" in trace}
    assert opacity == {"max": 0.3, "tri3": 1, "tri5": 1}
    page.fill("#filter", "tri3")
    assert list(points()) == ["tri3"]
    page.close()


def test_costs_that_differ_by_orders_have_a_logarithmic_axis(show: Callable[..., Page]) -> None:
    runs = [run(str(width), 0.9, 0.8, model__width=width) for width in (4, 64)]
    for each, multiplications in zip(runs, (10**6, 2 * 10**8), strict=True):
        each.metrics["network/multiplications"] = multiplications  # type: ignore[index]
    page = show(*runs)
    assert layout(page, "#costs")["xaxis"]["type"] == "log"
    assert page.locator("#costs table").count() == 2
    assert page.locator("#against").count() == 0
    page.close()


def test_no_finished_run(show: Callable[..., Page]) -> None:
    page = show(unfinished=[("late", "unfinished: epoch 17 of 200")])
    assert "No run has finished." in page.inner_text("#table1")
    assert "late (unfinished: epoch 17 of 200)" in page.inner_text(".notes")
    assert not page.locator("#paths select:visible, #elsewhere:visible").count()
    page.close()


def test_many_classes(show: Callable[..., Page]) -> None:
    """Of many classes the likeliest get a bar, and the correct one does."""
    probabilities = np.random.default_rng(0).random((2, H, W, 100)) / 100
    probabilities[..., 40:60] += 0.3
    one = run(
        "max", 0.9, 0.9, arrays() | {"probabilities": probabilities, "shown_labels": np.zeros(2, int)}, pool="max"
    )
    page = show(replace(one, config={**one.config, "classes": [f"class {k}" for k in range(100)]}))
    shown = page.locator(".panel .bar .name").all_inner_texts()
    assert len(shown) == 12
    assert shown[0] == "class 0"
    assert all(40 <= int(name.split()[1]) < 60 for name in shown[1:])
    page.close()


def test_one_of_several_data_sets_is_shown_at_a_time(show: Callable[..., Page]) -> None:
    """Each has its own table, pictures and explorer, and published values only where it is CIFAR-10."""
    digits = {"labels": np.zeros(6, int), "pixels": np.zeros((2, 3, H, W), np.uint8)}
    page = show(
        run("max", 0.9, 0.8, arrays(0), pool="max"),
        run("tri5", 0.9, 0.8, arrays(1)),
        run("digits", 0.9, 0.8, arrays(2) | digits, data="digits"),
        unfinished=[("late", "unfinished")],
    )
    assert page.locator("#set option").all_inner_texts() == ["cifar10", "digits"]
    for _ in range(2):  # there and back
        assert names(page, "#stability") == ["max", "tri5"]
        assert column(page, "paper") == ["91.6", "93.3"]
        page.select_option("#set", "digits")
        page.wait_for_selector("html[data-ready]", state="attached")
        assert names(page, "#stability") == names(page, "#variation") == ["digits"]
        assert page.locator(".panel").count() == 1
        assert page.locator("#table th").all_inner_texts().count("ours") == 4
        assert page.locator("#table .paper, #table .diff, #table tfoot tr").count() == 0
        assert "published" not in [trace.get("name") for trace in data(page, "#plane")]
        assert "late" in page.inner_text(".notes")
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
    page = show(elsewhere("resnet", under()), elsewhere("vgg", under(seed=1)))
    assert page.title() == "lit_shift: 2 classifiers"
    assert page.locator("h2:visible").all_inner_texts() == ["Measured alone", "Small transformations (Azulay & Weiss)"]
    assert page.locator("nav a:visible").count() == 2
    assert names(page, ".heat") == ["resnet", "vgg"]
    assert not page.locator("#sizes").is_visible()
    page.close()


def test_a_run_that_diverged(show: Callable[..., Page]) -> None:
    """What is not finite is missing, and the rest is shown."""
    broken = arrays()
    for key in ("variation", "diagonal", "probabilities", "equivariance/pixels"):
        broken[key] = np.full_like(broken[key], np.nan)
    diverged = run("max", float("nan"), float("inf"), broken, pool="max")
    diverged.metrics["test/variation"] = float("nan")  # type: ignore[index]
    page = show(diverged, run("tri5", 0.9, 0.8, arrays(1)))
    assert column(page, "ours") == [MISSING, "90.0"]
    assert names(page, "#variation") == ["max", "tri5"]
    page.close()


def test_page_is_package_data() -> None:
    folder = Path(render.__code__.co_filename).parent
    assert {file.name for file in folder.iterdir() if file.suffix in (".html", ".css", ".js")} == {
        "page.html",
        "page.css",
        "page.js",
    }
