"""Checks of a config's values, and of the files it names, before torch is loaded.

These cover what needs neither torch nor the data. The classes themselves report errors when used from Python.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_shift.choices import (
    CORRECT_CLASSES,
    FILLS,
    INTERPOLATIONS,
    PADDINGS,
    PATHS,
    PRECISIONS,
    SHIFTED_BY,
    UPSAMPLINGS,
    VOTES,
    WANDB_MODES,
)
from lit_shift.filters import FILTERS
from lit_shift.utils.errors import InputError, at_least, number, places, true_or_false, unknown
from lit_shift.utils.files import given, given_folder, split_folders

Check = Callable[[str, Any], object]  # of a key and its value; raises an InputError if the value is invalid

boolean: Check = true_or_false


def whole(least: int) -> Check:
    """Check for a whole number of at least ``least``."""
    return partial(at_least, least)


def real(least: float) -> Check:
    """Check for a number of at least ``least``."""
    return lambda key, value: number(key, value, least)


def share(key: str, value: Any) -> None:
    """Check for a fraction in [0, 1]."""
    if number(key, value, 0) > 1:
        raise InputError(f"{key}={value} must be a fraction, from 0 to 1.")


def one_of(*choices: str) -> Check:
    """Check for one of a few names."""

    def check(key: str, value: Any) -> None:
        if str(value) not in choices:
            raise unknown(key.rpartition(".")[2], value, choices)

    return check


def or_else(word: str | None, check: Check) -> Check:
    """Check that also allows ``word``."""
    return lambda key, value: None if value == word else check(key, value)


def each(check: Check, count: int | None = None) -> Check:
    """Check for a list whose items all pass a check, of length ``count`` if given."""

    def check_all(key: str, value: Any) -> None:
        if not isinstance(value, list) or count not in (None, len(value)):
            example = ",".join("abcd"[: count or 2])
            raise InputError(f"{key}={value} must be a list{f' of {count}' if count else ''}, as '{key}=[{example}]'.")
        for item in value:
            check(key, item)

    return check_all


def one_or_several(key: str, value: Any) -> None:
    """Check for a whole number of at least 1, or a list of these."""
    each(whole(1))(key, value if isinstance(value, list) else [value])


def path(key: str, value: Any) -> None:
    """Check for a path as it was typed; ``1.50`` would be parsed as a number and name another folder."""
    if isinstance(value, float | bool | list | dict):
        raise InputError(f"{key}={value} is not a path: quote one that looks like a number, as '{key}=\"1.50\"'.")


def devices(key: str, value: Any) -> None:
    """Check for a number of devices, a list of their numbers, or ``auto``."""
    words = [str(part) for part in value] if isinstance(value, list) else str(value).split(",")
    if value != "auto" and not (words and all(re.fullmatch("-1|[0-9]+", word.strip()) for word in words)):
        raise InputError(f"{key}={value} must be a whole number, 1 or more, a list of devices' numbers, or auto.")


some_or_all = or_else("all", whole(1))
two_or_all = or_else("all", whole(2))
whole_or_null = or_else(None, whole(1))
SHARE = ("limit_train_batches", "limit_val_batches", "limit_test_batches")

DATA: dict[str, Check] = {
    **dict.fromkeys(("batch_size", "eval_batch_size"), whole(1)),
    **dict.fromkeys(("aug", "flip"), boolean),
    **dict.fromkeys(("val_size", "seed"), whole(0)),
    "padding": one_of(*PADDINGS),
}

# Checks of a config's parts by their class. A custom class has other options.
PARTS: dict[str, dict[str, Check]] = {
    "lit_shift.data.CIFAR10": DATA | {"root": path},
    "lit_shift.data.Digits": DATA,
    "lit_shift.data.ImageFolder": DATA | {"root": path, "size": whole_or_null},
    "lit_shift.models.VGG13": {"width": whole(1), "fourier": boolean, "padding": one_of(*PADDINGS)},
    "lit_shift.pools.MaxPool": {"padding": one_of(*PADDINGS)},
    "lit_shift.pools.AvgPool": {"padding": one_of(*PADDINGS)},
    "lit_shift.pools.MaxPoolBlurDS": {"padding": one_of(*PADDINGS), "filter": one_of(*FILTERS)},
    "torch.optim.SGD": {
        **dict.fromkeys(("lr", "momentum", "weight_decay"), real(0)),
        **dict.fromkeys(("nesterov", "maximize"), boolean),
        **{name: or_else(None, boolean) for name in ("foreach", "fused")},
    },
    "pytorch_lightning.Trainer": {
        **dict.fromkeys(("max_epochs", "accumulate_grad_batches"), whole(1)),
        **dict.fromkeys(SHARE, real(0)),
        "gradient_clip_val": or_else(None, real(0)),
        "devices": devices,
        "precision": one_of(*PRECISIONS),
        "sync_batchnorm": boolean,
    },
    "lit_shift.callbacks.ShiftMeasures": {
        "every_n_epochs": whole(1),
        **dict.fromkeys(("images", "shifts"), whole(2)),
        "seed": whole(0),
    },
    "lit_shift.callbacks.FilterTV": {"every_n_epochs": whole(1)},
    "lit_shift.callbacks.Equivariance": {
        "every_n_epochs": whole(1),
        "images": two_or_all,
        "seed": whole(0),
        "every_layer": boolean,
        "upsampling": one_of(*UPSAMPLINGS),
    },
    "lit_shift.callbacks.ConsistencyReadings": {"images": two_or_all, "seed": whole(0)},
    "lit_shift.callbacks.ShownImages": {
        "images": lambda key, value: places(value),
        **dict.fromkeys(("least_stable", "sample", "seed"), whole(0)),
    },
    "lit_shift.training.wandb_logging.wandb_logger": {"mode": one_of(*WANDB_MODES)},
    "lit_shift.classifiers.zoo.from_python": {
        **dict.fromkeys(("mean", "std"), each(number, 3)),
        "size": whole(1),
        "resize": whole_or_null,
        "interpolation": one_of(*INTERPOLATIONS),
    },
}
# Checks of options outside these parts.
PLAIN: dict[str, Check] = {
    "padding": one_of(*PADDINGS),
    "images": lambda key, value: places(value),
    "class_of": one_of(*CORRECT_CLASSES),
    "tta": whole_or_null,
    "tta_by": one_of(*SHIFTED_BY),
    "tta_vote": one_of(*VOTES),
    "tta_images": some_or_all,
    "tta_seed": whole(0),
    "schedule.milestones": each(share),
    "schedule.gamma": real(0),
    **{f"protocol.{name}": whole_or_null for name in ("size", "canvas", "smallest", "largest", "window", "windows")},
    **{f"protocol.{name}": whole(1) for name in ("draws", "steps", "batch")},
    **{f"protocol.{name}": real(0) for name in ("tolerance", "fraction")},
    "protocol.threshold": share,
    "protocol.top": or_else(None, one_or_several),
    "protocol.sizes": whole(2),
    "protocol.path": one_of(*PATHS),
    "protocol.fill": one_of(*FILLS),
    "protocol.box": or_else(None, each(number, 4)),
    "protocol.images": some_or_all,
    "protocol.layers": boolean,
    "protocol.seed": whole(0),
}


def check_values(config: Mapping[str, Any]) -> None:
    """Check types and ranges of a resolved config's values.

    Raises:
        InputError: an invalid value; names the key to type.
    """
    for key, check in PLAIN.items():
        group, _, name = key.rpartition(".")
        _check((config.get(group) or {}) if group else config, name, key, check)
    for key, part in _parts(config):
        for name, check in PARTS.get(part["_target_"], {}).items():
            _check(part, name, f"{key}.{name}", check)


def _check(part: Mapping[str, Any], name: str, key: str, check: Check) -> None:
    if part.get(name, "???") != "???":  # a missing value may not be needed
        check(key, part[name])


def _parts(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the parts of a config that describe an object, with their keys."""
    for name, part in config.items():
        if isinstance(part, dict):
            if "_target_" in part:
                yield f"{prefix}{name}", part
            yield from _parts(part, f"{prefix}{name}.")


def check_files(config: DictConfig) -> None:
    """Check that the files and folders named by a resolved config exist.

    Raises:
        InputError: one does not exist.
        MissingMandatoryValue: an option that the model or the image folder requires is missing.
    """
    for name in config.model:
        _ = config.model[name]  # OmegaConf raises for a missing value
    plain: Any = OmegaConf.to_container(config)
    protocols = {part["_target_"] for key, part in _parts(plain) if key.startswith("protocol.")}
    if "lit_shift.protocols.Frames" in protocols:
        given_folder(config.protocol.folder, "protocol.folder", "the frames of a video")
    one_by_one = bool(protocols) or config.get("tta") is not None
    if config.data._target_ == "lit_shift.data.ImageFolder" and protocols != {"lit_shift.protocols.Frames"}:
        if one_by_one:
            given_folder(config.data.root, "data.root", "images, or a folder of them per class")
        else:
            split_folders(config.data.root)
    for name in ("weights", "classes"):
        file = config.model.get(name)
        if isinstance(file, str) and given(file).suffix and not given(file).is_file():
            raise InputError(f"model.{name}={file}: there is no file {given(file)}.")
