"""Test-time augmentation: a vote over several shifted copies of an image (Azulay & Weiss, section 5)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from lit_shift.classifiers.classifier import Classifier, Key
from lit_shift.functional import finite
from lit_shift.padding import Padding
from lit_shift.shifts import draw_offsets, seeded, shift
from lit_shift.utils.errors import at_least, one_of

SHIFTED_BY: dict[str, Padding] = {"shift": "circular", "crop": "zeros"}  # how copies are shifted: their padding
VOTES = ("mean", "majority")


class TestTimeAugmentation(Classifier):
    """A classifier that takes a vote over k randomly shifted copies of each image, drawn anew for each frame.

    Args:
        classifier: classifies the copies.
        k: number of copies.
        by: ``shift``, circular and uniform over all offsets; or ``crop``, out of the image padded by an eighth of its
            side with the mean colour.
        vote: ``mean`` of the probabilities, or ``majority`` of the predicted classes.
        seed: of the draws, which depend on it and the frame's key, not on the batch.

    Raises:
        InputError: ``k`` below 1, or an unknown ``by`` or ``vote``.
    """

    __test__ = False  # or pytest would collect it because of its name
    STREAM = 3  # random numbers independent of those of paths, noise and placements

    def __init__(self, classifier: Classifier, k: int, by: str, vote: str, seed: int) -> None:
        super().__init__(
            classifier.net, classifier.mean.tolist(), classifier.std.tolist(), classifier.classes, classifier.view
        )
        self.k = at_least(1, "k", k)
        self.by = one_of(SHIFTED_BY, "by", by)
        self.vote = one_of(VOTES, "vote", vote)
        self.seed = at_least(0, "seed", seed)

    def answer(self, images: Tensor, keys: Sequence[Key]) -> Tensor:
        """Images (N, 3, H, W) -> (N, K): the logarithm of mean probabilities or of vote shares."""
        return self.ballots(self.normalised(images), keys).mean(1).clamp(min=torch.finfo(images.dtype).tiny).log()

    def ballots(self, x: Tensor, keys: Sequence[Key]) -> Tensor:
        """Ballots of all copies: normalised (N, 3, H, W) -> (N, k, K), probabilities or votes, each summing to 1.

        NaN for a copy whose logits are not finite.
        """
        return torch.stack([self._ballot(copy) for copy in self.copies(x, keys, self.k)], dim=1)

    def copies(self, x: Tensor, keys: Sequence[Key], number: int) -> Iterator[Tensor]:
        """Yield ``number`` times each normalised image (N, 3, H, W), randomly shifted."""
        height, width = x.shape[2:]
        room, middle = ((height, width), (0, 0))
        if self.by == "crop":
            middle = (height // 8, width // 8)
            room = (2 * middle[0] + 1, 2 * middle[1] + 1)
        generators = [seeded(self.seed, self.STREAM, *key) for key in keys]
        for _ in range(number):
            offsets = torch.stack([draw_offsets((), *room, generator) for generator in generators])
            yield shift(x, offsets - torch.tensor(middle), SHIFTED_BY[self.by])

    def _ballot(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        votes = logits.softmax(1)
        if self.vote == "majority":
            votes = nn.functional.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
        return votes.where(finite(logits)[:, None], torch.nan)
