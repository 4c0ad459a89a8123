import threading

import pytest
import torch

from lit_shift.training import checkpoint as checkpoints
from lit_shift.training.checkpoint import BackgroundCheckpointIO, load
from lit_shift.utils import torch_files


@pytest.fixture
def slow(monkeypatch):
    """Writes wait for this event."""
    go, write = threading.Event(), torch_files.write

    def waiting(path, content):
        assert go.wait(60)
        write(path, content)

    monkeypatch.setattr(checkpoints.torch_files, "write", waiting)
    return go


def test_what_is_written_in_the_background_is_what_was_when_it_was_asked_for(tmp_path, slow):
    io, path = BackgroundCheckpointIO(), tmp_path / "last.ckpt"
    state = {"state_dict": {"weight": torch.zeros(3)}, "rows": [{"epoch": 1}]}
    io.save_checkpoint(state, path)
    state["state_dict"]["weight"] += 1
    state["rows"].append({"epoch": 2})
    assert not path.exists()
    slow.set()
    io.teardown()
    assert load(path)["state_dict"]["weight"].tolist() == [0, 0, 0]
    assert load(path)["rows"] == [{"epoch": 1}]


def test_writes_follow_one_another(tmp_path, slow):
    slow.set()
    io = BackgroundCheckpointIO()
    for number in range(5):
        io.save_checkpoint({"state_dict": {}, "number": number}, tmp_path / "last.ckpt")
    io.teardown()
    assert load(tmp_path / "last.ckpt")["number"] == 4
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("end", ["teardown", "save"])
def test_an_error_is_raised_once_and_the_earlier_file_is_kept(tmp_path, monkeypatch, end):
    io, path = BackgroundCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"state_dict": {}, "number": 0}, path)
    io.teardown()

    def full(*_):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("lit_shift.utils.torch_files.atomic_write", full)
        io.save_checkpoint({"state_dict": {}, "number": 1}, path)
        with pytest.raises(OSError, match="No space left"):
            io.teardown() if end == "teardown" else io.save_checkpoint({"state_dict": {}, "number": 2}, path)
    assert load(path)["number"] == 0
    io.teardown()
