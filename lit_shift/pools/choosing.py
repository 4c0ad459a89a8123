"""Pools that look at the four phases of a map before they keep a quarter of its samples.

A shift permutes the phases. A pool that always keeps the same content, wherever it lies, commutes with every shift.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_shift.padding import Padding, pad
from lit_shift.pools.phases import padded_phases
from lit_shift.pools.pool import Pool, check_maps
from lit_shift.utils.errors import at_least, number


class ChoosingPool(Pool):
    """Dense max, then one of the four phases of the map, chosen for each image. A new one overrides :meth:`choose`.

    With a filter, the choice is made on the map before the blur, and that phase of the blurred map is taken.
    """

    def __init__(self, filter: str = "delta", padding: Padding = "circular") -> None:
        super().__init__(filter, padding)

    def choose(self, maps: Tensor) -> Tensor:
        """Choose a phase for each of the dense maps: (N,) int, or weights of the phases (N, 4) that sum to 1."""
        raise NotImplementedError

    def choice(self, x: Tensor) -> Tensor:
        """Choose a phase for each of the maps that the pool is to be given."""
        check_maps(x, self.padding)
        return self.choose(self.before(x))

    def follow(self) -> None:
        """Leave every choice to another pool, without parameters of its own for it."""

    def keep(self, maps: Tensor, choice: Tensor) -> Tensor:
        """Keep the chosen phases of the dense maps: (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2))."""
        phases = padded_phases(self.blur(maps, stride=1), self.padding)
        if choice.is_floating_point():
            return mixed(phases, choice[:, :, None])
        return phases.index_select(0, 4 * torch.arange(choice.shape[0], device=choice.device) + choice)

    def subsample(self, maps: Tensor) -> Tensor:
        return self.keep(maps, self.choose(maps))

    def forward(self, x: Tensor, choice: Tensor | None = None) -> Tensor:
        """Pool, with a choice that was made elsewhere if one is given."""
        if choice is None:
            return super().forward(x)
        check_maps(x, self.padding)
        return self.keep(self.before(x), choice)


class APSPool(ChoosingPool):
    """Dense max, then the phase with the largest l2 norm, one for each image (adaptive polyphase sampling).

    Commutes with every shift. Norms are in float32 or better, and of equal ones the first phase is taken.

    Source: Chaman & Dokmanic 2021, *Truly Shift-Invariant Convolutional Neural Networks*.
    """

    def choose(self, maps: Tensor) -> Tensor:
        return energies(maps, self.padding).argmax(1)


class LPSPool(ChoosingPool):
    """Dense max, then the phase that a small network likes best, one for each image (learnable polyphase sampling).

    The network scores each phase by itself: a 3x3 convolution, ReLU, a 3x3 convolution, and the mean over channels and
    places. In training the phases are mixed by a soft Gumbel choice, which a falling temperature makes harder. In
    evaluation the phase of the highest score is taken, which commutes with every shift. Of equal scores, as where no
    ReLU responds, that with the largest l2 norm is taken.

    Source: Rojas-Gomez et al. 2022, *Learnable Polyphase Sampling*. Left open there or chosen otherwise here: the width
    of the network; the temperature, which falls geometrically over the epochs.

    Args:
        channels: of the maps.
        hidden: most channels of the small network, which has no more than the map.
        hot: temperature at the start.
        cold: temperature in the last epoch; a training of one epoch stays hot.
    """

    temperature: Tensor

    def __init__(
        self,
        channels: int,
        filter: str = "delta",
        padding: Padding = "circular",
        hidden: int = 32,
        hot: float = 1.0,
        cold: float = 0.1,
    ) -> None:
        super().__init__(filter, padding)
        width = min(at_least(1, "channels", channels), at_least(1, "hidden", hidden))
        self.score = PhaseScore(channels, width, width, padding)
        self.hot, self.cold = number("hot", hot, 0.001), number("cold", cold, 0.001)
        self.register_buffer("temperature", torch.tensor(float(hot)))  # saved, as a training may stop within an epoch

    def choose(self, maps: Tensor) -> Tensor:
        scores = self.score(padded_phases(maps, self.padding)).mean(1).unflatten(0, (-1, 4))
        if not self.training:
            best = scores == scores.amax(1, keepdim=True)
            return energies(maps, self.padding).where(best, -1).argmax(1)
        noise = -torch.empty_like(scores).exponential_().log()
        return ((scores + noise) / self.temperature).softmax(1)

    def follow(self) -> None:
        del self.score

    def note_progress(self, share: float) -> None:
        self.temperature.fill_(self.hot ** (1 - share) * self.cold**share)


class TIPSPool(Pool):
    """Dense max, then a mixture of the four phases, channel by channel (translation invariant polyphase sampling).

    The weights are a softmax over the phases of the scores of a small network: a 3x3 convolution, ReLU, a 3x3
    convolution, and the mean over places. Commutes with even shifts. An odd one permutes the phases and displaces them
    against each other, so that the mixture changes.

    Source: Saha & Gokhale 2025, *Improving Shift Invariance in Convolutional Neural Networks with Translation Invariant
    Polyphase Sampling*. Chosen otherwise here: the small network, and training without their two regularisers.

    Args:
        channels: of the maps.
        hidden: most channels of the small network's first convolution, which has no more than the map.
    """

    def __init__(self, channels: int, padding: Padding = "circular", hidden: int = 32) -> None:
        super().__init__("delta", padding)
        width = min(at_least(1, "channels", channels), at_least(1, "hidden", hidden))
        self.score = PhaseScore(channels, width, channels, padding)

    def subsample(self, maps: Tensor) -> Tensor:
        phases = padded_phases(maps, self.padding)
        return mixed(phases, self.score(phases).unflatten(0, (-1, 4)).softmax(1))

    def filter_multiplications(self, channels: int, height: int, width: int) -> int:
        return 4 * channels * math.ceil(height / 2) * math.ceil(width / 2)  # a weight for each sample of each phase

    def extra_repr(self) -> str:
        return f"padding={self.padding!r}"


class PhaseScore(nn.Module):
    """A small network that scores each phase: (4N, C, h, w) -> (4N, out), the same wherever its content lies."""

    def __init__(self, channels: int, hidden: int, out: int, padding: Padding) -> None:
        super().__init__()
        self.padding: Padding = padding
        self.conv1 = nn.Conv2d(channels, hidden, 3)
        self.conv2 = nn.Conv2d(hidden, out, 3, bias=False)  # it would be the same for all phases

    def forward(self, phases: Tensor) -> Tensor:
        hidden = F.relu(self.conv1(pad(phases, 1, 1, self.padding)))
        return self.conv2(pad(hidden, 1, 1, self.padding)).mean((2, 3))


def energies(maps: Tensor, padding: Padding) -> Tensor:
    """Squared l2 norm of each phase, in float32 or better: (N, C, H, W) -> (N, 4)."""
    squares = maps.to(torch.promote_types(maps.dtype, torch.float32)).square().sum(1, keepdim=True)
    return padded_phases(squares, padding).sum((1, 2, 3)).unflatten(0, (-1, 4))


def mixed(phases: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of each map's phases: (4N, C, h, w) and weights (N, 4, C or 1) -> (N, C, h, w)."""
    return (phases.unflatten(0, (-1, 4)) * weights[..., None, None].to(phases.dtype)).sum(1)


def pool_both(pool: nn.Module, shortcut: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pool the maps of two branches that will be added.

    A pool that chooses a phase makes one choice for both, by the first. Otherwise each branch might keep another phase,
    and a shift might displace them against each other.
    """
    if isinstance(pool, ChoosingPool) and isinstance(shortcut, ChoosingPool):
        choice = pool.choice(x)
        return pool(x, choice), shortcut(y, choice)
    return pool(x), shortcut(y)
