"""Find out what would make a classifier less jagged: ``remedies model=resnet50 data.root=FOLDER``; see ``--help``."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from lit_shift.cli.eval_config import add_measured
from lit_shift.cli.explain import plain_errors
from lit_shift.cli.outcomes import Outcomes
from lit_shift.runs.config import CONF, group, settle
from lit_shift.runs.run import Run
from lit_shift.utils.command import split
from lit_shift.utils.console import say, show
from lit_shift.utils.files import given

outcomes = Outcomes()


def main() -> None:
    """Run the command of ``sys.argv``."""
    with outcomes.told(), plain_errors("remedies"):
        add_measured(sys.argv[1:], usual="embed")
        compare_once()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="remedies")
def compare_once(cfg: DictConfig) -> None:
    """Measure the remedies of the classifier given by a config."""
    with outcomes.one_run() as job:
        compare(settle(cfg), job.command)


def compare(cfg: DictConfig, command: str) -> None:
    """Measure the remedies of the classifier given by a settled config, print and write them."""
    from lit_shift.evaluation import remedied
    from lit_shift.evaluation.folder import with_weights
    from lit_shift.remedies.saving import check_ending, save
    from lit_shift.results.writer import terminal

    if cfg.out not in (None, ""):
        out = given(cfg.out, "out")
    else:
        out = (
            Run.of(cfg.ckpt).folder / "remedies" if cfg.ckpt else Path("remedies") / f"{cfg.choices.data}-{group(cfg)}"
        )
    if cfg.save is not None:
        check_ending(given(cfg.save, "save"))
    measured, advice = remedied.measure(with_weights(cfg))
    show(terminal([remedied.table(measured)]))
    say(advice.sentence)
    if use := remedied.command_for(advice.remedy, split(sys.argv[1:])[1]):
        say(f"The command: {use}")
    remedied.write(measured, advice, cfg, out, command)
    if cfg.save is not None:
        save(measured.remedies, cfg.remedy or advice.remedy.name, given(cfg.save, "save"))


if __name__ == "__main__":
    main()
