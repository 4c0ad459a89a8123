"""What a run was trained and measured on, in words. Needs no torch."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_shift.runs.config import CONF, NOT_IDENTITY, composed

PAPERS = "cifar10, vgg13 of width 64, 200 epochs"
CIFAR10 = "lit_shift.data.CIFAR10"  # wherever it is kept
CLASSES_OF_CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# What makes a row of the table within a protocol; and what does not change what comes out.
_ROW = ("aug", "seed", "filter", "choices", "classes", "image_size", "pool._partial_", "pool.filter")
_NO_MATTER = (*NOT_IDENTITY, "compile", "callbacks", "optimizer.fused", "trainer.strategy")
# What settles among how many devices a batch is shared when its statistics are taken; see shares.
_SHARES = ("trainer.devices", "trainer.num_nodes", "trainer.sync_batchnorm")
_NAMED = ("model.width", "trainer.max_epochs", "padding")
_SWITCHES = ("aug", "seed", "padding")  # which settle below


def protocol(config: Mapping[str, Any]) -> str:
    """Data, network and epochs of a run, and whatever else is not as ``conf/`` has it by default.

    Two runs have the same words exactly if their configs differ in nothing but pool, filter, augmentation, seed and
    what does not change the result, as the kind of device; how many devices share a batch does. By default ``conf/`` is
    the paper's protocol, :data:`PAPERS`. Of a choice that ``conf/`` does not have, such as data of a user's own YAML,
    the words hold all that it says; a pool of one's own makes another row, not another protocol: see :func:`own_pool`.
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
    """In how many parts a batch meets batch norm: one a device, but one in all where devices share their statistics.

    Args:
        trainer: the config's, or as much of it as there is. A number of devices that only the machine knows, as
            ``auto``, is given back as it is.
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
    """What a pool that ``conf/`` does not have is made of, but for its filter; nothing of one that it has."""
    if _known("pool", config):
        return {}
    return {name: str(value) for name, value in _flat({"pool": config["pool"]}).items()}


def of_cifar10(config: Mapping[str, Any]) -> bool:
    """Whether a run's images are CIFAR-10's, the only ones with which the papers' numbers compare.

    So are those of a folder that have CIFAR-10's ten classes and size.
    """
    if config["data"].get("_target_") == CIFAR10:
        return True
    return sorted(config["classes"]) == CLASSES_OF_CIFAR10 and list(config.get("image_size", ())) == [32, 32]


def _known(group: str, config: Mapping[str, Any]) -> bool:
    return (CONF / group / f"{config['choices'][group]}.yaml").exists()


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config that the run's choices alone would have made, its top-level switches having settled below.

    Of a choice that ``conf/`` does not have, the switches alone; of a pool, all that the run has.
    """
    known = [group for group in ("data", "model", "pool") if _known(group, config)]
    usual = _composed(*(f"{group}={config['choices'][group]}" for group in known))
    # Without the names of the choices, which only a running command can resolve.
    usual = OmegaConf.masked_copy(usual, [str(key) for key in usual if key != "choices"])
    for switch in _SWITCHES:
        usual[switch] = config[switch]
    content: Any = OmegaConf.to_container(usual, resolve=True)
    for group in {"data", "model"} - {*known}:
        content[group] = {name: config[name] for name in _SWITCHES if name in config[group]}
    return content if "pool" in known else content | {"pool": config["pool"]}


@cache
def _composed(*choices: str) -> DictConfig:
    """The default config with these choices."""
    return composed("train", [*choices])


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What matters of a config, by names as ``trainer.max_epochs``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in (*_ROW, *_NO_MATTER) or (name == "data.root" and config["_target_"] == CIFAR10):
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat
