"""Files of weights: find, read and unwrap them, and fill networks with them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from lit_shift.data.image_files import some
from lit_shift.utils import torch_files
from lit_shift.utils.errors import InputError, install, unknown
from lit_shift.utils.files import given

# Keys under which others save a state_dict beside other things.
KEPT_UNDER = ("state_dict", "model_state_dict", "model")


def weights_file(weights: str, name: str, published: Iterable[str]) -> Path | None:
    """Return the file that ``weights`` names, or None for random ones."""
    if weights == "random":
        return None
    file = given(weights)
    if not file.suffix and not file.exists():
        raise unknown(f"weights of {name}", weights, [*published, "random", "a file"])
    return file


def built(
    build: Callable[..., nn.Module], state: dict[str, Tensor], file: Path | None, names: Sequence[str] | None
) -> nn.Module:
    """Build a network with the weights of a file and as many outputs as these have, or with random weights."""
    if file is None:
        return build() if names is None else build(num_classes=len(names))
    net = build()
    unwrap(state, net)
    *_, (head, values) = net.state_dict().items()
    outputs = state[head].shape[:1] if head in state else ()
    if outputs and outputs != values.shape[:1]:
        net = build(num_classes=outputs[0])
    fill(net, state, file)
    return net


def read_weights(file: Path) -> dict[str, Tensor]:
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
        raise InputError(f"{file} needs safetensors, which comes with timm: {install('timm')}.") from error
    try:
        return load_file(file)
    except Exception as error:  # safetensors' error has no common base class
        raise InputError(f"{file} cannot be read ({error}).") from error


def unwrap(state: dict[str, Tensor], net: nn.Module) -> None:
    """Strip the prefixes that DataParallel, torch.compile or a LightningModule put before all names of a state_dict."""
    while len(wrappers := {key.partition(".")[:2] for key in state}) == 1:
        wrapper, dot = wrappers.pop()
        if not dot or hasattr(net, wrapper):
            return
        consume_prefix_in_state_dict_if_present(state, f"{wrapper}.")


def fill(net: nn.Module, state: dict[str, Tensor], file: Path) -> None:
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
