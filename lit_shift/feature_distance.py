"""Distance of a layer's features from equivariance and from invariance to shifts (Zhang, section 4.2.1)."""

import torch
from torch import Tensor

from lit_shift.upsampling import Upsampling, overlaps


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """Cosine distance between corresponding arrays, each flattened to one vector.

    Args:
        a: (N, ...)
        b: same shape.

    Returns:
        (N,) float64 in [0, 2]. The distance between two zero vectors is 0, between a zero and a nonzero vector 1.
    """
    a, b = a.double().flatten(1), b.double().flatten(1)
    return _cosine_distance((a * b).sum(1), a.square().sum(1), b.square().sum(1))


def _cosine_distance(dot: Tensor, squares_a: Tensor, squares_b: Tensor) -> Tensor:
    norms = (squares_a * squares_b).sqrt()
    return torch.where(norms > 0, 1 - dot / norms, (squares_a != squares_b).double()).clamp(min=0)


def equivariance_distance(phases: Tensor, upsampling: Upsampling = "fourier") -> Tensor:
    """Cosine distance between a layer's shifted map and its map of the shifted image, at every shift.

    A map of stride S is brought to the image's resolution by ``upsampling``. Shifting by multiples of S then affects
    both sides alike, so the distance depends only on the shift modulo S. With ``fourier``, a map that is determined by
    its samples (shiftable, in the sense of Azulay & Weiss) has distance 0.

    Args:
        phases: (N, S, S, C, h, w), as shown by :class:`lit_shift.orbit.all_shifts.LayersAtAllShifts`:
            ``[n, r, c]`` is the map of image n rolled by ``(-r, -c)``.
        upsampling: one of :data:`lit_shift.upsampling.UPSAMPLINGS`.

    Returns:
        (N, S, S) float64 in [0, 2]: ``[n, h, w]`` for the shifts ``(h, w)`` modulo S.

    Source: Zhang, section 4.2.1 and Fig. 4.
    """
    n, stride = phases.shape[:2]
    if stride == 1:  # both sides are the same map
        return torch.zeros(n, 1, 1, dtype=torch.float64, device=phases.device)
    maps = phases.double()
    rows, cols = (overlaps(size, stride, upsampling).to(maps.device) for size in maps.shape[-2:])
    origin = torch.einsum("rij,nkjw->nrkiw", rows, maps[:, 0, 0])[:, :, None]
    dot = (_gram(maps, origin) * cols).sum((-2, -1))
    squares = (_gram(maps, rows[0] @ maps) * cols[0]).sum((-2, -1))
    distance = _cosine_distance(dot, squares, squares[:, :1, :1])
    distance[:, 0, 0] = 0  # both sides are the same map; remove rounding
    back = -torch.arange(stride, device=maps.device) % stride
    return distance[:, back[:, None], back]


def _gram(a: Tensor, b: Tensor) -> Tensor:
    """Inner products, over channels and rows, of the columns of two maps (..., C, h, w): (..., w, w)."""
    return a.flatten(-3, -2).mT @ b.flatten(-3, -2)


def invariance_distance(phases: Tensor) -> Tensor:
    """Cosine distance between a layer's map and its map of the shifted image, at every shift, without upsampling.

    Args:
        phases: (N, S, S, C, h, w), as for :func:`equivariance_distance`.

    Returns:
        (N, S h, S w) float64 in [0, 2]: ``[n, h, w]`` at shift ``(h, w)``.

    Source: Zhang, section 3 and eq. 2, with the distance of section 4.2.1.
    """
    maps = phases.double()
    spectrum = torch.fft.rfft2(maps)
    # For an image rolled by (-r - S a, -c - S b), the map is that of phase (r, c) rolled by (-a, -b).
    cross = (spectrum[:, :1, :1].conj() * spectrum).sum(3)
    dot = torch.fft.irfft2(cross, s=maps.shape[-2:])
    squares = maps.square().sum((-3, -2, -1))[..., None, None].expand_as(dot)
    distance = _cosine_distance(dot, squares, squares[:, :1, :1])
    distance[:, 0, 0, 0, 0] = 0  # both are the same map
    ahead = distance.permute(0, 3, 1, 4, 2).flatten(3, 4).flatten(1, 2)
    return ahead.flip(1, 2).roll((1, 1), (1, 2))
