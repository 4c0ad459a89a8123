"""Train one row of Table 1 and measure it: ``train pool=blur filter=tri5 aug=false``; see ``--help``."""

from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from lit_shift.cli.explain import plain_errors
from lit_shift.cli.jobs import BEFORE, Job
from lit_shift.cli.outcomes import Outcomes
from lit_shift.cli.tables import runs
from lit_shift.runs.config import CONF, settle
from lit_shift.runs.run import Run
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError

if TYPE_CHECKING:
    from lit_shift.runs.findings import Findings

outcomes = Outcomes()


def main() -> None:
    """Run the command of ``sys.argv``."""
    with outcomes.told(runs), plain_errors("train"):
        train_once()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def train_once(cfg: DictConfig) -> None:
    """Train the run given by a config, unless it is finished."""
    with outcomes.one_run() as job:
        cfg = settle(cfg)
        run = Run.locate(cfg)
        job.note(folder=str(run.folder.absolute()))
        if run.finished and run.result():  # result() names damaged files
            say(f"{run.state}: {run.folder}")
            job.note(state=BEFORE)
        else:
            job.check_deaths()
            train(cfg, run, job)


def train(cfg: DictConfig, run: Run, job: Job) -> None:
    """Train and test the run given by a settled config, resuming from its checkpoint if there is one."""
    # Imported here, so that --help and finished runs need not wait for torch.
    from lit_shift.results import gallery
    from lit_shift.training.build import build_data, build_module, build_training, check_early, device_name, start_from
    from lit_shift.training.collect import collect
    from lit_shift.training.wandb_logging import log_media, logged

    check_early(cfg)
    trainer = build_training(cfg, run)
    if job.record and trainer.world_size > 1:
        raise InputError("A run of a sweep (-m) takes one device; start runs on several devices one by one.")
    data = build_data(cfg)
    module = build_module(cfg, data)
    if "init" in cfg and run.resume_from is None:
        start_from(module, cfg.init)
    with run.alone(trainer.is_global_zero), logged(trainer, cfg, run.folder):
        if run.finished:  # by another process in the meantime
            return
        if trainer.is_global_zero:
            run.start(cfg, data.classes, data.image_size, job.command, device_name(trainer))
            say(f"{run.state}: {run.folder}")
        trainer.fit(module, data, ckpt_path=run.resume_from)
        # The callbacks of conf/callbacks measure: ShiftMeasures logs test/consistency, for example.
        trainer.test(module, data, verbose=False)
        if trainer.is_global_zero:
            findings = collect(trainer, cfg, run)
            run.finish(findings)
            log_media(trainer, lambda: gallery.draw([findings]), lambda: {"table1": row_of_table1(findings)})
        trainer.strategy.barrier()  # all processes wait until the result is written


def row_of_table1(findings: "Findings") -> dict[str, Any]:
    """Return a run's row of Table 1, without what is unknown."""
    from lit_shift.results import comparison
    from lit_shift.results.frame import frame

    (row,) = comparison.for_csv(comparison.table1(frame([findings]))).to_dict("records")
    known = {name: value for name, value in row.items() if name == "notes" or value == value}
    return known | {"seed": findings.config["seed"], "notes": "; ".join(row["notes"])}


if __name__ == "__main__":
    main()
