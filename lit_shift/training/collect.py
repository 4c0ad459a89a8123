"""Collection of a test's findings from its trainer."""

import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from lit_shift.models.anatomy import in_numbers
from lit_shift.runs.config import label
from lit_shift.runs.findings import Findings, read_history
from lit_shift.runs.run import Run


def collect(trainer: Trainer, cfg: DictConfig, run: Run) -> Findings:
    """Return the findings of a run's test: the logged numbers, and the arrays that callbacks left in the module."""
    config: Any = OmegaConf.to_container(cfg)
    module: Any = trainer.lightning_module
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    config["classes"] = config.pop("class_names", None) or list(data.classes)
    config.setdefault("image_size", list(data.image_size))  # a run's test images have all been brought to it
    metrics = with_network(trainer, in_numbers(module.net, data.image_size))
    return Findings(label(cfg), config, metrics, read_history(run.history), module.arrays)


def with_network(trainer: Trainer, network: dict[str, int | float]) -> dict[str, float]:
    """Return the logged metrics of a test together with ``network``, which is also logged."""
    for logger in trainer.loggers:
        logger.log_metrics(network)
    return scalars(trainer.callback_metrics) | network


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Convert scalar tensors to numbers, with the seven digits that float32 holds.

    Ints stay ints. Values that are not finite are left out.
    """
    numbers = {
        name: value if isinstance(value, int) else float(f"{float(value):.7g}") for name, value in metrics.items()
    }
    return {name: number for name, number in numbers.items() if math.isfinite(number)}
