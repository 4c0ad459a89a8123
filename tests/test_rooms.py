"""Imports point downward only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[1]
# Lowest first; a room, or a module beside the rooms, imports from those before it only.
ROOMS = [
    *("utils", "published", "boxes", "measures", "filters", "kernels", "padding", "shifts", "upsampling", "intervals"),
    *("feature_distance", "functional", "answers", "pools", "consistency_variants", "metrics", "models", "surgery"),
    *("data", "figures", "protocols", "orbit", "classifiers", "remedies", "runs", "training", "callbacks", "results"),
    *("cli", "evaluation", "bias", "commands"),
]
PACKAGE = ROOT / "lit_shift"
MOST_MODULES = 13


def room(module: str) -> str:
    return module.split(".")[0]


def imported(file):
    """What of the package a module imports: modules, and names from a room's face."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lit_shift":
            base = node.module.removeprefix("lit_shift").lstrip(".")
            yield from [base] if base else [alias.name for alias in node.names]


def test_every_module_is_in_a_room():
    found = {file.stem for file in PACKAGE.glob("*.py")} | {file.parent.name for file in PACKAGE.glob("*/*.py")}
    assert found - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_imports_point_downward(name):
    files = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else list((PACKAGE / name).rglob("*.py"))
    for file in files:
        for module in imported(file):
            assert ROOMS.index(room(module)) <= ROOMS.index(name), f"{file.relative_to(PACKAGE)} imports {module}"


def test_a_room_says_its_job_and_is_no_warehouse():
    for init in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init
        assert len(list(init.parent.glob("*.py"))) <= MOST_MODULES + 1, init.parent


@pytest.mark.parametrize("script", ["train", "eval"])
def test_scripts_stay_short_and_start_without_torch(script):
    assert len((ROOT / f"{script}.py").read_text().splitlines()) < 60
    code = f"import sys, {script}; print([m for m in ('torch', 'wandb', 'pytorch_lightning') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.rough
def test_a_run_without_wandb_needs_no_wandb(images, tmp_path):
    arguments = ["train.py", *TINY, f"data.root={images}", "trainer.max_epochs=1", f"runs={tmp_path}"]
    code = f"import sys, runpy; sys.modules['wandb'] = None; sys.argv = {arguments}; "
    code += "runpy.run_path('train.py', run_name='__main__')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert list(tmp_path.glob("*/metrics.json"))
