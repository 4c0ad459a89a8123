"""Checks before a measurement: requests that cannot be met, and images that cannot be used."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.image_files import unreadable
from lit_shift.data.sources import Collection
from lit_shift.data.subset import Collections
from lit_shift.data.view import View
from lit_shift.protocols.base import Protocol
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError

USUAL_TOP = (1, 5)


@contextmanager
def named(protocol: str) -> Iterator[None]:
    """Prefix InputErrors with the protocol's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{protocol}: {error}") from error


def possible_top(asked: Sequence[int] | None, classes: int) -> tuple[int, ...]:
    """Return every k for which top-k measures are taken.

    Args:
        asked: the user's choice; None is :data:`USUAL_TOP`, without those too large for few classes, which is printed.
        classes: number of classes.

    Raises:
        InputError: there are no more classes than one of the k that the user asks for.
    """
    top = tuple(asked or USUAL_TOP)
    few = [k for k in top if k >= classes]
    if not few:
        return top
    always = f"of {classes} classes the correct one is always among the {few[0]} most probable"
    if asked is not None or 1 in few:
        raise InputError(f"top={list(top)}: {always}; name smaller numbers.")
    possible = tuple(k for k in top if k < classes)
    say(f"Only the top {', '.join(map(str, possible))} is measured: {always}.")
    return possible


def try_network(classifier: Classifier, protocol: Protocol) -> None:
    """Try the network on a frame, if frames differ in size from its input. Raises an InputError if it fails."""
    height, width = protocol.frame_size(classifier.view)
    if (height, width) == (classifier.view.height, classifier.view.width):
        return
    black = torch.zeros(1, 3, height, width)
    try:
        with torch.no_grad():
            classifier.net(classifier.normalised(black))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"The network cannot see frames of {height}x{width} pixels ({error}).") from error


def unusable(name: str, protocol: Protocol, data: Collections, images: Collection, view: View) -> set[int]:
    """Return the indices of requested images that a protocol cannot use because of their size, and print how many.

    Raises:
        InputError: an image cannot be read (unless these are skipped), or none can be used.
    """
    chosen = data.chosen(images)
    flaws: dict[int, str] = {}
    for place in [*chosen, *data.asked(images)]:
        size = images.size(place)
        if size is None and not data.skip_bad:
            raise unreadable(images.name(place))
        if size is not None and (flaw := protocol.flaw(size, place, view)):
            flaws[place] = flaw
    unfit = [place for place in chosen if place in flaws]
    if unfit:
        first = f"{images.name(unfit[0])}: {flaws[unfit[0]]}"
        if len(unfit) == len(chosen):
            raise InputError(f"{name} can use none of the {len(chosen)} images; {first}")
        say(f"{name} leaves out {len(unfit)} of {len(chosen)} images; {first}")
    return set(flaws)
