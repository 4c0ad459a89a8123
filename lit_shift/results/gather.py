"""Find finished runs in folders."""

import re
from collections.abc import Sequence
from pathlib import Path

from lit_shift.runs.findings import Findings, read_history
from lit_shift.runs.records import TOO_OLD, read_config, too_old
from lit_shift.runs.run import Run
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import given, hidden


def gather(paths: Sequence[str | Path]) -> tuple[list[Findings], list[tuple[str, str]]]:
    """Return the finished runs in the order in which they ended, and the name and state of each unfinished one.

    Measurements by eval.py along paths count as finished runs if they are of an external classifier, of a vote, or of a
    run but outside its ``eval`` folder, which is part of the run.

    Args:
        paths: folders of runs, or folders that contain runs at any depth.

    Raises:
        InputError: a path does not exist or contains no run, or no run is finished.
    """
    folders = [folder for path in paths for folder in _runs_in(given(path))]
    folders = sorted({folder.resolve() for folder in folders}, key=lambda folder: (Run(folder).ended, folder))
    names = _names(folders)
    finished, unfinished = [], []
    for folder in folders:
        if too_old(folder):
            unfinished.append((names[folder], f"{TOO_OLD}: run it again"))
        elif (folder / "metrics.json").exists():
            model = Findings.load(folder, names[folder])
            finished.append(model if model.trained else model.along_paths())
        else:
            unfinished.append((names[folder], _state(folder)))
    finished = [model for model in finished if model.metrics]
    if not finished:
        states = "; ".join(f"{name} is {state}" for name, state in unfinished)
        raise InputError(f"There is no finished run yet: {states}.")
    return finished, unfinished


def _runs_in(path: Path) -> list[Path]:
    """Return the folders at or below a path that contain a run's config and its environment."""
    if path.is_file():
        raise InputError(f"{path} is a file: type the folder of a run, or one that holds runs.")
    if not path.is_dir():
        raise InputError(f"There is no folder {str(path)!r}: type the folder of a run, or one that holds runs.")
    noted = sorted(
        file for file in path.rglob("environment.json") if not any(map(hidden, file.relative_to(path).parts))
    )
    found = [file.parent for file in noted if (file.parent / "config.yaml").exists()]
    # A partial measurement has a complete one beside it.
    found = [folder for folder in found if not folder.name.endswith("-partial") or folder == path]
    if not found:
        raise InputError(f"{path} holds no run: a run's folder has a config.yaml and an environment.json.")
    return [folder for folder in found if folder.name != "eval" or folder.parent not in found]


def _state(folder: Path) -> str:
    config = read_config(folder / "config.yaml")
    if "ckpt" in config:
        return "unfinished: measure it again"
    epoch, epochs = len(read_history(folder / "history.csv")), config["trainer"]["max_epochs"]
    return "still being measured" if epoch == epochs else f"unfinished: epoch {epoch} of {epochs}"


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the shortest unique names of folders. A measurement inside a run's folder is named after the run, too."""
    full = {
        folder: f"{folder.parent.name}-{folder.name}" if (folder.parent / "config.yaml").exists() else folder.name
        for folder in folders
    }
    hashed = r"^([^-]+-)(.+)-[0-9a-f]{8}(?=$|-)(-eval(?=-))?"
    short, of_data = (
        {folder: re.sub(hashed, kept, name) for folder, name in full.items()} for kept in (r"\2", r"\1\2")
    )
    for names in (short, of_data, full):  # without data and hash, without hash, complete
        if len(set(names.values())) == len(folders):
            return names
    return {folder: str(folder) for folder in folders}
