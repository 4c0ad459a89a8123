"""The config of eval.py: that of the run it measures, or one for a classifier from elsewhere."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override

from lit_shift.runs.config import CONF, CONF_EVAL
from lit_shift.runs.run import Run
from lit_shift.utils.command import parsed, typed, values, words_of
from lit_shift.utils.errors import InputError

# Groups of a run's config that can change without changing the trained network.
MAY_CHANGE = {"data", "trainer", "callbacks", "logger"}

# Switches that only eval.py has.
SWITCHES: dict[str, Any] = {"ckpt": None, "out": None, "images": None, "figures": True, "skip_bad": False}
SWITCHES |= {"class_of": "label", "classes": "by_name"}  # how the images' classes are matched to the network's
SWITCHES |= {"tta": None, "tta_by": "shift", "tta_vote": "mean", "tta_images": 1000, "tta_seed": 0}

# Options of the logger that W&B's environment variables set.
WANDB = {"mode": "WANDB_MODE", "project": "WANDB_PROJECT", "group": "WANDB_RUN_GROUP"}

HYDRA = {
    "searchpath": [f"file://{CONF_EVAL}"],
    "output_subdir": None,
    "run": {"dir": "."},
    "sweep": {"dir": "evals/.sweep/${now:%Y-%m-%d_%H-%M-%S}-${unique:}", "subdir": "."},
    "callbacks": {"sweep": {"_target_": "lit_shift.cli.sweep.Sweep", "live": False}},
}


def use_config_of_subject(arguments: Sequence[str]) -> None:
    """Make Hydra's config ``eval`` that of the run named by ``ckpt=``, or one for the classifier of ``model=``.

    Raises:
        InputError: neither or both are given, the checkpoint or its config.yaml is missing, a switch that the training
            has settled is given, the network is yet to be trained, or a protocol's option is given without a protocol.
    """
    given = {override.key_or_group: override for override in parsed(words_of(arguments))}
    sweep = bool({"-m", "--multirun"} & set(arguments))
    config: dict[str, Any] = SWITCHES | {"hydra": HYDRA}
    options = [key for key in given if key.startswith("protocol.")]
    if options and "protocol" not in given and ("model" not in given or "tta" in given):
        raise InputError(f"{options[0]} is an option of a protocol: say which, as protocol=embed.")
    protocols = values(given["protocol"]) if "protocol" in given else []
    for chosen in protocols:
        if not chosen or str(chosen).startswith("shared"):
            raise InputError(f"{given['protocol'].input_line} names no protocol: say one, as protocol=embed.")
    if len(protocols) > 1 and not sweep:
        raise InputError(f"Type 'protocol=[{','.join(map(str, protocols))}]', quoted, for several protocols.")
    if "ckpt" in given:
        if given["ckpt"].is_sweep_override():
            name = typed("ckpt", given["ckpt"].get_value_string())
            raise InputError(
                "ckpt takes one run, whose config the others would not have: measure them one by one, or type "
                f"{name} for a name with a comma in it."
            )
        if "model" in given:
            raise InputError("Give ckpt=... for a run, or model=... for a classifier from elsewhere, not both.")
        groups: list[Any] = [{"data": None}, {"logger": None}, {"callbacks": "default"}]
        config = _of_run(given) | config
    elif "model" in given:
        first_model = next(iter(values(given["model"])), None)
        if (CONF / "model" / f"{first_model}.yaml").exists():
            raise InputError(f"model={first_model} is to be trained first: give ckpt=RUN/checkpoints/last.ckpt.")
        groups = [{"data": "imagefolder"}, {"model": first_model}, {"trainer": "default"}, {"logger": "wandb"}]
        config |= {"filter": None, "aug": False, "padding": "circular", "seed": 0, "compile": False}
        config["choices"] = {group: f"${{hydra:runtime.choices.{group}}}" for group in ("data", "model")}
    elif any(argument.startswith("-") for argument in arguments):  # --help needs neither
        groups = []
    else:
        raise InputError("ckpt or model must be given: type ckpt=RUN/checkpoints/last.ckpt, or model=resnet50.")
    # In a sweep, take the first protocol, so that its options are known.
    usual = None if "tta" in given or "model" not in given else "embed"
    groups += [{"protocol": protocols[0] if sweep and protocols else usual}, "_self_"]
    overriding = [{f"override hydra/{name}": "none"} for name in ("job_logging", "hydra_logging")]
    ConfigStore.instance().store(
        "eval", {"defaults": [*groups, *overriding, {"override hydra/help": "eval"}], **config}
    )


def _of_run(given: Mapping[str, Override]) -> dict[str, Any]:
    """Return the config of the run named by ``ckpt=``, without the parts that the command replaces."""
    run = Run.of(str(given["ckpt"].value())).config()
    run["class_names"] = run.pop("classes")  # eval.py's classes= is the way of matching the images' classes to these
    for key in given:
        if key.split(".")[0] in run.keys() - MAY_CHANGE:
            raise InputError(f"{key} is settled by the training; {', '.join(sorted(MAY_CHANGE))} can be changed.")
    for group in ("data", "logger"):
        if group in given:
            del run[group]  # or the run's options would be merged with those of the new choice
    for option, variable in WANDB.items():
        if variable in os.environ and option in (run.get("logger") or {}):
            run["logger"][option] = f"${{oc.env:{variable}}}"  # today's environment, not that of the training
    if "data" in given:
        run["choices"]["data"] = given["data"].value()
    shown = run["callbacks"].get("shown_images", {})
    if shown is not None:
        run["callbacks"]["shown_images"] = shown | {"images": "${images}"}
    return run
