"""Measurement of a classifier's remedies: one table, one picture, one sentence."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from torch import Tensor

from lit_shift.classifiers.class_names import matched
from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.image_files import unreadable
from lit_shift.data.sources import UNKNOWN, Collection
from lit_shift.data.subset import CollectionLoader, Collections
from lit_shift.data.view import too_small, whole
from lit_shift.evaluation.along_paths import build_protocols
from lit_shift.evaluation.build import build_images, build_single, by_labels
from lit_shift.evaluation.feasible import named, try_network, unusable
from lit_shift.figures.remedies import remedies as drawn
from lit_shift.figures.style import ErrorBar
from lit_shift.measures import MEASURES
from lit_shift.protocols.base import Protocol
from lit_shift.remedies.advice import Advice, advice
from lit_shift.remedies.candidates import Remedy, candidates
from lit_shift.remedies.measure import MEASURES as COLUMNS
from lit_shift.remedies.measure import Measured
from lit_shift.results.writer import Table
from lit_shift.runs.config import names_in
from lit_shift.shifts import seeded
from lit_shift.training.build import load_run
from lit_shift.utils.command import typed
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, as_typed, at_least, at_least_or_all
from lit_shift.utils.files import given, make_folder


def measure(cfg: DictConfig) -> tuple[Measured, Advice]:
    """Measure the remedies of a classifier along the path of ``cfg.protocol``.

    Raises:
        InputError: several protocols, one without steps, missing images, or an error from a part of the config.
    """
    with as_typed(names_in(cfg, "protocol")):
        number, seed = at_least_or_all(1, "images", cfg.protocol.images), at_least(0, "seed", cfg.protocol.seed)
        batch = at_least(1, "batch", cfg.protocol.batch)
    for k in cfg.votes:
        at_least(2, "votes", k)
    name, protocol = _one_path(cfg)
    images = build_images(cfg)
    classifier = build_single(cfg)
    with named(name):
        if not protocol.ordered or len(protocol.positions(classifier.view)) < 2:
            raise InputError("its frames are no path of one-pixel steps, along which answers could change.")
        try_network(classifier, protocol)
        protocol.meet([images.name(place) for place in range(len(images))])
    if images.labels is not None:
        outputs = matched(images.classes, classifier.classes, cfg.classes) if by_labels(cfg) else ()
        images.relabel(outputs or [UNKNOWN] * len(images.classes))
    data = Collections([images], number, seed, (), [1], cfg.skip_bad)
    with as_typed(names_in(cfg, "protocol")):
        unfit = unusable(name, protocol, data, images, classifier.view)
    chosen = [place for place in data.chosen(images) if place not in unfit]
    device = torch.device("cpu" if cfg.trainer.accelerator == "cpu" or not torch.cuda.is_available() else "cuda")
    classifier.to(device)
    with as_typed({"ckpt": "tuned"}):
        tuned = None if cfg.tuned is None else load_run(given(cfg.tuned, "tuned"))
    with as_typed({"filter": "filters", "order": "antialias_order", "padding": "antialias_padding"}):
        unlabelled = list(_unlabelled(images, chosen, classifier, cfg))
        how = (cfg.antialias_order, cfg.antialias_padding)
        every = list(candidates(classifier, cfg.votes, cfg.filters, *how, unlabelled, cfg.seed, tuned))
    for remedy in every:
        remedy.classifier.to(device)  # its normalisation; the network is there
    measured = Measured(every, protocol, batch, cfg.skip_bad)
    loader = CollectionLoader(images, chosen, (), 1, cfg.skip_bad)
    console = Console(stderr=True)
    for batches in track(
        loader, f"Measuring {len(every)} remedies", len(loader), console=console, disable=not console.is_terminal
    ):
        for each in batches:
            measured.update(type(each)(*(tensor.to(device) for tensor in each)))
    return measured, advice(measured)


def _one_path(cfg: DictConfig) -> tuple[str, Protocol]:
    protocols = build_protocols(cfg)
    if len(protocols) != 1:
        raise InputError(
            f"Remedies are compared along one path, not {len(protocols)}: say protocol=embed, for example."
        )
    return next(iter(protocols.items()))


def _unlabelled(images: Collection, chosen: Sequence[int], classifier: Classifier, cfg: DictConfig) -> Iterator[Tensor]:
    """Yield random batches of images at the network's input: not those that are measured, unless the others are few."""
    most = at_least(0, "unlabelled", cfg.unlabelled)
    others = sorted({*range(len(images))} - {*chosen})
    if len(others) < min(most, len(chosen)):
        others = list(range(len(images)))
        if most:
            say(f"Batch norms are estimated anew on {min(most, len(others))} images, of which some are also measured.")
    batch: list[Tensor] = []
    drawn = torch.randperm(len(others), generator=seeded(cfg.seed))[:most]  # folders are in the order of classes
    for place in (others[draw] for draw in drawn.tolist()):
        pixels = images.pixels(place)
        if pixels is None and not cfg.skip_bad:
            raise unreadable(images.name(place))
        if pixels is None or too_small(pixels.shape[1], pixels.shape[2], classifier.view):
            continue
        batch.append(whole(pixels[None].to(classifier.mean) / 255, classifier.view))
        if len(batch) == 32:
            yield torch.cat(batch)
            batch = []
    if batch:
        yield torch.cat(batch)


def table(measured: Measured) -> Table:
    """Table of the remedies."""
    rows = [
        [remedy.name, f"{remedy.passes:.2f}", *(_cell(measured, remedy, name) for name in COLUMNS)]
        for remedy in measured.remedies
    ]
    frame = pd.DataFrame(rows, columns=["remedy", "work", *COLUMNS])
    frame = frame.loc[:, (frame != "").any()]
    caption = (
        "Percent, with 95% intervals over images. jaggedness: one-pixel steps that change the answer; agreement: "
        "frames with the answer of the network as it is; work: of an answer, in forward passes of that network."
    )
    return Table(frame, "Remedies", caption)


def _cell(measured: Measured, remedy: Remedy, name: str) -> str:
    interval = measured.interval(remedy, name)
    return "" if interval is None else MEASURES["accuracy"].with_interval(*interval)


def command_for(remedy: Remedy, words: Sequence[str]) -> str | None:
    """Command that applies a remedy, or None if there is none.

    Args:
        words: ``name=value``, of the command that has measured it.
    """
    usual = [word for word in words if word.partition("=")[0] not in ("save", "remedy")]
    if remedy.is_network:
        return f"{shlex.join(['lit-shift', 'remedies', *usual])} {typed('remedy', remedy.name)} save=network.onnx"
    if not remedy.switches:
        return None
    own = ("votes", "filters", "unlabelled", "tuned", "out")
    if not any(word.startswith("protocol=") for word in usual):
        usual.append("protocol=embed")
    shared = [word for word in usual if word.partition("=")[0] not in own]
    return f"{shlex.join(['lit-shift', 'eval', *shared])} {remedy.switches}"


def write(measured: Measured, found: Advice, cfg: DictConfig, out: Path, command: str) -> None:
    """Write ``remedies.csv``, ``remedies.json`` and ``remedies.png``."""
    make_folder(out, "out")
    rows: list[dict[str, Any]] = []
    for remedy in measured.remedies:
        row: dict[str, Any] = {"remedy": remedy.name, "passes": remedy.passes}
        for name in COLUMNS:
            if interval := measured.interval(remedy, name):
                row |= dict(zip((name, f"{name}_ci95_low", f"{name}_ci95_high"), interval, strict=True))
        rows.append(row)
    pd.DataFrame(rows).to_csv(out / "remedies.csv", index=False)
    config = OmegaConf.to_container(cfg)
    content = {"command": command, "config": config, "remedies": rows, "advice": found.sentence}
    (out / "remedies.json").write_text(json.dumps(content, indent=2))
    bars = {remedy.name: measured.interval(remedy, "jaggedness") for remedy in measured.remedies}
    passes = {remedy.name: remedy.passes for remedy in measured.remedies}
    figure = drawn({name: ErrorBar(*bar) for name, bar in bars.items() if bar}, passes, found.keeping)
    figure.savefig(out / "remedies.png", dpi=150)
    say(f"written: remedies.csv, remedies.json and remedies.png in {out}")
