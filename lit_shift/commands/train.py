"""Train one row of Table 1 and measure it: ``train pool=blur filter=tri5 aug=false``; see ``--help``."""

import hydra
from omegaconf import DictConfig

from lit_shift.cli.explain import plain_errors
from lit_shift.cli.jobs import BEFORE
from lit_shift.cli.outcomes import Outcomes
from lit_shift.cli.tables import runs
from lit_shift.runs.config import CONF, settle
from lit_shift.runs.run import Run
from lit_shift.utils.console import say

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
        if run.finished and run.found():  # found() names damaged files
            say(f"{run.state}: {run.folder}")
            job.note(state=BEFORE)
        else:
            job.check_deaths()
            train(cfg, run)


def train(cfg: DictConfig, run: Run) -> None:
    """Train and test the run given by a settled config, resuming from its checkpoint if there is one."""
    # Imported here, so that --help, finished runs and many mistakes need not wait for torch.
    from lit_shift.evaluation.report import finish
    from lit_shift.training.build import build_data, build_module, build_training, device_name
    from lit_shift.training.wandb_logging import logged

    data = build_data(cfg)
    module = build_module(cfg, data)
    trainer = build_training(cfg, run)
    with run.alone(trainer.is_global_zero), logged(trainer, cfg, run.folder):
        if run.finished:  # by another process in the meantime
            return
        if trainer.is_global_zero:
            run.start(cfg, data.classes, data.image_size, device_name(trainer))
            say(f"{run.state}: {run.folder}")
        trainer.fit(module, data, ckpt_path=run.resume_from)
        trainer.test(module, data, verbose=False)
        if trainer.is_global_zero:
            finish(trainer, cfg, run)
        trainer.strategy.barrier()  # all processes wait until the result is written


if __name__ == "__main__":
    main()
