"""What a test has found, from the trainer that ran it, and to W&B."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from lit_shift import gallery, table1
from lit_shift.config import images_of, label, vote
from lit_shift.console import say
from lit_shift.errors import InputError
from lit_shift.findings import ARRAYS, Findings, family, load_arrays, read_history, read_metrics, save_arrays
from lit_shift.run import Run, make_folder, read_config, scalars, write_environment, write_metrics
from lit_shift.tracking import log_media, wandb_loggers


def found(trainer: Trainer, cfg: DictConfig, run: Run) -> Findings:
    """What the callbacks of a test have found of the run's model."""
    arrays: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        arrays |= getattr(callback, "arrays", {})
    config: Any = OmegaConf.to_container(cfg)
    config.setdefault("classes", trainer.datamodule.classes)  # type: ignore[attr-defined]
    return Findings(label(cfg), config, scalars(trainer.callback_metrics), read_history(run.history), arrays)


def keep(findings: Findings, cfg: DictConfig, out: Path, partial: bool) -> None:
    """Write a measurement: its config, arrays, metrics and figures. A part never takes the place of a whole one.

    What was measured before of the same network on the same images stays, but for the measures that were taken again.
    """
    if partial and (out / "metrics.json").exists():
        out = out.with_name(f"{out.name}-partial")
    make_folder(out, "out")
    before = measured_before(cfg, out)
    if before:
        _say_replaced(before, findings, out)
        metrics, arrays = _updated(before.metrics, findings.metrics), _updated(before.arrays, findings.arrays)
        findings = replace(findings, metrics=metrics, arrays=arrays)
    elif (out / "metrics.json").exists():
        say(f"{out}: this takes the place of what was measured of another network, vote or data.")
        (out / "metrics.json").unlink()  # for it never to be beside what it is not of
    OmegaConf.save(OmegaConf.create(dict(findings.config)), out / "config.yaml")
    write_environment(out)
    save_arrays(out / ARRAYS, findings.arrays)
    write_metrics(out / "metrics.json", findings.metrics)
    gallery.save([findings], out / "figures")
    say(f"written: metrics.json, {ARRAYS} and figures/ in {out}")


def measured_before(cfg: DictConfig, out: Path) -> Findings | None:
    """What there is in a folder of the network and the images that ``cfg`` is to measure.

    Raises:
        InputError: what is there is not eval.py's, or cannot be read.
    """
    if not (out / "config.yaml").exists():
        if (out / "metrics.json").exists():
            raise InputError(f"{out} holds a metrics.json that eval.py has not written: say out=FOLDER for another.")
        return None
    config = read_config(out / "config.yaml")
    if "ckpt" not in config:
        raise InputError(f"{out} is the folder of a run: say out={out / 'eval'}, or another.")
    if _subject(OmegaConf.create(config)) != _subject(cfg) or not (out / "metrics.json").exists():
        return None
    return Findings(out.name, config, read_metrics(out / "metrics.json"), [], load_arrays(out / ARRAYS))


def _say_replaced(before: Findings, now: Findings, out: Path) -> None:
    """For nobody to lose a measurement without knowing."""
    for name in now.protocols:
        told = [
            f"{found.arrays[f'{name}/options']}; n={found.metrics[f'{name}/n']:.0f}"
            for found in (before, now)
            if name in found.protocols
        ]
        if len(set(told)) == 2:
            say(f"{out}: {name} ({told[1]}) takes the place of what was measured with ({told[0]}).")


def _subject(cfg: Any) -> dict[str, Any]:
    """What a measurement is of."""
    plain: Any = OmegaConf.to_container(cfg)  # a video needs no data, whose folder may be missing
    ckpt = str(Path(plain["ckpt"] or "").resolve())
    return {"ckpt": ckpt, "data": images_of(plain), "model": plain["model"], "vote": vote(cfg)}


def _updated(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What was found before, without the families that have been measured anew, and what is found now."""
    anew = {family(name) for name in now}
    return {name: value for name, value in before.items() if family(name) not in anew} | dict(now)


def log_figures(trainer: Trainer, findings: Findings) -> None:
    """The figures as media where W&B is the logger."""
    if wandb_loggers(trainer):
        log_media(trainer, gallery.draw([findings]), {})


def log_findings(trainer: Trainer, findings: Findings) -> None:
    """The figures, and the model's row of Table 1, as media where W&B is the logger."""
    if wandb_loggers(trainer):
        (row,) = table1.build([findings])
        cells = {"pool": row.pool, "filter": row.filter, "aug": row.aug, "seed": findings.config["seed"]}
        for measure, cell in row.cells.items():
            cells[measure] = cell.mean if cell else None
            cells[f"{measure}_published"] = cell.published if cell else None
        cells |= {"protocol": row.protocol, "notes": "; ".join(row.notes)}
        log_media(trainer, gallery.draw([findings]), {"table1": cells})
