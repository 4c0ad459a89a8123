"""Results of a test, collected from its trainer, written and logged to W&B."""

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
    """Collect the results that the callbacks of a test leave for the run's model."""
    arrays: dict[str, Any] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        arrays |= getattr(callback, "arrays", {})
    config: Any = OmegaConf.to_container(cfg)
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    config["classes"] = config.pop("class_names", None) or list(data.classes)
    config.setdefault("image_size", list(data.image_size))  # a run's test images have all been brought to it
    metrics = with_network(trainer, in_numbers(trainer.lightning_module.net, data.image_size))  # type: ignore[arg-type]
    return Findings(label(cfg), config, metrics, read_history(run.history), arrays)


def with_network(trainer: Trainer, network: dict[str, int | float]) -> dict[str, float]:
    """Return the logged metrics of a test together with ``network``, which is also logged."""
    for logger in trainer.loggers:
        logger.log_metrics(network)
    return scalars(trainer.callback_metrics) | network


def finish(trainer: Trainer, cfg: DictConfig, run: Run) -> None:
    """Write the results of a run's test, which marks the run as finished, and log them."""
    findings = found(trainer, cfg, run)
    save_arrays(run.folder / ARRAYS, findings.arrays)
    run.finish(findings.metrics)
    _log(trainer, findings)


def log_figures(trainer: Trainer, findings: Findings) -> None:
    """Log the figures as media if W&B is in use."""
    if wandb_loggers(trainer):
        log_media(trainer, gallery.draw([findings]), {})


def _log(trainer: Trainer, findings: Findings) -> None:
    """Log the figures, and the model's row of Table 1, as media if W&B is in use."""
    if wandb_loggers(trainer):
        (row,) = comparison.for_csv(comparison.table1(frame([findings]))).to_dict("records")
        known = {name: value for name, value in row.items() if name == "notes" or value == value}
        known |= {"seed": findings.config["seed"], "notes": "; ".join(row["notes"])}
        log_media(trainer, gallery.draw([findings]), {"table1": known})
