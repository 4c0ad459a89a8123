"""Records of a training or measurement: ``config.yaml``, ``metrics.json``, ``environment.json``.

Needs no torch.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import lit_shift
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_text, read_text

NEEDED = {"choices", "data", "model", "trainer", "aug", "seed", "padding", "classes"}
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy", "scipy")
ENVIRONMENT = "environment.json"
TOO_OLD = "written by version 0.1, which this one does not read"


def read_config(path: Path) -> dict[str, Any]:
    """Read a ``config.yaml``.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        config: Any = OmegaConf.to_container(OmegaConf.create(read_text(path)))
    except InputError:  # already says what is wrong
        raise
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path} cannot be read; a checkpoint needs the config.yaml of its run.") from error
    if not isinstance(config, dict) or not config.keys() >= NEEDED:
        raise InputError(f"{path} is not a config of a run.")
    return config


def read_metrics(path: Path) -> dict[str, float]:
    """Read a ``metrics.json``, or raise an InputError if that is not possible."""
    try:
        metrics = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error
    if not isinstance(metrics, dict):
        raise InputError(f"{path} holds no measures by name.")
    return metrics


def write_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    """Write metrics as a flat JSON object of numbers, sorted by key."""
    atomic_text(path, json.dumps(dict(sorted(metrics.items())), indent=2, allow_nan=False) + "\n")


def write_environment(path: Path, command: str, **more: str) -> None:
    """Write an ``environment.json``: the command, the time, the machine, the versions and what else is known."""
    content = {
        "command": command,
        "started": now(),
        "host": platform.node(),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {"lit-shift": lit_shift.__version__, **versions(PACKAGES)},
    }
    atomic_text(path, json.dumps(more | content, indent=2) + "\n")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def note(path: Path, **more: Any) -> None:
    """Add to an ``environment.json``."""
    atomic_text(path, json.dumps(json.loads(path.read_text()) | more, indent=2) + "\n")


def too_old(folder: Path) -> bool:
    """True if version 0.1 wrote a folder. Its configs name classes where they no longer are."""
    file = folder / ENVIRONMENT
    return file.exists() and json.loads(read_text(file)).get("versions", {}).get("lit-shift", "").startswith("0.1.")


def now() -> str:
    """Return the time (UTC), as text that sorts."""
    return datetime.now(UTC).isoformat(timespec="seconds")
