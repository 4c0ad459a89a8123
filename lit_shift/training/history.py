"""Scalars of every epoch as a CSV file."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lit_shift.training.collect import scalars
from lit_shift.training.wandb_logging import log_again
from lit_shift.utils.files import atomic_text


class History(Callback):
    """Callback that writes the scalars logged in each epoch to ``path``, one row per epoch.

    Cells are empty if nothing was logged. The rows are saved in the checkpoint, so a resumed run has the same file as
    an uninterrupted one. This must come after every callback that logs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._before: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        log_again(trainer, self._before)
        self._before = []

    # A training killed after its last epoch starts with the test.
    on_test_start = on_train_start

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.callback_metrics.clear()  # Lightning keeps old values, which would be repeated in this epoch's row

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rows.append({"epoch": trainer.current_epoch + 1, **scalars(trainer.callback_metrics)})
        if trainer.is_global_zero:
            columns = list(dict.fromkeys(key for row in self.rows for key in row))
            text = StringIO()
            writer = csv.DictWriter(text, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            atomic_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]
        self._before = list(self.rows)
