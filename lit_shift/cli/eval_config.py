"""The part of eval.py's config that depends on the run or classifier it measures."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override

from lit_shift.runs.run import Run
from lit_shift.utils.command import parsed, split, typed, values
from lit_shift.utils.errors import InputError

# Groups of a run's config that can change without changing the trained network.
MAY_CHANGE = {"data", "trainer", "callbacks", "logger"}

# Options of the logger that W&B's environment variables set.
WANDB = {"mode": "WANDB_MODE", "project": "WANDB_PROJECT", "group": "WANDB_RUN_GROUP"}


def add_measured(arguments: Sequence[str], usual: str | None = None) -> None:
    """Store the config ``measured`` that ``conf/eval.yaml`` includes: that of ``ckpt=``'s run, or ``classifier.yaml``.

    Args:
        arguments: arguments of the command, as typed.
        usual: protocol of a run if none is given; None measures it at all shifts.

    Raises:
        InputError: both or neither of ckpt and model are given, the checkpoint does not exist, the run has no
            config.yaml, a given option was settled by the training, the network must be trained first, or an option of
            a protocol is given without a protocol.
    """
    options, words = split(arguments)
    given = {override.key_or_group: override for override in parsed(words)}
    protocol = _first_protocol(given, options.multirun, usual)
    if "ckpt" in given:
        config = {"defaults": [{"data": None}, {"logger": None}, {"callbacks": "default"}, protocol, "_self_"]}
        config |= _of_run(given)
    elif "model" in given:
        config = {"defaults": ["classifier", protocol]}
    elif options.shows:  # help needs neither
        config = {}
    else:
        raise InputError("ckpt or model must be given: type ckpt=RUN, or model=resnet50.")
    ConfigStore.instance().store("measured", config)


def _first_protocol(given: Mapping[str, Override], sweep: bool, usual: str | None) -> dict[str, Any]:
    """Choose the protocol whose options can be set: the given one, the first one of a sweep, or the default."""
    options = [key for key in given if key.startswith("protocol.")]
    if options and "protocol" not in given and not usual and ("model" not in given or "tta" in given):
        raise InputError(f"{options[0]} is an option of a protocol: say which, as protocol=embed.")
    protocols = values(given["protocol"]) if "protocol" in given else []
    for chosen in protocols:
        if not chosen or str(chosen).startswith("shared"):
            raise InputError(f"{given['protocol'].input_line} names no protocol: say one, as protocol=embed.")
    if len(protocols) > 1 and not sweep:
        raise InputError(f"Type 'protocol=[{','.join(map(str, protocols))}]', quoted, for several protocols.")
    default = usual if "tta" in given or "model" not in given else "embed"
    return {"protocol": protocols[0] if sweep and protocols else default}


def _of_run(given: Mapping[str, Override]) -> dict[str, Any]:
    """Return the config of the run named by ``ckpt=``, without the parts that the command replaces."""
    if given["ckpt"].is_sweep_override():
        name = typed("ckpt", given["ckpt"].get_value_string())
        raise InputError(
            "ckpt takes one run, because runs differ in their configs: measure them one by one, or type "
            f"{name} for a name with a comma in it."
        )
    if "model" in given:
        raise InputError("Give ckpt=... for a run, or model=... for a classifier from elsewhere, not both.")
    run = Run.of(str(given["ckpt"].value())).config()
    run["class_names"] = run.pop("classes")  # classes= of eval.py says how the images' classes are matched to these
    run.pop("antialias", None)  # of the training, not of this measurement
    for key in given:
        if key.split(".")[0] in run.keys() - MAY_CHANGE:
            raise InputError(f"{key} is settled by the training; {', '.join(sorted(MAY_CHANGE))} can be changed.")
    for group in ("data", "logger"):
        if group in given:
            del run[group]  # else Hydra would merge the run's options with those of the new choice
    for option, variable in WANDB.items():
        if variable in os.environ and option in (run.get("logger") or {}):
            run["logger"][option] = f"${{oc.env:{variable}}}"  # the current environment, not that of the training
    if "data" in given:
        run["choices"]["data"] = given["data"].value()
    shown = run["callbacks"].get("shown_images", {})
    if shown is not None:
        run["callbacks"]["shown_images"] = shown | {"images": "${images}"}
    return run
