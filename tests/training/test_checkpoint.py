"""A checkpoint is whole or absent."""

import pytest
import torch

from glassbox.training.checkpoint import AtomicCheckpointIO, load


def test_what_is_written_is_read(tmp_path):
    saved = {"weight": torch.arange(6.0).reshape(2, 3), "epoch": 3, "names": ["a", "b"], "nothing": None}
    AtomicCheckpointIO().save_checkpoint(saved, tmp_path / "deep" / "a.ckpt")
    read = load(tmp_path / "deep" / "a.ckpt")
    assert torch.equal(read.pop("weight"), saved.pop("weight"))
    assert read == saved
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.ckpt"]


def test_a_failure_half_way_keeps_the_old_one(tmp_path, monkeypatch):
    writer, path = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    writer.save_checkpoint({"epoch": 1}, path)

    def full_disk(checkpoint, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        writer.save_checkpoint({"epoch": 2}, path)
    assert load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"x": Harmful()}, tmp_path / "a.ckpt")
    with pytest.raises(Exception, match=r"(?i)weights"):
        load(tmp_path / "a.ckpt")
    assert not (tmp_path / "harm").exists()
