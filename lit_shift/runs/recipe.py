"""Description, in words, of how a run was trained and measured. Needs no torch."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_shift.runs.config import CONF, NOT_IDENTITY, composed, flat

PAPERS = "cifar10, vgg13 of width 64, 200 epochs"
CIFAR10 = "lit_shift.data.CIFAR10"
DOWNLOADED = (CIFAR10, "lit_shift.data.CIFAR100")  # the same wherever their files are
CLASSES_OF_CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# Options that make a row within a recipe, and options that do not change the result.
_ROW = ("aug", "seed", "filter", "choices", "classes", "image_size", "pool._partial_", "pool.filter")
_NO_MATTER = (*NOT_IDENTITY, "compile", "callbacks", "optimizer.fused", "trainer.strategy", "trainer.benchmark")
# Options that determine among how many devices a batch is split for batch norm; see :func:`shares`.
_SHARES = ("trainer.devices", "trainer.num_nodes", "trainer.sync_batchnorm")
_NAMED = ("model.width", "trainer.max_epochs", "padding")
_SWITCHES = ("aug", "seed", "padding")  # resolved into the groups


def recipe(config: Mapping[str, Any]) -> str:
    """Describe data, network and epochs of a run, and every other setting that differs from the defaults of ``conf/``.

    Two runs have the same description exactly if their configs differ only in pool, filter, augmentation, seed and
    settings that do not change the result, such as the kind of device. (The number of devices sharing a batch does.)
    The defaults of ``conf/`` are the paper's recipe, :data:`PAPERS`. For a choice that ``conf/`` does not have, such as
    data in a user's own YAML, all its settings are listed. A custom pool makes another row, not another recipe: see
    :func:`own_pool`.
    """
    ours, usual = _flat(config), _flat(_defaults(config))
    epochs = ours.get("trainer.max_epochs")
    parts = [
        config["choices"]["data"],
        config["choices"]["model"].removesuffix("_slim"),
        f"{epochs} epoch{'s' * (epochs != 1)}",
    ]
    if "model.width" in ours:
        parts[1] += f" of width {ours['model.width']}"
    if ours.get("padding") != "circular":
        parts.append(f"padding {ours.get('padding')}")
    if (number := shares(config["trainer"])) != 1:
        parts.append(f"batch norm over {number} devices' shares of a batch")
    names = [name for name in sorted({*ours, *usual}) if name not in (*_NAMED, *_SHARES)]
    parts += [f"{name}={ours.get(name)}" for name in names if ours.get(name) != usual.get(name)]
    return ", ".join(parts)


def shares(trainer: Mapping[str, Any]) -> int | str:
    """Number of parts of a batch that batch norm sees separately: one per device, or 1 if devices share statistics.

    Args:
        trainer: the config's trainer section, or part of it. A number of devices that only the machine knows, such as
            ``auto``, is returned as it is.
    """
    if trainer.get("sync_batchnorm"):
        return 1
    devices = trainer.get("devices", 1)
    if isinstance(devices, str) and "," in devices:
        devices = [device for device in devices.split(",") if device.strip()]
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        devices = len(devices)
    if not str(devices).isdecimal():  # auto, or -1 for all
        return str(devices)
    return int(devices) * trainer.get("num_nodes", 1)


def own_pool(config: Mapping[str, Any]) -> dict[str, str]:
    """Settings, without the filter, of a pool that ``conf/`` does not have; empty for one that it has."""
    if _known("pool", config):
        return {}
    return {name: str(value) for name, value in _flat({"pool": config["pool"]}).items()}


def of_cifar10(config: Mapping[str, Any]) -> bool:
    """True if a run's images are CIFAR-10's, the only ones for which the papers' numbers are comparable.

    An image folder with CIFAR-10's ten classes and image size counts as well.
    """
    if config["data"].get("_target_") == CIFAR10:
        return True
    return sorted(config["classes"]) == CLASSES_OF_CIFAR10 and list(config.get("image_size", ())) == [32, 32]


def _known(group: str, config: Mapping[str, Any]) -> bool:
    return (CONF / group / f"{config['choices'][group]}.yaml").exists()


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Config that the run's choices alone would give, with the run's top-level switches.

    Choices that ``conf/`` does not have contribute only these switches; a pool contributes all of its settings.
    """
    known = [group for group in ("data", "model", "pool") if _known(group, config)]
    usual = _composed(*(f"{group}={config['choices'][group]}" for group in known))
    # Without the names of the choices, which can be resolved only while a command runs.
    usual = OmegaConf.masked_copy(usual, [str(key) for key in usual if key != "choices"])
    for switch in _SWITCHES:
        usual[switch] = config[switch]
    content: Any = OmegaConf.to_container(usual, resolve=True)
    for group in {"data", "model"} - {*known}:
        content[group] = {name: config[name] for name in _SWITCHES if name in config[group]}
    return content if "pool" in known else content | {"pool": config["pool"]}


@cache
def _composed(*choices: str) -> DictConfig:
    """Compose the default config with these choices."""
    return composed("train", [*choices])


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the settings that matter, with names such as ``trainer.max_epochs``."""
    no_matter = [*_ROW, *_NO_MATTER]
    if config.get("data", {}).get("_target_") in DOWNLOADED:
        no_matter.append("data.root")
    if "target" in config.get("model", {}):  # the model's name
        no_matter += ["model.target", "model._target_"]
    beginnings = tuple(f"{name}." for name in no_matter)
    return {name: value for name, value in flat(config).items() if not f"{name}.".startswith(beginnings)}
