"""A remedied network in a file, verified."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lit_shift.remedies.candidates import Remedy
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, unknown
from lit_shift.utils.files import make_folder

WAYS = (".pt2", ".onnx")


def save(remedies: Sequence[Remedy], name: str, file: Path) -> None:
    """Write a remedied network, which takes normalised images as before, and check the file against it.

    Args:
        remedies: those measured.
        name: of the remedy.
        file: ending in ``.pt2``, for torch.export, or ``.onnx``. The number of images is free, their size is not.

    Raises:
        InputError: unknown remedy, one that is no network, another ending, or a file whose answers differ.
    """
    named = {remedy.name: remedy for remedy in remedies}
    if name not in named:
        raise unknown("remedy", name, named)
    remedy = named[name]
    if not remedy.is_network:
        networks = ", ".join(each.name for each in remedies if each.is_network)
        raise InputError(f"{name} is no network that could be saved: say remedy=NAME, one of {networks}.")
    if file.suffix not in WAYS:
        raise InputError(f"save={file} must end in {' or '.join(WAYS)}.")
    make_folder(file.parent, "save")
    net = remedy.classifier.net.cpu().eval()
    view = remedy.classifier.view
    x = torch.randn(2, 3, view.height, view.width, generator=torch.Generator().manual_seed(0))
    answer: nn.Module
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("images")},))
        if file.suffix == ".pt2":
            torch.export.save(exported, file)
            answer = torch.export.load(file).module()
        else:
            answer = _as_onnx(exported, x, file)
        expected, found = net(x), answer(x)
    if not torch.allclose(expected, found, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
        file.unlink()
        raise InputError(f"The answers of {file} differ from the network's by {float((expected - found).abs().max())}.")
    say(f"written and verified: {name} in {file}")


def _as_onnx(exported: torch.export.ExportedProgram, x: Tensor, file: Path) -> nn.Module:
    """Write ONNX, and return a function that computes the file's answers."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - the exporter needs it
    except ImportError as error:
        raise InputError(f"{error.name} is missing: uv pip install onnx onnxscript onnxruntime.") from error
    torch.onnx.export(exported, (x,), file, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(file)

    class Runs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
            return torch.from_numpy(answer)

    return Runs()
