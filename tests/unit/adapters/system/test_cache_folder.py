"""The cache, kept by several processes in one folder."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from simcrop.adapters.system.cache_folder import append_row, cache_file, key_of, make_cache_folder
from simcrop.core.errors import ConfigError, DataError


def test_a_key_tells_what_decides_apart() -> None:
    assert key_of([2, "manifest", (1.5, 2)]) == key_of([2, "manifest", [1.5, 2]]) == "cd6d44d677e8736b"
    assert len({key_of(parts) for parts in ([1], ["1"], [[1]], [1, None])}) == 4


def test_a_file_is_whole_or_not_there_and_its_folder_is_made(tmp_path: Path) -> None:
    with cache_file(tmp_path / "new" / "a") as file:
        file.write(b"whole")
    with pytest.raises(DataError) as error, cache_file(tmp_path / "new" / "a") as file:
        raise OSError(28, "No space left on device")
    path = tmp_path / "new" / "a"
    reason = f"[Errno 28] No space left on device: '{path}'"
    assert str(error.value) == f"{path}: cannot be written ({reason}); free disk space or change data.prepared"
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_loses_what_killed_processes_left_long_ago(tmp_path: Path) -> None:
    for name in (".a.1.draft", ".b.2.draft"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".a.1.draft", (1, 1))
    make_cache_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".b.2.draft"]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^data.prepared \S+/file: cannot be made \(File exists\); name another"):
        make_cache_folder(tmp_path / "file")


def append_many(path: Path, writer: int) -> None:
    for number in range(200):
        append_row(path, {"writer": writer, "number": number, "text": "x" * 300})


def test_rows_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(append_many, [tmp_path / "rows.jsonl"] * 3, range(3)))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().split("\n") if line]
    for writer in range(3):
        assert [row["number"] for row in rows if row["writer"] == writer] == list(range(200))


def test_a_row_that_a_kill_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b'{"a": ')
    append_row(path, {"a": 2})
    append_row(path, {"a": 3})
    assert path.read_text() == '{"a": 1}\n{"a": \n{"a": 2}\n{"a": 3}\n'
