"""Measure a run or any classifier: ``eval ckpt=RUN``; see ``--help``."""

import sys
from collections.abc import Mapping

import hydra
from omegaconf import DictConfig

from lit_shift.cli.eval_config import add_measured
from lit_shift.cli.explain import plain_errors
from lit_shift.cli.outcomes import Outcomes
from lit_shift.runs.config import CONF, chosen_protocols, settle
from lit_shift.utils.console import say, show
from lit_shift.utils.errors import InputError, true_or_false

outcomes = Outcomes()


def main() -> None:
    """Run the command of ``sys.argv``."""
    with outcomes.told(), plain_errors("eval"):
        add_measured(sys.argv[1:])
        measure_once()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="eval")
def measure_once(cfg: DictConfig) -> None:
    """Measure the classifier given by a config; if it is to be antialiased, with and without that."""
    from lit_shift.results import terminal

    with outcomes.one_run() as job:
        job.check_deaths()
        cfg = settle(cfg)
        if cfg.antialias is None:
            evaluate(cfg, job.command)
            return
        if cfg.out is not None:
            raise InputError("antialias=... measures twice, into a folder each beside the other: leave out=... out.")
        as_it_is = cfg.copy()
        as_it_is.antialias = None
        # Antialiased first, because that is what may be refused.
        after, before = evaluate(cfg, job.command), evaluate(as_it_is, job.command)
        show(terminal.side_by_side({"as it is": before, f"antialias={cfg.antialias}": after}))


def evaluate(cfg: DictConfig, command: str) -> Mapping[str, float]:
    """Measure the classifier given by a settled config, print the results and write them and the config to ``out``.

    Returns:
        The results, as in ``metrics.json``.
    """
    from lit_shift.evaluation import all_shifts, along_paths, by_votes
    from lit_shift.evaluation.folder import out_folder, with_weights, write
    from lit_shift.evaluation.path_module import tell_failures
    from lit_shift.results import terminal
    from lit_shift.results.remarks import remarks
    from lit_shift.training.signals import interrupted, leave_if_interrupted

    for switch in ("figures", "skip_bad"):
        true_or_false(switch, cfg[switch])
    cfg, out, protocols = with_weights(cfg), out_folder(cfg), chosen_protocols(cfg)
    way = along_paths if protocols else all_shifts if cfg.tta is None else by_votes
    with outcomes.measuring(out, protocols or ["all shifts" if cfg.tta is None else "tta"]):
        trainer, findings = way.measure(cfg, out)
        if trainer.is_global_zero:
            show(terminal.measures(findings.metrics))
            for remark in remarks([findings]):
                say(remark)
            write(findings, out, command, stopped_by=interrupted(trainer))
        leave_if_interrupted(trainer)
        tell_failures(trainer)
    return findings.metrics


if __name__ == "__main__":
    main()
