"""What the server of forks has done before it forks a command, since it takes longer than most commands do."""

import atexit
import gc

import matplotlib.backends.backend_agg  # noqa: F401
import PIL.Image
import torch._decomp.decompositions_for_jvp  # noqa: F401 - as the first derivative in forward mode does
import wandb.sdk.launch  # noqa: F401 - as a run does that logs to W&B
from hydra._internal.hydra import Hydra

import lit_shift.callbacks
import lit_shift.cli.eval_config
import lit_shift.cli.explain
import lit_shift.commands.eval
import lit_shift.commands.train
import lit_shift.consistency_variants
import lit_shift.evaluation.all_shifts
import lit_shift.evaluation.along_paths
import lit_shift.evaluation.by_votes
import lit_shift.results.remarks
import lit_shift.results.terminal
import lit_shift.training.build  # noqa: F401
from lit_shift.runs.config import composed

composed("train", [])  # for Hydra's parser and its plugins
# Hydra composes each config twice, first only to see if hydra.mode is set in it, which no test does.
Hydra.get_mode = lambda *_, **__: None
PIL.Image.init()
gc.enable()
gc.collect()
gc.freeze()  # else each command would look through all of this whenever it collects garbage, and so copy its pages
gc.set_threshold(20_000, 20, 20)  # most commands end before there is much
atexit.register(gc.unfreeze)  # else nanobind complains of what is left
