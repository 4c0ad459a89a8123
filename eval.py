"""Measure a trained run: ``python eval.py ckpt=RUN/checkpoints/last.ckpt``; see ``--help``."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from lit_shift.cli import Outcomes, plain_errors, use_config_of_run
from lit_shift.config import settle
from lit_shift.console import show
from lit_shift.run import Run, make_folder
from lit_shift.tables import measures

outcomes = Outcomes()


@hydra.main(version_base="1.3", config_path="conf", config_name="eval")
def main(cfg: DictConfig) -> None:
    with outcomes.one_run():
        evaluate(settle(cfg))


def evaluate(cfg: DictConfig) -> None:
    """Test the checkpoint, show what is measured and write it to the ``out`` folder, with the config behind it."""
    from lit_shift.build import build_classifier, build_data, build_testing, check_classes
    from lit_shift.callbacks.stop import interrupted, leave_if_interrupted
    from lit_shift.checkpoint import load_weights
    from lit_shift.report import found, keep

    run = Run.of(cfg.ckpt)
    out = Path(cfg.out or run.evaluation(cfg))
    data = build_data(cfg)
    check_classes(cfg, data)
    classifier = build_classifier(cfg, data)
    load_weights(classifier, Path(cfg.ckpt))
    make_folder(out, "out")
    trainer = build_testing(cfg)
    trainer.test(classifier, data, verbose=False)
    if trainer.is_global_zero:
        findings = found(trainer, cfg, run)
        for table in measures(findings.metrics):
            show(table)
        keep(findings, cfg, out, partial=bool(interrupted(trainer)))
    leave_if_interrupted(trainer)


if __name__ == "__main__":
    with plain_errors("eval"):
        use_config_of_run(sys.argv[1:])
        main()
    outcomes.leave()
