"""Trained classifiers from elsewhere: torchvision's, timm's, and any made by a function of the user."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torchvision import models

from lit_shift.classifiers.class_names import INSTALL_TIMM, class_names, read_names
from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.image_files import some
from lit_shift.data.view import INTERPOLATIONS, View
from lit_shift.utils import torch_files
from lit_shift.utils.errors import InputError, at_least, one_of, unknown
from lit_shift.utils.files import given
from lit_shift.utils.imports import function

Classes = str | Sequence[str] | None

# Keys under which others save a state_dict beside other things.
KEPT_UNDER = ("state_dict", "model_state_dict", "model")


def from_torchvision(name: str, weights: str, classes: Classes = None) -> Classifier:
    """Load a torchvision classifier, with the preprocessing that its weights were tested with.

    Args:
        name: one of ``torchvision.models``.
        weights: the name of published weights, ``DEFAULT`` for the best; a file; or ``random``. A file named like
            published weights gets their preprocessing, any other that of ``DEFAULT``.
        classes: see :func:`lit_shift.classifiers.class_names.read_names`; for None, see ``class_names`` there.

    Raises:
        InputError: unknown name; weights that cannot be downloaded or do not fit; other than one name per output.
    """
    _check_name("torchvision model", name, models.list_models(module=models))
    names = read_names(classes)
    every: Any = models.get_model_weights(name)
    published = {"DEFAULT": every.DEFAULT} | {one.name: one for one in every if one.meta["categories"]}
    if weights in published:
        source = published[weights]
        try:
            net = models.get_model(name, weights=source)
        except (OSError, RuntimeError) as error:  # RuntimeError: the checksum differs
            raise _not_downloaded(name, error, source.url) from error
    else:
        file = _file(weights, name, published)
        state = _read(file) if file else {}
        alike = (one for one in published.values() if file and file.name == Path(one.url).name)
        source = next(alike, every.DEFAULT)
        net = _made(partial(_torchvision_net, name, source, state), state, file, names)
    tested = source.transforms()
    (side,), (resize,) = tested.crop_size, tested.resize_size
    return _classifier(net, tested.mean, tested.std, View(side, side, resize, tested.interpolation.value), names)


def _torchvision_net(name: str, source: Any, state: Collection[str], **options: Any) -> nn.Module:
    """Build a network that published weights fit, without loading them."""
    if name.startswith("vit"):
        options["image_size"] = source.meta["min_size"][0]
    if name in ("googlenet", "inception_v3"):  # with auxiliary heads that matter only in training
        heads = any("aux" in key.lower() for key in state)
        options |= {"transform_input": True, "init_weights": not state, "aux_logits": heads}
    return models.get_model(name, weights=None, **options)


def from_timm(name: str, weights: str, classes: Classes = None) -> Classifier:
    """Load a timm classifier, with the preprocessing that its weights were tested with, but always a central crop.

    Args:
        name: timm's name, with or without the tag of its weights (``resnet50.a1_in1k``).
        weights: ``DEFAULT`` for the published ones; a file, ``.safetensors`` or saved by torch; or ``random``.
        classes: as for :func:`from_torchvision`.

    Raises:
        InputError: as for :func:`from_torchvision`; timm is not installed; or the network has no outputs.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError(f"timm is not installed: {INSTALL_TIMM}.") from error
    _check_name("timm model", name, [*timm.list_models(), *timm.list_pretrained()])
    names = read_names(classes)
    if weights == "DEFAULT":
        if not timm.is_model_pretrained(name):
            raise InputError(f"timm publishes no weights of {name}: say weights=FILE or weights=random.")
        try:
            net = timm.create_model(name, pretrained=True)
        except OSError as error:
            where: Any = timm.get_pretrained_cfg(name)
            url = f"https://huggingface.co/{where.hf_hub_id}" if where.hf_hub_id else where.url
            raise _not_downloaded(name, error, url) from error
    else:
        file = _file(weights, name, ["DEFAULT"])
        net = _made(partial(timm.create_model, name), _read(file) if file else {}, file, names)
    if not net.num_classes:
        raise InputError(f"timm's {name} does not classify: it has no outputs.")
    tested = timm.data.resolve_model_data_config(net)
    _, height, width = tested["input_size"]
    resize = math.floor(min(height, width) / tested["crop_pct"])
    return _classifier(net, tested["mean"], tested["std"], View(height, width, resize, tested["interpolation"]), names)


def from_python(
    target: str,
    mean: Sequence[float],
    std: Sequence[float],
    size: int,
    resize: int | None,
    interpolation: str,
    classes: Classes = None,
    weights: str | None = None,
) -> Classifier:
    """Load a classifier made by a function of the user.

    Args:
        target: ``module:function``, in the current folder or installed. Called without arguments, it returns a network
            or a :class:`lit_shift.classifiers.classifier.Classifier`. For a Classifier, all options below are ignored
            except ``weights``.
        mean: of each channel, for pixels in [0, 1], (3,).
        std: likewise.
        size: side of the network's square input.
        resize: see :class:`lit_shift.data.view.View`.
        interpolation: likewise.
        classes: as for :func:`from_torchvision`.
        weights: a file; None keeps the weights that the function sets.

    Raises:
        InputError: no such function, a result that is no network, weights that do not fit, invalid options.
    """
    made = function(target)()
    net = made.net if isinstance(made, Classifier) else made
    if not isinstance(net, nn.Module):
        raise InputError(f"target={target} returns a {type(net).__name__}, not a torch.nn.Module.")
    if weights is not None:
        file = given(weights)
        state = _read(file)
        _unwrap(state, net)
        _fill(net, state, file)
    if isinstance(made, Classifier):
        return made
    for key, values in (("mean", mean), ("std", std)):
        if not isinstance(values, Sequence) or len(values) != 3:
            raise InputError(f"{key}={values} must be three numbers, one for each channel.")
    one_of(INTERPOLATIONS, "interpolation", interpolation)
    at_least(1, "size", size)
    if resize is not None:
        at_least(1, "resize", resize)
    return _classifier(net, mean, std, View(size, size, resize, interpolation), read_names(classes))


def _check_name(kind: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = get_close_matches(str(name), names, n=5, cutoff=0)
        raise InputError(f"Unknown {kind} {name!r}. The nearest of {len(names)}: {', '.join(near)}.")


def _not_downloaded(name: str, error: Exception, url: str) -> InputError:
    return InputError(
        f"The weights of {name} could not be downloaded ({error.__cause__ or error}): fetch them from {url} on another "
        "machine and say weights=FILE."
    )


def _file(weights: str, name: str, published: Iterable[str]) -> Path | None:
    """Return the file that ``weights`` names, or None for random ones."""
    if weights == "random":
        return None
    file = given(weights)
    if not file.suffix and not file.exists():
        raise unknown(f"weights of {name}", weights, [*published, "random", "a file"])
    return file


def _made(
    build: Callable[..., nn.Module], state: dict[str, Tensor], file: Path | None, names: Sequence[str] | None
) -> nn.Module:
    """Build a network with the weights of a file and as many outputs as these have, or with random weights."""
    if file is None:
        return build() if names is None else build(num_classes=len(names))
    net = build()
    _unwrap(state, net)
    *_, (head, values) = net.state_dict().items()
    outputs = state[head].shape[:1] if head in state else ()
    if outputs and outputs != values.shape[:1]:
        net = build(num_classes=outputs[0])
    _fill(net, state, file)
    return net


def _read(file: Path) -> dict[str, Tensor]:
    """Read the state_dict in a file.

    Raises:
        InputError: the file does not exist or holds no state_dict.
    """
    content = _read_safetensors(file) if file.suffix == ".safetensors" else torch_files.read(file)
    for key in KEPT_UNDER:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{file} holds no weights: a state_dict is expected, by itself or as {', '.join(KEPT_UNDER)}.")
    for key in list(content):  # torchvision's published DenseNets have parameter names that modules no longer allow
        content[re.sub(r"(denselayer\d+\.(norm|conv))\.([12]\.)", r"\1\3", key)] = content.pop(key)
    return content


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{file} needs safetensors, which comes with timm: {INSTALL_TIMM}.") from error
    try:
        return load_file(file)
    except Exception as error:  # safetensors' error has no common base class
        raise InputError(f"{file} cannot be read ({error}).") from error


def _unwrap(state: dict[str, Tensor], net: nn.Module) -> None:
    """Strip the prefixes that DataParallel, torch.compile or a LightningModule put before all names of a state_dict."""
    while len(wrappers := {key.partition(".")[:2] for key in state}) == 1:
        wrapper, dot = wrappers.pop()
        if not dot or hasattr(net, wrapper):
            return
        consume_prefix_in_state_dict_if_present(state, f"{wrapper}.")


def _fill(net: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """Load a state_dict into a network.

    Raises:
        InputError: it does not fit. The message names the first mismatches.
    """
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{file} does not fit the network: {_mismatches(state, net.state_dict())}.") from error


def _mismatches(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    shapes = [
        f"{key} ({_shape(theirs[key])} for {_shape(ours[key])})"
        for key in ours
        if key in theirs and theirs[key].shape != ours[key].shape
    ]
    missing = [key for key in ours if key not in theirs]
    surplus = [key for key in theirs if key not in ours]
    kinds = {"different shape": shapes, "missing": missing, "unexpected": surplus}
    return "; ".join(f"{kind}: {some(keys, most=3)}" for kind, keys in kinds.items() if keys)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _classifier(
    net: nn.Module, mean: Sequence[float], std: Sequence[float], view: View, names: list[str] | None
) -> Classifier:
    """Make a classifier, after a first forward pass that finds the number of outputs."""
    try:
        with torch.no_grad():
            logits = net.cpu().eval()(torch.zeros(1, 3, view.height, view.width))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"The network cannot take an image of {view.height}x{view.width} pixels ({reason})."
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(f"The network returns {_described(logits)} for an image, not logits (1, K).")
    return Classifier(net, mean, std, class_names(names, logits.shape[1]), view)


def _described(output: object) -> str:
    return f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
