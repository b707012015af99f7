"""Files and folders that are forced to disk outlive a power cut; others may be empty, or not there."""

from pathlib import Path

import pytest
from support.power_cut import watched

from simcrop.adapters.system.files import make_folder, replace_text, whole_file, whole_folder
from simcrop.adapters.system.forcing import force, force_below, make_folders


def test_files_and_folders_that_are_made_outlive_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watched(tmp_path, monkeypatch)
    make_folders(tmp_path / "up" / "files")
    make_folder(tmp_path / "runs" / "a")
    replace_text(tmp_path / "up" / "files" / "a", "text")
    with whole_file(tmp_path / "b", durable=False) as file:
        file.write(b"text")
    with whole_folder(tmp_path / "more" / "folder") as draft:
        (draft / "below").mkdir()
        (draft / "below" / "a").write_text("text")
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert disk.strict().keys() == disk.early().keys() == made
    assert [name for name, content in disk.strict().items() if content == b""] == ["b"], "not durable: it may be empty"
    disk.close()


def test_what_nobody_forces_may_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watched(tmp_path, monkeypatch)
    (tmp_path / "a").write_text("text")
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "d").write_text("text")
    assert disk.strict() == {}
    assert disk.early() == {"a": b"", "b": None, "b/c": None, "b/c/d": b""}
    force(tmp_path / "a", tmp_path)
    assert disk.strict() == {"a": b"text", "b": None}
    force_below(tmp_path / "b")
    assert disk.strict() == {"a": b"text", "b": None, "b/c": None, "b/c/d": b"text"}
    (tmp_path / "a").write_text("more")
    assert disk.strict()["a"] == b"text"
    with pytest.raises(FileNotFoundError, match="gone"):
        force(tmp_path / "gone")
    disk.close()
