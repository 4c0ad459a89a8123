"""Classifiers in ONNX files, run by ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.classifiers.adopted import adopted, seen_as
from lit_shift.classifiers.class_names import read_names
from lit_shift.classifiers.classifier import Classifier
from lit_shift.utils.errors import InputError, install
from lit_shift.utils.files import given

PRECISIONS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def from_onnx(
    path: str,
    mean: Sequence[float],
    std: Sequence[float],
    size: int,
    resize: int | None,
    interpolation: str,
    classes: str | Sequence[str] | None = None,
) -> Classifier:
    """Load a classifier from an ONNX file.

    Args:
        path: the file.
        mean, std, size, resize, interpolation, classes: as for :func:`lit_shift.classifiers.zoo.from_python`.

    Raises:
        InputError: ONNX Runtime is not installed; the file cannot be read or does not map images (N, 3, H, W) of that
            size to logits (N, K); invalid options; other than one name per output.
    """
    view = seen_as(mean, std, size, resize, interpolation)
    names = read_names(classes)
    net = OnnxNetwork(given(path))
    fixed = [side for side in net.sides if side is not None]
    if any(side != size for side in fixed):
        advice = f"say size={fixed[0]}" if len(set(fixed)) == 1 else "only square images can be measured"
        raise InputError(f"size={size}, but {path} takes images of {net.described} pixels: {advice}.")
    return adopted(net, mean, std, view, names)


class OnnxNetwork(nn.Module):
    """The network in an ONNX file: images (N, 3, H, W) -> logits (N, K). It has no layers or parameters that are seen.

    It computes on the CPU, in the file's precision. If the file fixes the size of a batch, images go through it in such
    batches.

    Attributes:
        sides: height and width of the images, each None if it is free.

    Raises:
        InputError: as for :func:`from_onnx`, except for what depends on the size.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"ONNX Runtime is not installed: {install('onnx')}.") from error
        if not file.is_file():
            raise InputError(f"There is no file {file}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors, which are raised as well
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise InputError(f"{file} cannot be read as an ONNX model ({' '.join(str(error).split())}).") from error
        self.file = file
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        taken = ", ".join(f"{each.name} {_shape(each.shape)} of {each.type}" for each in inputs)
        if len(inputs) != 1 or inputs[0].type not in PRECISIONS or not _takes_images(inputs[0].shape):
            raise InputError(
                f"{file} takes {taken}: a single input of images (N, 3, H, W) in floating point is expected."
            )
        if len(outputs) != 1:
            returned = ", ".join(f"{each.name} {_shape(each.shape)}" for each in outputs)
            raise InputError(f"{file} returns {returned}: a single output of logits (N, K) is expected.")
        self.input = inputs[0].name
        self.precision = PRECISIONS[inputs[0].type]
        self.batch, _, *self.sides = [side if isinstance(side, int) else None for side in inputs[0].shape]

    @property
    def described(self) -> str:
        """Height and width of the images, in words."""
        return "x".join("any" if side is None else str(side) for side in self.sides)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits.

        Raises:
            InputError: the images have another size than the file's.
        """
        if any(side not in (None, given) for side, given in zip(self.sides, x.shape[2:], strict=True)):
            raise InputError(f"{self.file} takes images of {self.described} pixels, not of {x.shape[2]}x{x.shape[3]}.")
        parts = [self._computed(part) for part in x.detach().split(self.batch or max(1, len(x)))]
        return torch.cat(parts).to(x)

    def _computed(self, x: Tensor) -> Tensor:
        """Compute logits of at most a batch, filled up with black images."""
        missing = self.batch - len(x) if self.batch else 0
        filled = F.pad(x, (0,) * 7 + (missing,)).cpu().numpy().astype(self.precision)
        (logits,) = self.session.run(None, {self.input: filled})
        return torch.from_numpy(np.asarray(logits))[: len(x)]


def _takes_images(shape: Sequence[int | str | None]) -> bool:
    return len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))


def _shape(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"
