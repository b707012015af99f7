"""What was found of a file is remembered until the file changes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from simcrop.adapters.problems.verdicts import Verdict, Verdicts, remember_errors, source_stamp
from simcrop.core.data.problems import problem
from simcrop.core.errors import DataError

STAMP = {"name": "a.nii.gz", "bytes": 3, "mtime_ns": 5}


def bad(path: str, code: str = "header.invalid") -> Verdict:
    return Verdict(STAMP, "abc", (problem(path, code, "is wrong"),))


def test_a_verdict_comes_back_while_the_file_is_as_it_was(tmp_path: Path) -> None:
    Verdicts(tmp_path / "new", "data").add("a", bad("x/a"))
    again = Verdicts(tmp_path / "new", "data")
    assert again.get("a", STAMP) == bad("x/a")
    assert again.get("a", STAMP | {"bytes": 4}) is None
    assert (again.errors(), again.digests()) == ({"a": bad("x/a").problems[0]}, {"a": "abc"})
    assert Verdicts(tmp_path / "new", "other data").get("a", STAMP) is None


def test_the_last_verdict_counts_and_a_line_that_a_kill_cut_off_does_not(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path, "data")
    verdicts.add("a", bad("x/a"))
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    again = Verdicts(tmp_path, "data")
    assert again.get("a", STAMP) is None
    again.add("a", Verdict(STAMP, None, ()))
    again.add("b", bad("x/b"))
    found = Verdicts(tmp_path, "data")
    assert found.get("a", STAMP) == Verdict(STAMP, None, ())
    assert found.get("b", STAMP) == bad("x/b")
    assert len(path.read_text().splitlines()) == 3


def test_what_hangs_on_more_than_the_file_is_not_remembered(tmp_path: Path) -> None:
    Verdicts(tmp_path, "data").add("a", bad("x/a", "container.missing"))
    assert not list(tmp_path.iterdir())


def test_errors_of_a_run_are_kept_with_the_stamps_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"abc")
    source = SimpleNamespace(volume_file=lambda name: tmp_path / name)
    found = problem(tmp_path / "a.nii.gz", "container.corrupt", "is cut off")
    verdicts = Verdicts(tmp_path / "cache", "data")
    remember_errors(verdicts, source, {"a.nii.gz": found})
    stamp = source_stamp(source, "a.nii.gz")
    assert stamp["bytes"] == 3
    assert verdicts.get("a.nii.gz", stamp) == Verdict(stamp, None, (found,))
    assert source_stamp(source, "absent") == {}


def test_a_disk_that_refuses_is_one_line(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path, "data")
    verdicts.add("a", bad("x/a"))
    [path] = tmp_path.iterdir()
    row = json.loads(path.read_text())
    assert row["name"] == "a"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"checked_\w+.jsonl: cannot be written .*; free disk space or change data.pre"):
        verdicts.add("b", bad("x/b"))
