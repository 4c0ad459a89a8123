"""Terminal tables of the results of eval.py. Needs no torch."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from rich.console import Group

from lit_shift import measures as declared
from lit_shift.measures import ENDS, MEASURES, along_paths, interval_in, measure_of, standing
from lit_shift.results.writer import Cell, Table, terminal
from lit_shift.runs.findings import BY_LAYER

COUNTS = {"n": "images", "skipped": "skipped", "steps": "frames"}
LAYERS = (
    "Mean cosine distance over shifts from the features of the shifted image to the shifted features (equivariance) or "
    "the unshifted ones (invariance); lie_derivative: relative rate, per pixel of shift, at which a map departs from "
    "shifting with the image; tv: total variation of the filters"
)


def measures(metrics: Mapping[str, float]) -> Group:
    """Return tables of measured values.

    They cover the network itself, the test set, paths, votes, layers, and other readings of consistency.
    """
    return terminal(list(tables(metrics)))


def side_by_side(models: Mapping[str, Mapping[str, float]]) -> Group:
    """Return a table of what was measured for several models, a column for each; layers and other readings left out."""
    every = {key: None for metrics in models.values() for key in metrics if _is_of_the_whole(key)}
    measured = [(key, measure_of(key)) for key in every if all(key in metrics for metrics in models.values())]
    rows = [
        [key, *(each.with_interval(*interval_in(metrics, key)) for metrics in models.values())]
        for key, each in measured
        if each.better
    ]
    frame = pd.DataFrame(rows, columns=["measure", *models])
    return terminal([Table(frame, "Side by side", "With 95% intervals; rates and mad in percent.")])


def _is_of_the_whole(key: str) -> bool:
    by_layer = {measure.name for measure in standing(declared.BY_LAYER)} | {*BY_LAYER}
    return key.count("/") == 1 and not key.endswith(ENDS) and key.partition("/")[0] not in {*by_layer, "consistency"}


def tables(metrics: Mapping[str, float]) -> Iterator[Table]:
    """Yield the non-empty tables of :func:`measures`."""
    for made in (_network, _tests, _paths, _votes, _nonshiftability, _layers, _readings):
        for table in made(metrics):
            if len(table.frame):
                yield table


def _network(metrics: Mapping[str, float]) -> Iterator[Table]:
    """Yield Azulay & Weiss's Table 1 with the network's subsampling."""
    rows = []
    for measure in standing(declared.NETWORK):
        for key, each in ((f"network/{top.name}", top) for top in measure.of_tops((1, 5)).values()):
            if key in metrics:
                rows.append([each.label, "  ".join(filter(None, (each.written(metrics[key]), _ends(metrics, key))))])
    caption = "The network, and its answers on whole images; rates in percent."
    yield Table(pd.DataFrame(rows, columns=["network", ""]), caption=caption)


def _tests(metrics: Mapping[str, float]) -> Iterator[Table]:
    keys = [key for key in metrics if key.startswith("test/") and not key.endswith(ENDS)]
    keys.sort(key=lambda key: (key != "test/accuracy", key))
    rows = [[key, measure_of(key).written(metrics[key]), _ends(metrics, key)] for key in keys]
    caption = "Rates and mad in percent; variation is a variance; lie_derivative per pixel; bandwidth of Nyquist's."
    yield Table(pd.DataFrame(rows, columns=["measure", "value", "95% interval"]), caption=caption)


def _ends(metrics: Mapping[str, float], key: str) -> str:
    return " .. ".join(measure_of(key).written(metrics[f"{key}{end}"]) for end in ENDS if f"{key}{end}" in metrics)


def protocols(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the protocols with measured values."""
    return [key.removesuffix("/steps") for key in metrics if key.endswith("/steps")]


def _paths(metrics: Mapping[str, float]) -> Iterator[Table]:
    """Yield tables with a row for each protocol: numbers of images, then the measures for each k."""
    names = protocols(metrics)
    counts = [
        [name, *(f"{metrics.get(f'{name}/{count}', 0):,.0f}" for count in COUNTS), _complete(metrics, name)]
        for name in names
    ]
    yield Table(pd.DataFrame(counts, columns=["along paths", *COUNTS.values(), "complete"]))
    for k, of_top in along_paths(metrics).items():
        shown = [each for each in of_top if any(f"{name}/{each.name}" in metrics for name in names)]
        rows = [
            [name, *(each.with_interval(*interval_in(metrics, f"{name}/{each.name}")) for each in shown)]
            for name in names
        ]
        frame = pd.DataFrame(rows, columns=[f"top {k}", *(each.heading for each in shown)])
        if shown:
            yield Table(frame, caption="Mean over images (95% interval). Percent, except for jaggedness.")


def _complete(metrics: Mapping[str, float], protocol: str) -> str:
    return "yes" if metrics.get(f"{protocol}/complete", 1) else "no"


def _votes(metrics: Mapping[str, float]) -> Iterator[Table]:
    """Yield a table with a row for each number of passes of test-time augmentation."""
    shown = [
        measure
        for measure in standing(declared.VOTES)
        if any(key.startswith(f"tta/{measure.name}_") for key in metrics)
    ]
    numbers = sorted(int(key.rpartition("_")[2]) for key in metrics if key.startswith("tta/milliseconds_"))
    rows = [
        [str(number), *(each.with_interval(*interval_in(metrics, f"tta/{each.name}_{number}")) for each in shown)]
        for number in numbers
    ]
    caption = "Under random shifts, percent (95% interval over images); milliseconds per image."
    heads = ["passes", *(measure.heading for measure in shown)]
    yield Table(pd.DataFrame(rows, columns=heads), "Test-time augmentation", caption)


def _layers(metrics: Mapping[str, float]) -> Iterator[Table]:
    columns = {measure.name: 1.0 for measure in standing(declared.BY_LAYER)}
    yield Table(_by_layer(metrics, columns), caption=LAYERS)


def _nonshiftability(metrics: Mapping[str, float]) -> Iterator[Table]:
    """Yield a table with a column for each protocol: steps if all paths have the same length, else their share."""
    measure = MEASURES["nonshiftability"]
    steps = {
        name: metrics[f"{name}/steps"] - 1
        for name in protocols(metrics)
        if any(key.startswith(f"{name}/{measure.name}/") for key in metrics)
    }
    counted = len(set(steps.values())) <= 1
    columns = {f"{name}/{measure.name}": 1 if counted else 100 / number for name, number in steps.items()}
    frame = _by_layer(metrics, columns).rename(columns=lambda column: column.partition("/")[0])
    caption = f"{measure.label.capitalize()}." if counted else f"Share of the {measure.label}, in percent."
    yield Table(frame, "Non-shiftability", caption)


def _by_layer(metrics: Mapping[str, float], columns: Mapping[str, float]) -> pd.DataFrame:
    """Return a row for each layer and a column for each key prefix, scaled by the factor given for that prefix."""
    found: dict[str, dict[str, str]] = {column: {} for column in columns}
    for key, value in metrics.items():
        prefix, _, layer = key.rpartition("/")
        if prefix in found and not key.endswith(ENDS):
            found[prefix][layer] = f"{columns[prefix] * value:.4g}"
    layers = in_order(*found.values())
    return pd.DataFrame(
        {"layer": layers} | {name: [each.get(key, "") for key in layers] for name, each in found.items()}
    )


def in_order(*orders: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Merge lists of layers, each in the network's order, into one in that order."""
    merged: list[str] = []
    for order in orders:
        place = len(merged)
        for name in reversed(list(order)):
            if name in merged:
                place = merged.index(name)
            else:
                merged.insert(place, name)
    return merged


def _readings(metrics: Mapping[str, float]) -> Iterator[Table]:
    from lit_shift.consistency_variants import DEFINITIONS  # not at the top: it needs torch

    rows = []
    for name, (definition, source) in DEFINITIONS.items():
        if (key := f"consistency/{name}") in metrics:
            value, *ends = (f"{100 * value:.1f}" for value in interval_in(metrics, key))
            rows.append([name, Cell(definition, source), value, " .. ".join(ends)])
    heads = ["consistency", "definition, source", "value", "95%"]
    yield Table(pd.DataFrame(rows, columns=heads), "Readings of consistency, in percent", words=2)
