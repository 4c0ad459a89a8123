"""What a test has found, from the trainer that ran it, and to W&B."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from lit_shift.models.anatomy import in_numbers
from lit_shift.results import comparison, gallery
from lit_shift.results.frame import frame
from lit_shift.runs.config import label
from lit_shift.runs.findings import (
    ARRAYS,
    Findings,
    read_history,
    save_arrays,
)
from lit_shift.runs.records import scalars
from lit_shift.runs.run import Run
from lit_shift.training.wandb_logging import log_media, wandb_loggers


def found(trainer: Trainer, cfg: DictConfig, run: Run) -> Findings:
    """What the callbacks of a test have found of the run's model."""
    arrays: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        arrays |= getattr(callback, "arrays", {})
    config: Any = OmegaConf.to_container(cfg)
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    config["classes"] = config.pop("class_names", None) or list(data.classes)
    config.setdefault("image_size", list(data.image_size))  # of a run, as all test images are brought to it
    metrics = with_network(trainer, in_numbers(trainer.lightning_module.net, data.image_size))  # type: ignore[arg-type]
    return Findings(label(cfg), config, metrics, read_history(run.history), arrays)


def with_network(trainer: Trainer, network: dict[str, int | float]) -> dict[str, float]:
    """What a test has logged, and the network's own numbers, which go to its loggers too."""
    for logger in trainer.loggers:
        logger.log_metrics(network)
    return scalars(trainer.callback_metrics) | network


def finish(trainer: Trainer, cfg: DictConfig, run: Run) -> None:
    """Write what the test of a run has found, which makes it a finished one, and log it."""
    findings = found(trainer, cfg, run)
    save_arrays(run.folder / ARRAYS, findings.arrays)
    run.finish(findings.metrics)
    _log(trainer, findings)


def log_figures(trainer: Trainer, findings: Findings) -> None:
    """The figures as media where W&B is the logger."""
    if wandb_loggers(trainer):
        log_media(trainer, gallery.draw([findings]), {})


def _log(trainer: Trainer, findings: Findings) -> None:
    """The figures, and the model's row of Table 1, as media where W&B is the logger."""
    if wandb_loggers(trainer):
        (row,) = comparison.for_csv(comparison.table1(frame([findings]))).to_dict("records")
        known = {name: value for name, value in row.items() if name == "notes" or value == value}
        known |= {"seed": findings.config["seed"], "notes": "; ".join(row["notes"])}
        log_media(trainer, gallery.draw([findings]), {"table1": known})
