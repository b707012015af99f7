"""Remember what a check found of each volume's file, by the file's size and time, so that none is read twice.

    CACHE/checked_KEY.jsonl    one JSON object a volume: name, source, digest, problems; the last line counts

KEY is a hash of the data set with its declarations, and `VERSION`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from simcrop.adapters.problems.paths import data_files, is_file
from simcrop.adapters.system.cache_folder import append_row, key_of
from simcrop.adapters.system.outside_files import parse_json
from simcrop.core.data.problems import Problem
from simcrop.core.ports import DataSet
from simcrop.core.reports.checks import repeats

VERSION = 5
"""Goes up when a file would be judged otherwise."""

_CLEAN = re.compile(
    rb'\{"name": "([^"\\\x80-\xff]*)", "source": (\{[^{}\x80-\xff]*\}), "digest": (?:null|"([^"\\\x80-\xff]*)"), '
    rb'"problems": \[\]\}\r?\n?\Z'
)
"""A line without a problem and without a letter that JSON escapes; any other is parsed."""
_NOT_REMEMBERED = frozenset(
    {
        *("container.ambiguous", "container.missing", "container.unreadable", "container.no_decoder"),
        *("safety.outside", "content.no_scaling"),
    }
)
"""What can be put right without changing the file itself, so that its stamp would not show it."""

Stamp = Mapping[str, Any]
"""Name, size and time of a file."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on one volume's file.

    Attributes:
        source: stamp of the file when it was looked at.
        digest: hash of its voxels; None where they could not be read, or were not hashed.
        problems: notes included; empty for a clean file.
    """

    source: Stamp
    digest: str | None
    problems: tuple[Problem, ...]

    @property
    def error(self) -> Problem | None:
        """The first problem that is an error."""
        return next((problem for problem in self.problems if problem.severity == "error"), None)


class Verdicts:
    """The verdicts on the volumes of a data set.

    Args:
        cache: folder of all that is prepared.
        source: the data set.
    """

    def __init__(self, cache: Path, source: DataSet) -> None:
        self._source = source
        self._path = cache / f"checked_{key_of([VERSION, source.identity])}.jsonl"
        self._known: dict[str, Verdict | bytes] = {}
        """Volume -> its verdict; of a clean one, which nearly all are, the stamp alone, as it was written."""
        self._digests: dict[str, str | None] = {}
        for name, verdict, digest in self._read():
            self._known[name], self._digests[name] = verdict, digest

    def get(self, name: str) -> Verdict | None:
        """The verdict on a volume whose file is still as it was."""
        verdict = self._known.get(name)
        if isinstance(verdict, bytes):
            verdict = Verdict(parse_json(verdict), self._digests[name], ())
        return verdict if verdict is not None and verdict.source == source_stamp(self._source, name) else None

    def errors(self) -> dict[str, Problem]:
        """Volume -> its error, where an earlier check or preparation found one and its file is still as it was.

        What holds the voxels of a volume on the other side of the split is among them.
        """
        count = Counter(self._digests.values())
        digests = {name: digest for name, digest in self._digests.items() if count[digest] > 1}
        repeated = repeats(self._source.studies(), digests) if digests else ()
        leaked = {found.file: found for found in repeated if found.severity == "error"}
        looked_at = ((name, verdict) for name, verdict in self._known.items() if isinstance(verdict, Verdict))
        bad = {name: verdict.error for name, verdict in looked_at if verdict.error is not None}
        # Files are looked up for the few bad ones alone: at 50,000 volumes that is felt.
        return {name: error for name, error in {**leaked, **bad}.items() if self.get(name) is not None}

    def add_errors(self, found: Mapping[str, Problem]) -> None:
        """Keep for later runs what turned out bad. Raises DataError where it cannot be written."""
        for name, error in found.items():
            self.add(name, Verdict(source_stamp(self._source, name), None, (error,)))

    def add(self, name: str, verdict: Verdict) -> None:
        """Remember a verdict; it is on disk when this returns, unless it hangs on more than the file itself.

        Raises:
            DataError: it cannot be written.
        """
        if any(found.code in _NOT_REMEMBERED for found in verdict.problems):
            return
        problems = [[p.file, p.code, p.message, dict(p.values), p.is_note] for p in verdict.problems]
        row = {"name": name, "source": dict(verdict.source), "digest": verdict.digest, "problems": problems}
        append_row(self._path, row)
        self._known[name], self._digests[name] = verdict, verdict.digest

    def _read(self) -> Iterator[tuple[str, Verdict | bytes, str | None]]:
        """Volume, verdict and digest of every line."""
        with suppress(OSError), self._path.open("rb") as file:
            for line in file:
                clean = _CLEAN.match(line)
                if clean is not None:
                    name, source, digest = clean.groups()
                    yield name.decode(), source, None if digest is None else digest.decode()
                    continue
                try:
                    row = parse_json(line)
                    problems = tuple(Problem(*entry) for entry in row["problems"])
                    yield row["name"], Verdict(row["source"], row["digest"], problems), row["digest"]
                except (ValueError, KeyError, TypeError, AssertionError):
                    continue  # cut off when its process was killed


def source_stamp(source: DataSet, reconstruction: str) -> dict[str, Any]:
    """Name, size and time of a volume's file, and of what belongs to it; empty where they cannot be seen."""
    path = source.volume_file(reconstruction)
    try:
        status = path.stat()
        is_folder = S_ISDIR(status.st_mode)
        behind = [part.stat() for part in (_below(path) if is_folder else data_files(path))]
    except OSError:
        return {}  # what is wrong with it is told when it is opened
    num_bytes = sum(each.st_size for each in (behind if is_folder else [status, *behind]))
    return {"name": path.name, "bytes": num_bytes, "mtime_ns": max(each.st_mtime_ns for each in (status, *behind))}


def file_stamps(paths: Iterable[Path]) -> list[list[Any]]:
    """Name, size and time of every file that is there."""
    files = [(path, path.stat()) for path in paths if is_file(path)]
    return [[path.name, status.st_size, status.st_mtime_ns] for path, status in files]


def _below(folder: Path) -> Iterator[Path]:
    """Every file of a folder and of those below it; links to folders are not followed."""
    for below, _, names in os.walk(folder):
        yield from (Path(below, name) for name in names)
