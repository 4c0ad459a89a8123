"""The config of a command: composed, resolved, named; and errors of its sections. Needs no torch."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from lit_shift.filters import FILTERS
from lit_shift.utils.errors import InputError, as_typed, one_of
from lit_shift.utils.files import given

PACKAGE = Path(__file__).parents[1]
# In an installed package, or beside it in the repository.
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.with_name("conf")) if folder.is_dir())

OWN = "own"  # in place of a pool's name: a network trained elsewhere has its own
FROM_PYTHON = "lit_shift.classifiers.zoo.from_python"
# Options that do not change a run's results beyond rounding.
NOT_IDENTITY = (
    "logger",
    "runs",
    "fresh",
    "steps_at_once",
    "data.eval_batch_size",
    "model.fourier",
    "trainer.accelerator",
)


def composed(name: str, overrides: list[str], config_dir: str | None = None) -> DictConfig:
    """Compose a config of ``conf/`` as a command with these overrides would, without resolving it.

    The config of a running command is kept.

    Args:
        config_dir: a folder with groups of the user's own, as in ``--config-dir``.

    Raises:
        HydraException: whatever Hydra finds wrong.
    """
    if config_dir is not None:
        overrides = [f"hydra.searchpath=['file://{Path(config_dir).absolute()}']", *overrides]
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(name, overrides)
    finally:
        GlobalHydra.instance().hydra = running


def check_names(folder: Path) -> None:
    """Raise an InputError if a YAML of the user's own has the name of one of the package's, which Hydra would take."""
    for file in sorted(folder.rglob("*.yaml")):
        if (CONF / file.relative_to(folder)).exists():
            raise InputError(
                f"{file} has the name of a choice that lit_shift has itself, {file.parent.name}={file.stem}: rename it."
            )


def settle(cfg: DictConfig) -> DictConfig:
    """Resolve the config. ``filter`` is passed to the pool, if it takes one.

    The values are checked by the classes that they configure.

    Raises:
        InputError: a name in ``--config-dir`` that is taken, an unknown filter, a filter for a pool that takes none, or
            a model for another command.
    """
    if HydraConfig.initialized():
        for source in HydraConfig.get().runtime.config_sources:
            if source.provider == "command-line":  # --config-dir
                check_names(Path(source.path))
        experiment = HydraConfig.get().runtime.choices.get("experiment")
        if experiment == "finetune" and cfg.init is None and not is_from_elsewhere(cfg):
            raise InputError(
                "experiment=finetune starts from trained weights: say init=RUN, or model=NAME for a network trained "
                "elsewhere."
            )
    if "sweep" in cfg:
        raise InputError("The sweep's YAML in conf/sweep/ must begin with the line '# @package _global_'.")
    name, is_trained = cfg.choices.model, is_from_elsewhere(cfg)
    if "pool" in cfg and cfg.model._target_ == FROM_PYTHON:  # to be trained: made with the pool, as it is said there
        name, is_trained = cfg.model.target, False
        usual, typed = (
            OmegaConf.load(CONF / "model" / "python.yaml"),
            {k: v for k, v in cfg.model.items() if k != "target"},
        )
        if unused := [key for key, value in typed.items() if key in usual and value != usual[key]]:
            raise InputError(
                f"model.{unused[0]} describes a trained network, for eval.py: to train one, leave it out. Options of "
                "your own function are typed with a plus, as +model.width=32."
            )
        own = {key: value for key, value in typed.items() if key not in usual}
        cfg.model = {"_target_": "lit_shift.models.python.from_function", "target": name, **own}
        cfg.choices.model = name
    if "pool" in cfg and is_trained:  # to be trained further
        if "weights" not in cfg.model:
            raise InputError(f"model={name} cannot be trained further: measure it by eval.py.")
        if cfg.choices.pool not in ("max", OWN):  # the former is the default
            raise InputError(f"model={name} has pools of its own: antialias=FILTER changes them, not pool=.")
        cfg.pool = {}
        cfg.choices.pool, cfg.choices.model = OWN, _name(cfg)
    if "pool" not in cfg and cfg.model._target_.startswith("lit_shift.models."):
        raise InputError(f"model={name} is to be trained first: give ckpt=RUN.")
    if "pool" in cfg:  # blur-tri3 is short for pool=blur filter=tri3
        base, _, short_for = cfg.choices.pool.rpartition("-")
        if short_for in FILTERS and (CONF / "pool" / f"{cfg.choices.pool}.yaml").exists():
            if cfg.get("filter") not in (None, short_for):
                raise InputError(
                    f"pool={cfg.choices.pool} has its filter in its name: type pool={base} filter={cfg.filter}."
                )
            cfg.choices.pool = base
    if cfg.get("filter") is not None:
        pool = cfg.choices.pool
        one_of(FILTERS, "filter", cfg.filter)
        if "filter" not in cfg.pool:
            raise InputError(
                f"pool={pool} takes no filter. Type pool=blur filter={cfg.filter} for max pooling with that "
                f"low-pass filter, or pool={pool} alone. (A pool takes one where its YAML has a line 'filter: ...'.)"
            )
        cfg.pool.filter = cfg.filter
    if "filter" in cfg and "pool" in cfg:
        cfg.filter = cfg.pool.get("filter")  # so that filter=tri5 and the pool's default tri5 are the same config
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    if "ckpt" not in content:
        # A run's config holds these only if they are given; eval.py has an antialias=... of its own.
        init, surgery = content.pop("init", None), content.pop("antialias", None)
        if init is not None:
            content["init"] = str(given(init, "init"))
        if surgery is not None:
            content["surgery"] = one_of(FILTERS, "antialias", surgery)
    resolved: Any = OmegaConf.create(content)
    return resolved


def is_from_elsewhere(cfg: DictConfig) -> bool:
    """True if ``cfg.model`` is a trained classifier from elsewhere."""
    return bool(cfg.model._target_.startswith("lit_shift.classifiers."))


def chosen_protocols(cfg: DictConfig) -> list[str]:
    """Return the names of the chosen protocols. ``cfg.protocol`` also holds options, and may be missing."""
    options = cfg.protocol if "protocol" in cfg else {}
    return [str(key) for key, part in options.items() if isinstance(part, DictConfig) and "_target_" in part]


def names_in(cfg: DictConfig, section: str) -> dict[str, str]:
    """Return the options of a section by the names of its class's arguments, as they are typed: ``data.size``.

    An option that has the value of a switch of the same name, such as ``aug``, is the switch.
    """
    switches: Any = OmegaConf.to_container(cfg)
    options: Any = OmegaConf.to_container(OmegaConf.select(cfg, section))
    return {
        name: name if name in switches and switches[name] == value else f"{section}.{name}"
        for name, value in options.items()
    }


@contextmanager
def in_section(cfg: DictConfig, section: str) -> Iterator[None]:
    """Re-raise any error in building a section of the config as an InputError that names its options or the section."""
    try:
        with as_typed(names_in(cfg, section)):
            try:
                yield
            except InstantiationException as error:
                raise error.__cause__ or error from None
    except (InputError, MissingMandatoryValue):
        raise
    except Exception as error:
        raise InputError(f"The config's {section!r} does not work: {error} ({type(error).__name__}).") from error


def label(cfg: DictConfig) -> str:
    """Short name of a run (pool, filter, augmentation, seed) or a classifier, with the suffix of :func:`variant`."""
    seed = f"-s{cfg.seed}" if "pool" in cfg else ""
    return f"{_label(cfg)}{seed}{variant(cfg)}"


def variant(config: Mapping[str, Any] | DictConfig) -> str:
    """Suffix for the folder of a classifier that is antialiased before it is measured, or that votes; else empty.

    ``-antialias-<filter>``, with the order and padding if they are unusual, and ``-tta<k>-<by>-<vote>-s<seed>``.
    """
    changes = []
    if config.get("antialias") is not None:
        usual = ("dense_first", None)
        given = (config["antialias_order"], config["antialias_padding"])
        changes += ["antialias", config["antialias"], *(own for own, by in zip(given, usual, strict=True) if own != by)]
    if "protocol" in config and config["tta"] is not None:  # without a protocol the gain is measured for several k
        changes.append("tta{tta}-{tta_by}-{tta_vote}-s{tta_seed}".format_map(config))
    return "".join(f"-{change}" for change in changes)


def group(cfg: DictConfig) -> str:
    """Name shared by runs that differ only by seed, or by measurements of one classifier on the same data."""
    if "pool" not in cfg:
        plain: Any = OmegaConf.to_container(cfg)  # unresolved: a video needs no data, whose folder may be missing
        return f"{_label(cfg)}-{identity(OmegaConf.create({'model': plain['model'], 'data': images_of(plain)}))}"
    alike = cfg.copy()
    alike.seed = alike.data.seed = None
    return f"{_label(cfg)}-{identity(alike)}"


def _label(cfg: DictConfig) -> str:
    if "pool" not in cfg:  # a classifier from elsewhere
        name = _name(cfg)
        weights = str(cfg.model.weights) if "weights" in cfg.model else ""
        return f"{name}-{Path(weights).stem}" if weights == "random" or Path(weights).suffix else name
    surgery = f"antialias-{cfg.surgery}" if "surgery" in cfg else None
    pool = cfg.choices.model if is_from_elsewhere(cfg) else cfg.choices.pool
    parts = [pool, cfg.pool.get("filter"), surgery, "aug" if cfg.aug else "noaug"]
    return "-".join(part for part in parts if part)


def _name(cfg: DictConfig) -> str:
    """Name of a classifier from elsewhere: of its function, its file or itself; else that of the choice."""
    options = cfg.model.keys()  # a missing value still has its key, and reading it raises the right error
    if "target" in options:
        return str(cfg.model.target).replace(":", ".")
    if "path" in options:
        return Path(str(cfg.model.path)).stem
    return str(cfg.model.name if "name" in options else cfg.choices.model)


def images_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Part of a config that identifies its images: the data without batch sizes."""
    return {key: value for key, value in config["data"].items() if key != "eval_batch_size"}


def identity(cfg: DictConfig) -> str:
    """Eight hexadecimal digits that hash everything in the config except :data:`NOT_IDENTITY`."""
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    for name in NOT_IDENTITY:
        group, _, key = name.rpartition(".")
        (content.get(group, {}) if group else content).pop(key, None)
    return digest(content)


def digest(content: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of a content's hash."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a config's options by dotted names such as ``trainer.max_epochs``."""
    options: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        options |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return options
