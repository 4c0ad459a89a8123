"""Each remedy as a classifier: what it is called, what it costs, and the switches that apply it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_shift.classifiers.canonical import CanonicalCrop
from lit_shift.classifiers.classifier import Classifier
from lit_shift.classifiers.vote import TestTimeAugmentation
from lit_shift.models.anatomy import multiplications
from lit_shift.padding import Padding
from lit_shift.surgery import antialias
from lit_shift.surgery.norms import has_norms, with_norms_of
from lit_shift.utils.errors import InputError

NOTHING = "nothing"


@dataclass(frozen=True)
class Remedy:
    """One way to make a classifier less jagged.

    Attributes:
        name: in tables and figures.
        classifier: the classifier, remedied.
        passes: cost of an answer, in forward passes of the network as it was, counted in multiplications.
        switches: of ``lit-shift eval``, which apply it; empty if there are none.
    """

    name: str
    classifier: Classifier
    passes: float
    switches: str = ""

    @property
    def is_network(self) -> bool:
        """True if the remedy is a network of its own, which can be saved."""
        return type(self.classifier) is Classifier and self.name != NOTHING


def candidates(
    classifier: Classifier,
    votes: Sequence[int],
    filters: Sequence[str],
    order: str,
    padding: Padding | None,
    images: Sequence[Tensor],
    seed: int,
    tuned: Classifier | None = None,
) -> Iterator[Remedy]:
    """Yield the remedies, the first of which is none.

    Args:
        classifier: the classifier as it is.
        votes: numbers of randomly shifted copies that vote.
        filters: low-pass filters of antialiasing.
        order: of its steps, see :func:`lit_shift.surgery.antialiasing.antialias`.
        padding: of its blurs, see there.
        images: batches (N, 3, H, W) in [0, 1], without labels, on which batch norms are estimated anew.
        seed: of the votes.
        tuned: the classifier after fine-tuning, with the same outputs.

    Raises:
        InputError: from :func:`lit_shift.surgery.antialiasing.antialias`, or ``tuned`` has other outputs.
    """
    yield Remedy(NOTHING, classifier, 1)
    for k in votes:
        voting = TestTimeAugmentation(classifier, k, "crop", "mean", seed)
        yield Remedy(f"vote over {k} crops", voting, k, f"tta={k} tta_by=crop")
    yield Remedy("canonical crop", CanonicalCrop(classifier), 1)
    example = torch.zeros(1, 3, *classifier.view[:2])
    before = multiplications(classifier.net, example)
    for filter in filters:
        net = antialias(classifier.net, filter, order, padding, example=example)
        passes = multiplications(net, example) / before
        yield Remedy(f"antialias {filter}", with_net(classifier, net), passes)
        if images and has_norms(net):
            anew = with_norms_of(net, (classifier.normalised(batch) for batch in images))
            yield Remedy(f"antialias {filter}, norms anew", with_net(classifier, anew), passes)
    if tuned is not None:
        ours, theirs = len(classifier.classes), len(tuned.classes)
        if theirs != ours:  # their names may differ: a training names outputs by folders
            raise InputError(f"The tuned run has {theirs} classes, the network {ours}: they cannot be compared.")
        yield Remedy("fine-tuned", tuned, multiplications(tuned.net, example) / before)


def with_net(classifier: Classifier, net: nn.Module) -> Classifier:
    """Return a classifier like another one, of another network."""
    mean, std = classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()
    return Classifier(net, mean, std, classifier.classes, classifier.view)
