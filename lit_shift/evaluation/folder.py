"""The folder of a measurement: its place, its contents, and which earlier results are replaced."""

import hashlib
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_shift.data.image_files import some
from lit_shift.results import gallery
from lit_shift.runs.config import group, images_of, variant
from lit_shift.runs.findings import (
    ARRAYS,
    BY_LAYER,
    Findings,
    family,
    first_by_layer,
    load_arrays,
    save_arrays,
)
from lit_shift.runs.records import now, read_config, read_metrics, write_environment, write_metrics
from lit_shift.runs.run import Run, checkpoint_at
from lit_shift.utils.command import typed
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import given, make_folder


def with_weights(cfg: DictConfig) -> DictConfig:
    """Add a digest of the weights' file, whose content may change later (None if there is no file).

    Where ``ckpt`` names the folder of a run, it becomes the path of the run's checkpoint.
    """
    if cfg.ckpt is not None:
        cfg.ckpt = str(checkpoint_at(cfg.ckpt))
    if cfg.ckpt is None:
        file = given(cfg.model.path if "path" in cfg.model.keys() else cfg.model.weights)  # noqa: SIM118 - as in label
    else:
        file = given(cfg.ckpt)
    beside = file.with_name(f"{file.name}.data")  # where an ONNX file may have its weights
    parts = [part.read_bytes() for part in (file, beside) if part.is_file()]
    cfg.weights_sha256 = hashlib.sha256(b"".join(parts)).hexdigest() if parts else None
    return cfg


def out_folder(cfg: DictConfig) -> Path:
    """Folder for a measurement: ``out=``, else in the run's, else ``evals/<data>-<name>-<hash of model and data>``."""
    if cfg.out not in (None, ""):
        return given(cfg.out, "out")
    folder = Run.of(cfg.ckpt).evaluation(cfg) if cfg.ckpt else Path("evals") / f"{cfg.choices.data}-{group(cfg)}"
    return folder.with_name(f"{folder.name}{variant(cfg)}")


def write(findings: Findings, out: Path, command: str, stopped_by: int) -> None:
    """Write a measurement: config, arrays, metrics, and figures by :mod:`lit_shift.results.gallery`.

    A partial measurement never replaces a complete one.

    Earlier results for the same network and images are kept, except for measures that were taken again.

    Args:
        findings: the measurement; nothing is written if it is empty.
        out: the folder.
        command: the one that has measured.
        stopped_by: the signal that ended the measurement early, or 0. After SIGTERM no figures are drawn, because
            schedulers kill a process seconds later.
    """
    if not findings.metrics:
        return
    if stopped_by and (out / "metrics.json").exists():
        out = out.with_name(f"{out.name}-partial")
    make_folder(out, "out")
    before = measured_before(out)
    if before and _classifier(before.config) == _classifier(findings.config):
        metrics, arrays = _updated(before.metrics, findings.metrics), _updated(before.arrays, findings.arrays)
        if lost := sorted(before.metrics.keys() - metrics.keys()):
            say(f"Dropped from {out}, because they were not measured again: {some(lost)}.")
        findings = replace(findings, arrays=arrays, folder=out)
        kept = {name: value for name, value in metrics.items() if family(name) not in BY_LAYER}
        findings = replace(findings, metrics=kept | first_by_layer(kept, findings.protocols))
    elif before:  # of something else: none of it may stay beside the new results
        (out / "metrics.json").unlink()
        gallery.remove([before], out / "figures")
    OmegaConf.save(OmegaConf.create(dict(findings.config)), out / "config.yaml")
    write_environment(out / "environment.json", command, finished=now())
    save_arrays(out / ARRAYS, findings.arrays)
    write_metrics(out / "metrics.json", findings.metrics)
    hurried = stopped_by == signal.SIGTERM
    if hurried or not findings.config["figures"]:
        gallery.remove([findings], out / "figures")  # from an earlier measurement
        why = ", without figures, for which there may be no time" if hurried else ""
        say(f"written: metrics.json and {ARRAYS} in {out}{why}")
        return
    gallery.save([findings], out / "figures")
    say(f"written: metrics.json, {ARRAYS} and figures/ in {out}")


def measured_before(out: Path) -> Findings | None:
    """Read the earlier results in a folder, or return None if there are none.

    Raises:
        InputError: they are not eval.py's, or cannot be read.
    """
    if not (out / "metrics.json").exists():
        return None
    if not (out / "config.yaml").exists():
        raise InputError(f"{out} holds a metrics.json that eval.py has not written: say out=FOLDER for another.")
    config = read_config(out / "config.yaml")
    if "ckpt" not in config:
        raise InputError(f"{out} is the folder of a run: say {typed('out', out / 'eval')} or another.")
    if "weights_sha256" not in config:
        raise InputError(f"{out} was written by an older version: delete it, or say out=FOLDER for another.")
    return Findings(out.name, config, read_metrics(out / "metrics.json"), [], load_arrays(out / ARRAYS), out)


def ready_folder(cfg: DictConfig, out: Path, protocols: Mapping[str, str] | None = None) -> None:
    """Create the folder, and print which earlier results the measurement will replace.

    Called once everything else is ready, so that only what will happen is announced, and before the measurement, so
    that a problem with the folder is known before hours of work.

    Args:
        cfg: config of the measurement.
        out: its folder.
        protocols: the chosen protocols, with their options in words.

    Raises:
        InputError: as :func:`measured_before`, or the folder cannot be written.
    """
    protocols = protocols or {}
    before = measured_before(out)
    plain: Any = OmegaConf.to_container(cfg)  # a video needs no data, whose folder may be missing
    if before and _classifier(before.config) != _classifier(plain):
        say(f"This replaces the measurements of another network or of other data in {out}.")
    elif before:
        for name in protocols.keys() & before.protocols:
            known = f"({before.arrays.get(f'{name}/options', 'by an older version')})"
            now = f"({protocols[name]})"
            images, n = cfg.protocol.images, before.metrics[f"{name}/n"]
            if isinstance(images, int) and images < n:
                known, now = f"{known} of {n:.0f} images", f"{now} of {images}"
            if known != now:
                say(f"This replaces {name} {known} in {out} by {name} {now}; use out=FOLDER to keep both.")
    make_folder(out, "out")


def _classifier(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies the network and the images of a measurement."""
    parts = {key: config[key] for key in ("model", "weights_sha256")}
    return parts | {"data": images_of(config), "variant": variant(config)}


def _updated(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Merge results: new ones replace the earlier ones of the same family."""
    anew = {family(name) for name in now}
    return {name: value for name, value in before.items() if family(name) not in anew} | dict(now)
