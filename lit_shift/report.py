"""What a test has found, from the trainer that ran it, and to W&B."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from lit_shift import gallery, table1
from lit_shift.config import images_of, label
from lit_shift.console import say
from lit_shift.findings import ARRAYS, Findings, family, load_arrays, read_history, read_metrics, save_arrays
from lit_shift.run import Run, make_folder, scalars, write_environment, write_metrics
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
    if (out / "config.yaml").exists() and _subject(OmegaConf.load(out / "config.yaml")) == _subject(cfg):
        metrics = _updated(read_metrics(out / "metrics.json"), findings.metrics)
        findings = replace(findings, metrics=metrics, arrays=_updated(load_arrays(out / ARRAYS), findings.arrays))
    OmegaConf.save(OmegaConf.create(dict(findings.config)), out / "config.yaml")
    if not findings.trained:
        write_environment(out)
    save_arrays(out / ARRAYS, findings.arrays)
    write_metrics(out / "metrics.json", findings.metrics)
    gallery.save([findings], out / "figures")
    say(f"written: metrics.json, {ARRAYS} and figures/ in {out}")


def _subject(cfg: Any) -> dict[str, Any]:
    """What a measurement is of."""
    plain: Any = OmegaConf.to_container(cfg)  # a video needs no data, whose folder may be missing
    return {"ckpt": str(Path(plain["ckpt"] or "").resolve()), "data": images_of(plain), "model": plain["model"]}


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
