"""What README, docs/ and the other pages say: links lead somewhere, names exist, commands parse, recipes work."""

import re
import runpy
import shlex
import tomllib
from itertools import zip_longest
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lit_shift.bias import __main__ as bias_command
from lit_shift.cli.eval_config import add_measured
from lit_shift.data.view import View
from lit_shift.measures import MEASURES, measure_of
from lit_shift.models import VGG13
from lit_shift.orbit import orbit_logits
from lit_shift.pools import MaxPoolBlurDS
from lit_shift.results import __main__ as results_command
from lit_shift.runs.config import composed
from lit_shift.shifts import roll
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
# What is said of 0.1, whose names are gone, is in the changelog alone.
REPOSITORY = re.compile(r"^(lit_shift|conf|tests|benchmarks|notebooks|docs|\.ci)/[\w./]*$|^\w+\.(toml|yml|cff)$")
PROGRAMS = ("uv ", "pip ", "lit-shift ", "python ", "wandb ")


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Title and text of each code block in a language."""
    found = (match.groups() for match in FENCE.finditer(page.read_text()))
    titled = ((re.match(r'(\w*)(?: title="(.*)")?$', info), text) for info, text in found)
    return [(info[2] or "", text) for info, text in titled if info and info[1] == language]


def spans(page: Path) -> list[str]:
    """Code within lines."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in addresses."""
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}


def rooms() -> set[str]:
    """Modules and rooms of the package, each of which has an API page."""
    return {path.stem for path in (ROOT / "lit_shift").iterdir() if path.suffix == ".py" or path.is_dir()}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        if path.startswith("api/"):  # made when the site is built
            assert Path(path).suffix == ".md", target
            assert Path(path).stem in rooms(), target
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert file.is_relative_to(DOCS) or page.parent == ROOT, f"{target} is not on the site"
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_names_of_the_package_exist(page):
    for span in spans(page):
        if REPOSITORY.match(span):
            assert (ROOT / span).exists(), span
        if name := re.fullmatch(r"(lit_shift(?:\.\w+)+)(\(.*\))?", span):
            resolve_name(name[1])


def commands() -> list[str]:
    """Every command that a page names."""
    typed: list[str] = []
    for page in PAGES:
        typed += [span for span in spans(page) if span.startswith(PROGRAMS)]
        for _, text in blocks(page, "bash"):
            typed += text.replace("\\\n", " ").splitlines()
    return [line for line in dict.fromkeys(typed) if shlex.split(line, comments=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the commands can be typed: a run called RUN, and the files that docs/extending.md shows."""
    folder = tmp_path_factory.mktemp("docs")
    for name, text in blocks(DOCS / "extending.md", "yaml") + blocks(DOCS / "extending.md", "python"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    cfg: Any = OmegaConf.to_container(composed("train", ["pool=blur"]))
    cfg["choices"] = {"data": "cifar10", "model": "vgg13", "pool": "blur"}
    cfg |= {"classes": ["cat", "dog"], "image_size": [32, 32]}
    for run in (folder / "RUN", folder / "runs" / "RUN"):
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.ckpt").touch()
        (run / "config.yaml").write_text(yaml.safe_dump(cfg))
    return folder


@pytest.fixture
def parses(folder, monkeypatch):
    """Fail for a command that would be refused, as far as that can be told without running it."""
    monkeypatch.chdir(folder)

    def results(words):
        asked = []
        monkeypatch.setattr(results_command, "report", lambda *arguments: asked.append(arguments))
        results_command.main(words)
        assert asked

    def check(words):
        match words:
            case [*_, "--help" | "..."] | ["python", "-m", _] | ["lit-shift", _]:  # named rather than typed
                pass
            case ["uv", "run", "train.py", *rest] | ["lit-shift", "train", *rest]:
                train(rest)
            case ["uv", "run", "eval.py", *rest] | ["lit-shift", "eval", *rest]:
                evaluate(rest)
            case ["uv", "run", "lit-shift", "remedies", *rest]:
                evaluate(rest, "remedies", "embed")
            case ["uv", "run", "python", "-m", "lit_shift.results", *rest] | ["lit-shift", "results", *rest]:
                results(rest)
            case ["uv", "run", "python", "-m", "lit_shift.bias", *rest] | ["lit-shift", "bias", *rest]:
                bias_command.parse(rest)
            case ["uv", "run", "python", "-m", module, *rest] if module.startswith("benchmarks."):
                benchmark(ROOT / f"{module.replace('.', '/')}.py", rest)
            case ["uv", "run", "pytest", *rest]:
                asked_of_pytest(rest)
            case ["uv", "run", "ruff" | "mypy", *_]:
                pass
            case ["uv", "run", "--group", group, "mkdocs", *_]:
                assert group in PROJECT["dependency-groups"]
            case ["uv", "run", "--with", "jupyterlab", "jupyter", "lab", place]:
                assert (ROOT / place).is_dir()
            case ["uv", "sync"] | ["pip", "install", *_]:
                extras = re.findall(r"\[(.*)\]", " ".join(words))
                assert set(extras) <= PROJECT["project"]["optional-dependencies"].keys()
            case ["uv", "sync", "--extra", extra]:
                assert extra in PROJECT["project"]["optional-dependencies"]
            case _:
                raise AssertionError(f"no test knows {shlex.join(words)}")

    return check


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line, parses):
    parses(shlex.split(line, comments=True))


def runs_of(words: list[str]) -> list[list[str]]:
    """The words of some of a command's runs: of a sweep as many as it takes to have each value once."""
    overrides = OverridesParser.create().parse_overrides([word for word in words if word != "-m"])
    every = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line]
        for override in overrides
    ]
    assert "-m" in words or all(len(values) == 1 for values in every)
    return [[v or first for v, (first, *_) in zip(run, every, strict=True)] for run in zip_longest(*every)] or [[]]


def train(words: list[str]) -> None:
    """Compose what train.py would train."""
    own = []
    match words:
        case ["--config-dir", place, *words]:
            own = [f"hydra.searchpath=[file://{Path(place).resolve()}]"]
    for typed in runs_of(words):
        composed("train", [*own, *typed])


def evaluate(words: list[str], config: str = "eval", usual: str | None = None) -> None:
    """Compose what eval.py, or remedies, would measure."""
    for typed in runs_of(words):
        add_measured(typed, usual)
        composed(config, typed)


def benchmark(source: Path, words: list[str]) -> None:
    """Find each option in a benchmark's source."""
    text = source.read_text() + source.with_name("timing.py").read_text()
    assert all(f'"{word}"' in text for word in words if word.startswith("--"))
    train([word for word in words if "=" in word])


def asked_of_pytest(words: list[str]) -> None:
    """The files, tests and markers that pytest is asked for exist."""
    while words:
        match words:
            case ["-m", marker, *words]:
                assert any(
                    line.startswith(f"{marker}:") for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]
                )
            case [file, "-k", part, *words]:
                assert re.search(rf"def test_\w*{part}", (ROOT / file).read_text())
            case [file, *words]:
                assert (ROOT / file).is_file()


@pytest.fixture
def own(folder, monkeypatch):
    """Compose and build what a YAML of docs/extending.md describes."""
    monkeypatch.syspath_prepend(folder)
    return lambda path, **more: instantiate(OmegaConf.merge(OmegaConf.load(folder / "my_conf" / path), more))


def test_the_pool_that_is_shown_is_measured_exactly(own, rng):
    pool = own("pool/mixed.yaml", padding="circular")
    x = torch.rand(1, 3, 8, 8, generator=rng)
    window = torch.stack([x.roll((-i, -j), (2, 3)) for i in (0, 1) for j in (0, 1)])
    dense = (window.amax(0) + window.mean(0)) / 2
    assert torch.allclose(pool().dense(x), dense)
    model = VGG13(pool, width=4).eval()
    image = torch.randn(1, 3, 32, 32, generator=rng)
    shifted = model(roll(image, torch.tensor([[3, 5]])))
    assert torch.allclose(orbit_logits(model, image)[:, 3, 5], shifted, atol=1e-5)


def test_the_protocol_that_is_shown_darkens(own, rng):
    protocol = own("protocol/darken.yaml").darken
    image = torch.rand(2, 3, 8, 8, generator=rng)
    frames = list(protocol.frames(image, [0, 1], View(8, 8)))
    assert len(frames) == len(protocol.positions(View(8, 8))) == 10
    assert torch.equal(frames[0], image)
    assert torch.allclose(frames[-1], 0.1 * image)


def test_the_data_set_that_is_shown_has_two_kinds_of_stripes(own):
    data = own("data/stripes.yaml", aug=False, padding="circular", seed=0)
    data.setup()
    assert data.image_size == [32, 32]
    for images, along in ((data.train.pixels[:16], 3), (data.train.pixels[16:], 2)):
        assert not images.float().diff(dim=along).any()
        assert images.float().var() > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_compiles(page):
    for _, text in blocks(page, "python"):
        compile(text, page.name, "exec")
    for title, text in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(text), dict), title


def test_what_readme_does_in_python_comes_out_as_it_says(capsys):
    code = next(text for _, text in blocks(ROOT / "README.md", "python") if "import torch" in text)
    exec(compile(code, "README.md", "exec"), {})
    assert float(re.search(r"tensor\((\S+),", capsys.readouterr().out)[1]) == 1


def test_every_measure_has_its_definition():
    """In a table that the site's hook makes from the declarations; no table is empty."""
    source = (DOCS / "measures.md").read_text()
    tables = runpy.run_path(str(DOCS / "tables.py"))
    page = tables["on_page_markdown"](source)
    assert "<!--" not in page
    found = set()
    for part in (*tables["PARTS"], "others"):
        assert f"<!-- measures: {part} -->" in source
        _, _, *rows = tables["table"](part).splitlines()
        assert rows
        assert all(row in page for row in rows)
        found |= {measure_of(re.sub("<.*>", "1", re.match(r"\| `(.*?)` \| \S", row)[1])).name for row in rows}
    assert found == set(MEASURES)


def test_a_run_is_exported_as_the_page_says(tmp_path, monkeypatch, rng):
    """And gives the answers that its network gives to normalised images."""
    pytest.importorskip("onnxscript")
    cfg: Any = OmegaConf.to_container(composed("train", ["pool=blur", "model.width=2"]))
    cfg |= {"classes": [str(digit) for digit in range(10)], "image_size": [32, 32], "padding": "circular"}
    (tmp_path / "runs" / "RUN" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "RUN" / "config.yaml").write_text(yaml.safe_dump(cfg))
    net, mean, std = VGG13(MaxPoolBlurDS, width=2).eval(), torch.full((3, 1, 1), 0.4), torch.full((3, 1, 1), 0.3)
    state = {f"net.{name}": value for name, value in net.state_dict().items()} | {"mean": mean, "std": std}
    torch.save({"state_dict": state}, tmp_path / "runs" / "RUN" / "checkpoints" / "last.ckpt")
    monkeypatch.chdir(tmp_path)
    ((_, code),) = blocks(DOCS / "export.md", "python")
    names: dict[str, Any] = {}
    exec(compile(code, "export.md", "exec"), names)
    expected = net((names["images"] - mean) / std)
    torch.testing.assert_close(torch.from_numpy(names["logits"]), expected, rtol=1e-4, atol=1e-5)
    session = names["onnxruntime"].InferenceSession("run.onnx")
    more = torch.rand(3, 3, 32, 32, generator=rng)
    (logits,) = session.run(None, {"images": more.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), net((more - mean) / std), rtol=1e-4, atol=1e-5)


def test_readme_is_a_front_door():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 230


def test_the_quickstarts_table_is_the_same_wherever_it_stands():
    pages = ROOT / "README.md", DOCS / "index.md"
    tables = [text for page in pages for _, text in blocks(page, "") if "┏" in text]
    assert len(tables) == 2
    assert "consistency" in tables[0]
    assert tables[0] == tables[1]
