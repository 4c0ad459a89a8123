"""Trial of a network: are all shifts at once what the network itself answers?"""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from lit_shift.functional import finite
from lit_shift.orbit.all_shifts import all_shifts, by_phase, orbit_logits, sampled_logits
from lit_shift.orbit.subsampling import INSTEAD
from lit_shift.pools.pool import Pool, outside_pools
from lit_shift.shifts import draw_offsets, roll, seeded
from lit_shift.utils.errors import InputError


def obstacle(model: nn.Module, x: Tensor) -> str:
    """Reason why :func:`orbit_logits` is not exact, in a sentence; empty if it agrees with the model itself.

    A layer that does not commute with shifts causes a difference at one of eight random shifts of an image that varies.
    Images (N, C, H, W) are tried, and noise, which always varies; it is normal, like normalised pixels. Images with
    outputs that are not finite are ignored.
    """
    noise = torch.randn(1, *x.shape[1:], generator=seeded(1)).to(x)
    x = torch.cat([x, noise])
    n, _, height, width = x.shape
    offsets = draw_offsets((n, 8), height, width, seeded(0))
    rows, cols = offsets.to(x.device).unbind(2)
    found = sampled_logits(model, x, offsets)
    try:
        # Few images at a time, since all their shifts take the memory of a batch, but more than one, which fits any.
        every = torch.cat([orbit_logits(model, images) for images in x.split(2)])
    except InputError as error:
        return str(error)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return f"The network cannot compute several shifts stacked in the batch ({reason}). {INSTEAD}"
    orbit = every[torch.arange(n, device=x.device)[:, None], rows, cols]
    told = finite(orbit) | finite(found)
    if not told.any():
        return f"The network answers no image with finite numbers. {INSTEAD}"
    # An error is large or small beside what the shifts change. Rounding is relative to the logits themselves, where one
    # of them may be out of proportion.
    changes = (found - found.mean(1, keepdim=True)).abs().amax((1, 2))[:, None, None]
    usual = found.abs().median(2, keepdim=True).values.maximum(found.abs())
    allowed = 1e-3 * changes + 128 * torch.finfo(found.dtype).eps * usual
    differs = ~((orbit - found).abs() <= allowed).all(2) & told[:, None]
    for image, shift in differs.nonzero().tolist():
        return _where(model, x[image, None], offsets[image, None, shift])
    return ""


def _where(model: nn.Module, image: Tensor, offset: Tensor) -> str:
    """Say which layer is the first not to commute with a shift of an image."""
    height, width = image.shape[-2:]
    with all_shifts(model, image):
        stacked = _outputs(model, image)
    for (name, module, maps), (_, _, found) in zip(stacked, _outputs(model, roll(image, offset)), strict=False):
        if maps.ndim != 2 and (maps.ndim != 4 or found.shape[2:].numel() not in (1, height * width // (len(maps)))):
            continue  # other axes than a map's
        phases = by_phase(maps if maps.ndim == 4 else maps[:, :, None, None], 1)[0]
        stride = len(phases)
        (row, down), (col, right) = (
            (ahead % stride, ahead // stride)
            for ahead in (int(-shift) % side for shift, side in zip(offset[0], (height, width), strict=True))
        )
        expected = phases[row, col].roll((-down, -right), (1, 2)).view_as(found[0])
        if not torch.allclose(expected, found[0], rtol=0, atol=1e-3 * float(found.abs().max())):
            return (
                f"The network does not commute with shifts: {name} ({type(module).__name__}), or a function just "
                f"before it, is the first to give another result for a shifted image. {INSTEAD}"
            )
    return f"The network does not commute with shifts, though each of its layers does. {INSTEAD}"


@torch.no_grad()
def _outputs(model: nn.Module, x: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Return the outputs of the model's pools and of its modules without children, in order of execution."""
    found: list[tuple[str, nn.Module, Tensor]] = []
    with ExitStack() as stack:
        for name, module in outside_pools(model):
            if isinstance(module, Pool | nn.Conv2d) or next(module.children(), None) is None:

                def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                    if isinstance(output, Tensor):
                        found.append((name, module, output.clone()))

                stack.enter_context(module.register_forward_hook(note))
        model(x)
    return found
