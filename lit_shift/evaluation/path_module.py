"""Lightning test of a classifier under the protocols of Azulay & Weiss, with one test loader per protocol."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer

from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.loader import Batch
from lit_shift.data.subset import CollectionLoader
from lit_shift.evaluation.path_measures import PathMeasures, Settings
from lit_shift.models.layers import Layers
from lit_shift.protocols.base import Protocol
from lit_shift.protocols.video import Frames
from lit_shift.runs.findings import first_by_layer
from lit_shift.training.signals import Interrupted
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError


class Measurement(LightningModule):
    """Measurement of a classifier under protocols. The n-th test loader yields the images of the n-th protocol.

    Logs for each protocol, as ``<protocol>/<measure>``, with the ends ``_ci95_low`` and ``_ci95_high`` of the 95%
    interval over images:

    - ``accuracy`` over the frames (and ``accuracy_top<k>``). If labels are not the correct class, this is
      ``agreement`` with the answer on the whole image.
    - If frames differ by small steps: ``mad``; for each k ``jaggedness_top<k>``, ``jaggedness_rate_top<k>`` (the same
      per step) and ``jagged_fraction_top<k>``; ``nonshiftability/<layer>`` and ``departures/<layer>``.

    And without an interval:

    - ``n`` images; ``steps``; ``skipped``, the number of images (of a video, frames) that could not be read or used, or
      whose outputs are not finite; and ``complete``, 1 if all others have been measured.

    Without a protocol's name, ``nonshiftability/<layer>`` and ``departures/<layer>`` are those of the first protocol
    that has them. With labels, ``network/accuracy`` (and ``network/accuracy_top<k>``) is that on the whole images of
    the first protocol that has images.

    If one of several protocols cannot be measured, the others are. ``failures`` holds the errors by name.

    Leaves in ``arrays``, each under the protocol's name:

    - ``places`` (N,) of the images; their ``labels``, -1 if unknown; the class that each whole image ``answers`` to;
      and the ``probability`` (N, S) of the correct class.
    - ``positions`` (S,) of the frames, and ``along``, their label.
    - ``layers``, ``depths``, ``pools`` (L,); ``nonshiftability`` and ``departures`` (L, 3), mean and ends of the
      interval, with their ``tolerance``; and ``nonshiftability_by_image`` (N, L) float16.
    - If positions are sizes, ``accuracy_top<k>`` or ``agreement_top<k>`` (S, 3).
    - For the M images shown, their places ``shown`` (M,) and ``names`` (M,); the ``curve`` (M, S) of their correct
      class's probability; ``frames`` (M, T, 3, h, w) uint8 at ``frame_positions`` (T,); ``sums`` (M, S, C) of the last
      layer's maps; and for some layers ``maps/<layer>`` (M, T, h, w), the map that responds most.

    Args:
        classifier: the classifier.
        protocols: by name.
        settings: shared by all protocols.
        look_into_layers: True to measure non-shiftability.
    """

    def __init__(
        self,
        classifier: Classifier,
        protocols: Mapping[str, Protocol],
        settings: Settings,
        look_into_layers: bool,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.protocols = protocols
        self.settings = settings
        self.look_into_layers = look_into_layers
        self.arrays: dict[str, np.ndarray] = {}
        self.failures: dict[str, Exception] = {}

    def on_test_start(self) -> None:
        view = self.classifier.view
        layers = None
        if self.look_into_layers:
            example = torch.zeros(1, 3, view.height, view.width, device=self.device)
            layers = Layers(self.classifier.net, example)
        self.measures = [
            PathMeasures(protocol, self.classifier, self.settings, layers) for protocol in self.protocols.values()
        ]

    def test_step(self, batches: list[Batch], batch_idx: int, dataloader_idx: int = 0) -> None:
        loaders: Any = self.trainer.test_dataloaders
        loader = loaders[dataloader_idx]
        try:
            for batch in batches if loader.failure is None else ():  # one may have been prefetched before the failure
                loader.skipped += self.measures[dataloader_idx].update(batch)
        except Interrupted:
            raise
        except Exception as error:
            loader.fail(error)

    def on_test_epoch_end(self) -> None:
        loaders: Any = self.trainer.test_dataloaders
        found: dict[str, float] = {}
        for name, measures, loader in zip(self.protocols, self.measures, loaders, strict=True):
            if loader.failure is None and measures.started:  # not if it failed or the test was interrupted before
                try:
                    scalars, arrays = self._found(measures, loader)
                    found |= {f"{name}/{key}": value for key, value in scalars.items()}
                    self.arrays |= {f"{name}/{key}": array for key, array in arrays.items()}
                except Exception as error:
                    loader.fail(error)
            if loader.failure:
                self.failures[name] = loader.failure
        if self.failures and not found:
            raise next(iter(self.failures.values()))
        of_images = (
            measures
            for name, measures in zip(self.protocols, self.measures, strict=True)
            if measures.started and name not in self.failures and not isinstance(measures.protocol, Frames)
        )
        first = next((each.of_whole_images() for each in of_images), {})
        on_whole_images = {f"network/{name}": float(value) for name, value in first.items()}
        self.log_dict(found | first_by_layer(found, self.protocols) | on_whole_images)

    def _found(
        self, measures: PathMeasures, loader: CollectionLoader
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Return scalars and, in the first process, arrays."""
        scalars, arrays = measures.compute()
        scalars |= loader.completeness(scalars["n"], self.trainer.strategy)
        scalars["skipped"] += measures.protocol.skipped
        return scalars, arrays | self._pictures(measures, loader) if self.trainer.is_global_zero else {}

    def _pictures(self, measures: PathMeasures, loader: CollectionLoader) -> dict[str, np.ndarray]:
        """Return pictures of the shown images that can be read and have finite outputs, until interrupted."""
        kept: dict[int, dict[str, np.ndarray]] = {}
        with suppress(Interrupted):
            for place in loader.shown:
                batch = loader.one(place)
                if batch and (pictures := measures.pictures(Batch(*(tensor.to(self.device) for tensor in batch)))):
                    kept[place] = pictures
        names = next(iter(kept.values()), {})
        titles = np.array([loader.collection.title(place) for place in kept], dtype=np.str_)
        return {"shown": np.array(list(kept)), "names": titles} | {
            name: np.stack([pictures[name] for pictures in kept.values()]) for name in names
        }


def tell_failures(trainer: Trainer) -> None:
    """Print which protocols could not be measured, once the others are written, and raise the first one's error."""
    failures: dict[str, Exception] = getattr(trainer.lightning_module, "failures", {})
    for number, (name, error) in enumerate(failures.items()):
        if number:
            say(f"{name} could not be measured either: {error}")
    for name, error in failures.items():
        if isinstance(error, InputError):
            raise InputError(f"{name} could not be measured: {error}") from error
        raise error
