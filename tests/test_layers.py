"""Imports point downward only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[1]
# Lowest first; a module may import from floors below its own, and from earlier modules of its own floor.
FLOORS = [
    [
        *("choices", "errors", "command", "console", "files", "saved", "filters", "padding", "shifts", "upsampling"),
        *("functional", "answers", "published", "page", "track", "fill", "view", "boxes", "constant", "fourier_conv"),
        *("memory", "intervals", "units", "threads"),
    ],
    [
        *("circular", "kernel", "fused", "pool"),
        "metrics",
        "readings",
        *("figures.style", "figures.zhang", "figures.signals", "figures.azulay_weiss", "figures.bias", "figures"),
        *("data.loader", "data.files", "data.module", "data.cifar10", "data.digits", "data.imagefolder"),
        *("data.photographs", "data.collections", "data.annotations", "data"),
        "protocols",
    ],
    ["vgg", "orbit", "trace", "layers", "network"],
    [
        *("subject", "classifier", "checkpoint", "checks", "config", "tracking", "records", "run", "findings"),
        *("augmentation", "classes", "zoo", "jobs", "live"),
    ],
    [
        *(
            "callbacks.look",
            "callbacks.divergence",
            "callbacks.heartbeat",
            "callbacks.history",
            "callbacks.stop",
            "callbacks.progress",
            "callbacks.probe",
        ),
        *("callbacks.filter_tv", "callbacks.shift_measures", "callbacks.equivariance", "callbacks.shown_images"),
        *("callbacks.consistency_readings", "callbacks"),
        *("feasible", "path_measures", "measurement", "voting"),
    ],
    [
        *("build", "run_protocol", "table1", "remarks", "path_gallery", "gallery", "formats", "path_table", "tables"),
        "report",
        *("path_content", "content", "results", "eval_config", "evaluation", "cli", "sweep", "outcomes", "bias"),
    ],
]
ORDER = [module for floor in FLOORS for module in floor]


def path(module):
    file = ROOT / "lit_shift" / f"{module.replace('.', '/')}.py"
    return file if file.exists() else file.with_suffix("") / "__init__.py"


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lit_shift"):
            base = node.module.removeprefix("lit_shift").lstrip(".")
            for alias in node.names:
                name = f"{base}.{alias.name}".lstrip(".")
                yield name if name in ORDER else base


def test_every_module_is_on_a_floor():
    files = {str(file.relative_to(ROOT / "lit_shift")) for file in (ROOT / "lit_shift").rglob("*.py")}
    assert files - {"__init__.py"} == {str(path(module).relative_to(ROOT / "lit_shift")) for module in ORDER}


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_downward(module):
    for name in imported(path(module)):
        assert ORDER.index(name) < ORDER.index(module), f"{module} imports {name}"


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
