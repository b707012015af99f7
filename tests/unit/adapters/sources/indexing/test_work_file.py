"""All that is known of a tree outlives the process that found it out, and no more than that."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.walking import Found
from simcrop.adapters.sources.indexing.work_file import WorkFile
from simcrop.core.data.problems import problem
from simcrop.core.errors import ConfigError

FILES = [Found("a", "1", 10, 100), Found("a", "2", 10, 100), Found("b", "1", 10, 100)]


def opened(folder: Path, identity: str = "tree") -> WorkFile:
    return WorkFile(folder / "work", identity)


def look(work: WorkFile, files: Sequence[Found], series: str | None = "1.2") -> None:
    work.add_found(files)
    for piece in work.pieces(2):
        work.add_entries(piece, [(f'"{found.name}"', series) for found in piece])


def missing(work: WorkFile) -> list[Found]:
    return [found for piece in work.pieces(2) for found in piece]


def test_a_second_command_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    with opened(tmp_path) as work:
        work.add_found(FILES)
        assert [len(piece) for piece in work.pieces(2)] == [2, 1]
        assert len(work.pieces(2)) == 2
        work.add_entries(FILES[:2], [("{}", "1.2"), ("{}", None)])
    with opened(tmp_path) as work:
        work.add_found(FILES)
        assert work.count() == (2, 3)
        assert missing(work) == FILES[2:]
        assert list(work.files("a", "1.2")) == [(FILES[0], "{}")]
        assert list(work.files("a", None)) == [(FILES[1], "{}")]
        work.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"num_bytes": 11}, {"mtime_ns": 101}, {"reason": "a hidden file"}])
def test_a_file_that_changed_is_looked_at_again(tmp_path: Path, change: dict[str, object]) -> None:
    changed = replace(FILES[1], **change)
    with opened(tmp_path) as work:
        look(work, FILES)
        work.add_found([FILES[0], changed])
        assert work.count() == (1, 2)
        assert missing(work) == [changed]


def test_another_tree_begins_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as work:
        look(work, FILES)
    with opened(tmp_path, "other") as work:
        work.add_found(FILES)
        assert work.count() == (0, 3)


def test_a_file_that_is_no_database_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"something else altogether" * 100)
    with opened(tmp_path) as work:
        look(work, FILES)
        assert work.count() == (3, 3)


def test_what_the_disk_refuses_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written .*name another --out"):
        opened(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"is full.; free some space"), opened(tmp_path):
        raise sqlite3.OperationalError("database or disk is full")


def test_folders_and_their_series_are_known_and_odd_names_come_back(tmp_path: Path) -> None:
    odd = Found(
        os.fsdecode(b"c\xff"), os.fsdecode(b"\xfe"), 1, 2, "a link", problem("c", "safety.outside", "is a link")
    )
    with opened(tmp_path) as work:
        look(work, FILES)
        work.add_found([*FILES, odd])
        work.add_entries([odd], [("{}", None)])
        assert list(work.folders()) == ["a", "b", odd.folder]
        assert work.folders_of("1.2") == ["a", "b"]
        assert (work.series_in("a"), work.series_in(odd.folder)) == (["1.2"], [])
        assert [found for found, _ in work.files(odd.folder, None)] == [odd]


def test_rows_come_back_in_order_with_their_reports(tmp_path: Path) -> None:
    rows = [TableRow("a", "p", "2"), TableRow("b", "p", "1"), TableRow("c", "p", "2", thickness_mm=1.5)]
    with opened(tmp_path) as work:
        for place, row in enumerate(rows):
            work.add_volume(place, row)
        work.mark_best(2)
        work.add_texts("2", "findings", "")
        assert list(work.by_study()) == [("1", [(1, rows[1])]), ("2", [(0, rows[0]), (2, rows[2])])]
        assert list(work.volumes()) == [
            (rows[0], False, ("findings", "")),
            (rows[1], False, None),
            (rows[2], True, ("findings", "")),
        ]
    with opened(tmp_path) as work:
        assert list(work.volumes()) == []
