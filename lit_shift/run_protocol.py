"""What a run was trained and measured on, in words. Needs no torch."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from lit_shift.config import NOT_IDENTITY, composed

PAPERS = "cifar10, vgg13 of width 64, 200 epochs"

# What makes a row of the table within a protocol; and what does not change what comes out.
_ROW = ("aug", "seed", "filter", "choices", "classes", "image_size", "pool._target_", "pool._partial_", "pool.filter")
_NO_MATTER = (*NOT_IDENTITY, "compile", "callbacks", "optimizer.fused", "trainer.strategy")
# What settles among how many devices a batch is shared when its statistics are taken; see shares.
_SHARES = ("trainer.devices", "trainer.num_nodes", "trainer.sync_batchnorm")
_NAMED = ("model.width", "trainer.max_epochs", "padding")


def protocol(config: Mapping[str, Any]) -> str:
    """Data, network and epochs of a run, and whatever else is not as ``conf/`` has it by default.

    Two runs have the same words exactly if their configs differ in nothing but pool, filter, augmentation, seed and
    what does not change the result, as the kind of device; how many devices share a batch does. By default ``conf/`` is
    the paper's protocol, :data:`PAPERS`.
    """
    ours, usual = _flat(config), _flat(_defaults(config))
    epochs = ours.get("trainer.max_epochs")
    parts = [
        config["choices"]["data"],
        f"{config['choices']['model'].removesuffix('_slim')} of width {ours.get('model.width')}",
        f"{epochs} epoch{'s' * (epochs != 1)}",
    ]
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


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config that the run's choices alone would have made, its top-level switches having settled below."""
    usual = _composed(*(config["choices"][group] for group in ("data", "model", "pool")))
    if usual is None:
        return {}
    # Without the names of the choices, which only a running command can resolve.
    usual = OmegaConf.masked_copy(usual, [str(key) for key in usual if key != "choices"])
    for switch in ("aug", "seed", "padding"):
        usual[switch] = config[switch]
    content: Any = OmegaConf.to_container(usual, resolve=True)
    return content


@cache
def _composed(data: str, model: str, pool: str) -> DictConfig | None:
    """The default config with these choices; None where one of them is no more."""
    try:
        return composed("train", [f"data={data}", f"model={model}", f"pool={pool}"])
    except HydraException:
        return None


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What matters of a config, by names as ``trainer.max_epochs``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in (*_ROW, *_NO_MATTER) or (name == "data.root" and "CIFAR10" in config["_target_"]):
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat
