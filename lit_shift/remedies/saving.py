"""A remedied network in a file, verified."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lit_shift.remedies.candidates import Remedy
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, unknown
from lit_shift.utils.files import make_folder

WAYS = (".pt2", ".onnx")


def check_ending(file: Path) -> None:
    """Raise an InputError if the ending names no way of saving."""
    if file.suffix not in WAYS:
        raise InputError(f"save={file} must end in {' or '.join(WAYS)}.")


def save(remedies: Sequence[Remedy], name: str, file: Path) -> None:
    """Write a remedied network, which takes normalised images as before, and check the file against it.

    The number of images is free, and their size if the network takes images of any size.

    Args:
        remedies: those measured.
        name: of the remedy.
        file: ending in ``.pt2``, for torch.export, or ``.onnx``.

    Raises:
        InputError: unknown remedy, one that is no network, a network that cannot be exported, or a file
            whose answers differ.
    """
    named = {remedy.name: remedy for remedy in remedies}
    if name not in named:
        raise unknown("remedy", name, named)
    remedy = named[name]
    if not remedy.is_network:
        networks = ", ".join(each.name for each in remedies if each.is_network)
        raise InputError(f"{name} is no network that could be saved: say remedy=NAME, one of {networks}.")
    make_folder(file.parent, "save")
    net, view = remedy.classifier.net.cpu().eval(), remedy.classifier.view
    # Of the second size no pool can make half, so that a network of circular boundaries refuses it.
    sizes = [(view.height, view.width), (view.height + 33, view.width + 51)]
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(2 + number, 3, *size, generator=generator) for number, size in enumerate(sizes)]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        try:
            _write(net, images, file)
            free = ""
        except Exception:  # whatever the network, or an exporter, has against other sizes
            try:
                _write(net, images[:1], file)
            except InputError:
                raise
            except Exception as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise InputError(f"{name} cannot be exported to {file.suffix} ({reason}).") from error
            free = f", for images of {view.height}x{view.width} pixels"
    say(f"written and verified: {name} in {file}{free}")


class _Answering(nn.Module):
    """A network whose forward pass takes images alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.net(images)
        return answer


def _write(net: nn.Module, images: Sequence[Tensor], file: Path) -> None:
    """Write a network to a file, and compare the file's answers.

    Args:
        images: batches of normalised images; several sizes leave the size free.
    """
    expected = [net(batch) for batch in images]
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    shapes = {"images": free if len(images) > 1 else {0: torch.export.Dim.AUTO}}
    exported = torch.export.export(_Answering(net), (images[0],), dynamic_shapes=shapes)
    if file.suffix == ".pt2":
        torch.export.save(exported, file)
        answer: Callable[[Tensor], Tensor] = torch.export.load(file).module()
    else:
        answer = _as_onnx(exported, images[0], file)
    for batch, right in zip(images, expected, strict=True):
        found = answer(batch)
        if not torch.allclose(right, found, rtol=1e-3, atol=1e-4 * float(right.abs().max())):
            file.unlink()
            difference = float((right - found).abs().max())
            raise InputError(f"The answers of {file} differ from the network's by {difference}.")


def _as_onnx(exported: torch.export.ExportedProgram, x: Tensor, file: Path) -> Callable[[Tensor], Tensor]:
    """Write ONNX, and return a function that computes the file's answers."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - the exporter needs it
    except ImportError as error:
        raise InputError(f"{error.name} is missing: uv pip install onnx onnxscript onnxruntime.") from error
    torch.onnx.export(exported, (x,), file, dynamo=True, external_data=False, verbose=False)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what does not run is said by its error
    session = onnxruntime.InferenceSession(file, options)
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])
