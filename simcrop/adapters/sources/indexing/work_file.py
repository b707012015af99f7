"""Everything that a command that makes an index knows so far, in one SQLite file: it goes on there when it was killed.

Memory stays flat, however many files there are. The file goes when the table is written.
"""

import dataclasses
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.walking import Found
from simcrop.core.data.problems import Problem
from simcrop.core.errors import ConfigError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (identity TEXT);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, folder BLOB, name BLOB, num_bytes INTEGER, mtime_ns INTEGER, state TEXT, entry TEXT,
    series TEXT, walk INTEGER, UNIQUE (folder, name));
CREATE INDEX IF NOT EXISTS by_series ON files (series, folder);
"""
_SCRATCH = """
DROP TABLE IF EXISTS volumes;
DROP TABLE IF EXISTS texts;
CREATE TABLE volumes (place INTEGER PRIMARY KEY, study TEXT, row TEXT, best INTEGER DEFAULT 0);
CREATE INDEX by_study ON volumes (study, place);
CREATE TABLE texts (study TEXT PRIMARY KEY, findings TEXT, impression TEXT);
"""
_ROWS_AT_ONCE = 10_000


class WorkFile:
    """The files of a tree, and what each of them is, kept from one command to the next.

    One process at a time may have it.

    Args:
        path: of the file.
        identity: of what is indexed, and how; what another one left is thrown away.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        try:
            try:
                self._begin(identity)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # no database: cut off by a full disk, or of somebody else
                self._database.close()
                path.unlink()
                self._begin(identity)
        except sqlite3.OperationalError as error:
            raise ConfigError(f"{path}: cannot be written ({error}); name another --out") from error

    def _begin(self, identity: str) -> None:
        self._database = sqlite3.connect(self.path, timeout=0.2)
        for setting in ("locking_mode = EXCLUSIVE", "synchronous = NORMAL", "temp_store = FILE"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executescript(_SCHEMA)
        known = self._database.execute("SELECT identity FROM about").fetchone()
        if known is None or known[0] != identity:
            self._database.execute("DELETE FROM about")
            self._database.execute("DELETE FROM files")
            self._database.execute("INSERT INTO about VALUES (?)", (identity,))
        self._database.executescript(_SCRATCH)
        self._database.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(value, sqlite3.Error):
            self._database.close()
            remedy = "free some space, then run the same command again: it goes on"
            raise ConfigError(f"{self.path}: cannot be written ({value}); {remedy}") from value
        self._database.commit()
        self._database.close()

    def remove(self) -> None:
        """Remove the file: its table is written."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def add_found(self, files: Iterable[Found]) -> None:
        """Take over what a walk finds; a file that is as it was keeps its entry, and those that are gone go."""
        walk = 1 + (self._database.execute("SELECT max(walk) FROM files").fetchone()[0] or 0)
        # Names need not be UTF-8: they are kept as bytes.
        rows = ((*_key(found), found.num_bytes, found.mtime_ns, _state(found), walk) for found in files)
        self._database.executemany(
            "INSERT INTO files (folder, name, num_bytes, mtime_ns, state, walk) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (folder, name) DO UPDATE SET walk = excluded.walk, num_bytes = excluded.num_bytes, "
            "mtime_ns = excluded.mtime_ns, state = excluded.state, "
            "entry = CASE WHEN num_bytes = excluded.num_bytes AND mtime_ns = excluded.mtime_ns "
            "AND state = excluded.state THEN entry END",
            rows,
        )
        self._database.execute("DELETE FROM files WHERE walk < ?", (walk,))
        self._database.commit()

    def count(self) -> tuple[int, int]:
        """Files that have an entry, and all."""
        done, total = self._database.execute("SELECT count(entry), count(*) FROM files").fetchone()
        return int(done), int(total)

    def pieces(self, size: int) -> "Pieces":
        """The files without an entry, so many at a time."""
        return Pieces(self._database, size)

    def add_entries(self, files: Sequence[Found], entries: Sequence[tuple[str, str | None]]) -> None:
        """Keep what some files are; that is safe when this returns.

        Args:
            files: which.
            entries: what they are, and of which series they are slices.
        """
        self._database.executemany(
            "UPDATE files SET entry = ?, series = ? WHERE folder = ? AND name = ?",
            ((*entry, *_key(found)) for found, entry in zip(files, entries, strict=True)),
        )
        self._database.commit()

    def folders(self) -> Iterator[str]:
        """Every folder with files, in order."""
        return (os.fsdecode(row[0]) for row in self._all("SELECT DISTINCT folder FROM files ORDER BY folder"))

    def series_in(self, folder: str) -> list[str]:
        """UIDs of the series that have slices in a folder."""
        query = "SELECT DISTINCT series FROM files WHERE folder = ? AND series IS NOT NULL ORDER BY series"
        return [row[0] for row in self._database.execute(query, (os.fsencode(folder),))]

    def folders_of(self, series: str) -> list[str]:
        """Folders in which a series has slices, in order."""
        query = "SELECT DISTINCT folder FROM files WHERE series = ? ORDER BY folder"
        return [os.fsdecode(row[0]) for row in self._database.execute(query, (series,))]

    def files(self, folder: str, series: str | None) -> Iterator[tuple[Found, str]]:
        """The files of a folder that are slices of one series, or of none, with their entries, by name."""
        query = f"SELECT {_COLUMNS}, entry FROM files WHERE folder = ? AND series IS ? ORDER BY name"
        return ((_found(row), row[-1]) for row in self._all(query, os.fsencode(folder), series))

    def add_volume(self, place: int, row: TableRow) -> None:
        """Keep a row of the table to come."""
        values = (place, row.study_id, json.dumps(dataclasses.asdict(row)))
        self._database.execute("INSERT INTO volumes (place, study, row) VALUES (?, ?, ?)", values)

    def by_study(self) -> Iterator[tuple[str, list[tuple[int, TableRow]]]]:
        """Every study with its rows and their places."""
        rows = self._all("SELECT study, place, row FROM volumes ORDER BY study, place")
        for study, group in groupby(rows, key=lambda row: row[0]):
            yield study, [(place, TableRow(**json.loads(text))) for _, place, text in group]

    def mark_best(self, place: int) -> None:
        """Mark a row as the best of its study."""
        self._database.execute("UPDATE volumes SET best = 1 WHERE place = ?", (place,))

    def add_texts(self, study: str, findings: str, impression: str) -> None:
        """Keep the report of a study."""
        self._database.execute("INSERT INTO texts VALUES (?, ?, ?)", (study, findings, impression))

    def volumes(self) -> Iterator[tuple[TableRow, bool, tuple[str, str] | None]]:
        """Every row in order: whether it is the best of its study; findings and impression, where it has a report."""
        query = "SELECT row, best, findings, impression FROM volumes LEFT JOIN texts USING (study) ORDER BY place"
        for text, best, findings, impression in self._all(query):
            yield TableRow(**json.loads(text)), bool(best), None if findings is None else (findings, impression)

    def _all(self, query: str, *values: Any) -> Iterator[Any]:
        cursor = self._database.execute(query, values)
        while rows := list(islice(cursor, _ROWS_AT_ONCE)):
            yield from rows


_COLUMNS = "folder, name, num_bytes, mtime_ns, state"


class Pieces(Sequence[tuple[Found, ...]]):
    """Files without an entry, in pieces that are looked up when they are wanted."""

    def __init__(self, database: sqlite3.Connection, size: int) -> None:
        self._database = database
        query = (
            "SELECT min(id), max(id) FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / ? AS piece "
            "FROM files WHERE entry IS NULL) GROUP BY piece ORDER BY piece"
        )
        self._ranges: list[tuple[int, int]] = database.execute(query, (size,)).fetchall()

    def __len__(self) -> int:
        return len(self._ranges)

    def __getitem__(self, place: Any) -> Any:
        query = f"SELECT {_COLUMNS} FROM files WHERE id BETWEEN ? AND ? AND entry IS NULL ORDER BY id"
        return tuple(_found(row) for row in self._database.execute(query, self._ranges[place]))


def _key(found: Found) -> tuple[bytes, bytes]:
    return os.fsencode(found.folder), os.fsencode(found.name)


def _state(found: Found) -> str:
    """Why a file is no candidate, as JSON; empty where it is one."""
    if not found.reason:
        return ""
    told = found.problem
    parts = None if told is None else [told.file, told.code, told.message]
    return json.dumps([found.reason, parts, found.is_folder])


def _found(row: Sequence[Any]) -> Found:
    folder, name, num_bytes, mtime_ns, state = row[:5]
    reason, parts, is_folder = json.loads(state) if state else ("", None, False)
    told = None if parts is None else Problem(*parts)
    return Found(os.fsdecode(folder), os.fsdecode(name), num_bytes, mtime_ns, reason, told, is_folder)
