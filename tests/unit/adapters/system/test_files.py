"""Files appear whole or not at all, and what the system refuses names the file."""

import errno
from pathlib import Path

import pytest

from simcrop.adapters.system.files import naming, replace_text, written_beside


def fail_halfway(path: Path, error: BaseException) -> None:
    with written_beside(path) as draft:
        draft.write_text("half")
        raise error


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "first")
    for error in (OSError(errno.ENOSPC, "No space left on device"), SystemExit(143), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail_halfway(path, error)
        assert path.read_text() == "first"
    replace_text(path, "second")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def write_to_a_full_disk() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x")


def test_a_refused_write_names_its_file(tmp_path: Path) -> None:
    for path, block in ((tmp_path / "a", naming), (tmp_path / "b", written_beside)):
        with pytest.raises(OSError, match="No space left on device") as refused, block(path):
            write_to_a_full_disk()
        assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, str(path))


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^of a library$"), naming(tmp_path / "a"):
        raise OSError("of a library")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as refused:
        replace_text(tmp_path / "file" / "below", "x")
    assert refused.value.filename == str(tmp_path / "file" / ".below.draft")
