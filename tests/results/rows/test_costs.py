"""Cost of each row of Table 1, as runs leave it in their files."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from lit_shift.results import load, table1, writer
from lit_shift.results.__main__ import main
from lit_shift.results.rows.costs import COLUMNS, tables, with_costs
from tests.findings import findings
from tests.results.test_results import save

CPU, GPU = "1 x CPU, 2 threads", "1 x NVIDIA H100"


def left(folder, name, multiplications=None, speeds=None, device=CPU, **of_config):
    """A run's folder; an older run counts no multiplications and has no speeds."""
    run = findings(name, **of_config)
    run.metrics["network/parameters"] = 9_416_010
    if multiplications:
        run.metrics["network/multiplications"] = multiplications
    save(folder / name, run)
    noted = {"device": device} | ({"images_per_second": speeds} if speeds else {})
    (folder / name / "environment.json").write_text(json.dumps(noted))


def costs(folder):
    frame = load(folder)
    return with_costs(table1(frame), frame)


@pytest.fixture
def folder(tmp_path):
    left(tmp_path, "max", 228_888_576, {"training": 305.6, "forward": 1234.5}, pool="max")
    left(tmp_path, "tri5-0", 230_724_000, {"training": 280, "forward": 1100}, seed=0)
    left(tmp_path, "tri5-1", 230_724_000, {"training": 300, "forward": 1200}, seed=1)
    left(tmp_path, "rect2", filter="rect2")
    return tmp_path


def test_a_frame_has_each_runs_speeds_and_its_device(folder):
    frame = load(folder).set_index("name")
    assert frame["speed/training"].drop("rect2").to_dict() == {"max": 305.6, "tri5-0": 280, "tri5-1": 300}
    assert frame["speed/forward"]["max"] == 1234.5
    assert math.isnan(frame["speed/training"]["rect2"])
    assert set(frame["device"]) == {CPU}
    assert frame["network/multiplications"]["tri5-1"] == 230_724_000


def test_rows_have_the_mean_over_their_runs(folder):
    rows = costs(folder).set_index("filter")
    assert rows.loc["delta", COLUMNS].tolist() == [9_416_010, 228_888_576, 305.6, 1234.5]
    assert rows.loc["tri5", COLUMNS].tolist() == [9_416_010, 230_724_000, 290, 1150]
    assert rows["devices"].to_dict() == {"delta": [CPU], "rect2": [], "tri5": [CPU]}


def markdown(folder):
    """Rows of the table of the only recipe, and what is said below it."""
    (table,) = tables(costs(folder))
    lines = writer.markdown([table]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [cells[0], *cells[2:]], " ".join([table.caption, *table.notes])


def test_a_table_tells_counts_in_full_and_speeds_in_three_digits(folder):
    rows, said = markdown(folder)
    assert rows == [
        ["pool", "filter", "parameters", "multiplications", "training", "forward"],
        ["max", "delta", "9,416,010", "228,888,576", "306", "1,230"],
        ["blur", "rect2", "9,416,010", "-", "-", "-"],
        ["blur", "tri5", "9,416,010", "230,724,000", "290", "1,150"],
    ]
    assert f"images per second on {CPU}." in said
    assert "do not compare" not in said


def test_rows_of_several_devices_and_augmentations_are_told_apart(folder):
    left(folder, "avg", 232_000_000, {"training": 9000, "forward": 40_000}, GPU, pool="avg", aug=True)
    rows, said = markdown(folder)
    assert [row[2] for row in rows] == ["aug", "no", "no", "yes", "no"]
    assert f"Speeds on different devices do not compare; on {CPU}: max, blur-tri5; on {GPU}: avg aug." in said
    assert "images per second. " in said


def test_a_recipe_of_which_no_cost_is_known_has_no_table(tmp_path):
    run = findings("old")
    save(tmp_path / "old", run)
    assert tables(costs(tmp_path)) == []


def test_the_command(folder, capsys):
    main([str(folder), "--table", "costs", "--format", "csv"])
    rows = {row["filter"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert [float(rows["tri5"][cost]) for cost in COLUMNS] == [9_416_010, 230_724_000, 290, 1150]
    assert (rows["rect2"]["multiplications"], rows["tri5"]["devices"]) == ("", CPU)
    main([str(folder)])
    assert "9,416,010" not in capsys.readouterr().out
    console = Console(width=80, file=io.StringIO())
    console.print(writer.terminal(tables(costs(folder))))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["max", "delta", "9,416,010", "228,888,576", "306", "1,230"] for line in lines)
