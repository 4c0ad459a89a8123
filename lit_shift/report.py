"""What a test has found, from the trainer that ran it, and to W&B."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from lit_shift import gallery, table1
from lit_shift.config import label
from lit_shift.findings import Findings, read_history
from lit_shift.run import Run, scalars
from lit_shift.tracking import log_media, wandb_loggers


def found(trainer: Trainer, cfg: DictConfig, run: Run) -> Findings:
    """What the callbacks of a test have found of the run's model."""
    arrays: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        arrays |= getattr(callback, "arrays", {})
    config: Any = OmegaConf.to_container(cfg)
    config.setdefault("classes", trainer.datamodule.classes)  # type: ignore[attr-defined]
    return Findings(label(cfg), config, scalars(trainer.callback_metrics), read_history(run.history), arrays)


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
