"""The notebooks are committed as they were executed, and only import and call."""

import ast
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = ["01_aliasing", "02_compare_runs", "03_any_classifier"]
MAY_IMPORT = {"sys", "lit_shift", "numpy", "torch", "matplotlib"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
MACHINE = re.compile(r"/(home|root|tmp|work|Users|var|private|mnt)\b|[A-Z]:\\")
IMAGES = ("image/png",)


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    return json.loads((FOLDER / f"{request.param}.ipynb").read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def python(cell):
    """A cell's code without the lines that are IPython's: magics and shell commands."""
    lines = "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if not re.match(r"\s*([%!]|\w+ = !)", line))


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def words(output):
    """All of an output that a person may read; pictures are left out."""
    data = {kind: text for kind, text in output.get("data", {}).items() if kind not in IMAGES}
    return "".join("".join(text) for text in (output.get("text", ""), *data.values()))


def test_the_folder_holds_these_notebooks():
    assert sorted(file.stem for file in FOLDER.glob("*.ipynb")) == NOTEBOOKS


def test_every_cell_was_executed_in_order(notebook):
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_outputs_hold_pictures_and_neither_errors_nor_warnings(notebook):
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    for output in outputs(notebook):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", words(output)
        assert "Warning" not in words(output)


def test_outputs_are_free_of_progress_bars(notebook):
    for output in outputs(notebook):
        if output["output_type"] == "stream":
            assert "\x1b" not in words(output)


def test_cells_import_and_call_but_define_nothing(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(python(cell))):
            assert not isinstance(node, DEFINITIONS), ast.unparse(node)
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= MAY_IMPORT


def test_no_path_of_a_machine(notebook):
    for cell in notebook["cells"]:
        assert not MACHINE.search("".join(cell["source"]))
    for output in outputs(notebook):
        assert not MACHINE.search(words(output)), words(output)
    assert not MACHINE.search(json.dumps(notebook["metadata"]))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_small_enough_to_be_shown(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1.5e6
