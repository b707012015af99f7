"""A tree of files becomes a table of its volumes, with their reports, and a list of everything else."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from simcrop.adapters.sources.indexing.entries import VERSION, read_entries
from simcrop.adapters.sources.indexing.file_rows import StudyIs
from simcrop.adapters.sources.indexing.outputs import (
    Counts,
    LeftOutTable,
    Places,
    text_file,
    write_configuration,
    write_table,
)
from simcrop.adapters.sources.indexing.reports import Joined, ReportTable, check_reports, join_reports
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.volumes import LeftOut, volumes_of
from simcrop.adapters.sources.indexing.walking import walk
from simcrop.adapters.sources.indexing.work_file import WorkFile
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.system.locks import owned
from simcrop.adapters.system.pool import run_all, usable_cores
from simcrop.adapters.system.progress import Bar, duration
from simcrop.core.data.best_series import Preference, best_of
from simcrop.core.data.problems import Problem, bad_file
from simcrop.core.errors import ConfigError

_PIECE = 256
"""Files that a process looks at before it answers."""
_log = logging.getLogger("simcrop")


@dataclass(frozen=True)
class IndexOptions:
    """What is asked for.

    Attributes:
        preference: which series is the best of a study.
        best_only: whether the table holds these alone; with reports, of studies that have one.
        study_is: what a study is where no header tells; None goes by the names of the files.
        reports: that the studies get.
        workers: processes; None for one a core.
    """

    preference: Preference = field(default_factory=Preference)
    best_only: bool = False
    study_is: StudyIs | None = None
    reports: ReportTable | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Indexed:
    """What came of it.

    Attributes:
        places: of what was written.
        files: in the tree.
        volumes, studies, best: in the tree; studies with a best series.
        written: rows of the table, and their files.
        left_out: what is named in the list beside it.
        joined: reports, where some were given.
        has_configuration: whether a configuration was written, and was not there before.
    """

    places: Places
    files: int
    volumes: int
    studies: int
    best: int
    written: Counts
    left_out: Counts
    joined: Joined | None
    has_configuration: bool


def index_folder(folder: Path, out: Path, options: IndexOptions) -> Indexed:
    """Write a table of the volumes in a tree of files, and beside it a list of everything else in it.

    A command that is killed goes on where it was, and ends in the same bytes.

    Args:
        folder: the tree.
        out: the table, a CSV.
        options: what is asked for.

    Raises:
        BadFileError: there is no such folder, or the reports cannot be read.
        DataError: another process writes the table.
        ConfigError: it cannot be written there, or a column is not there.
    """
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"--out {out}: is no name of a CSV; name it {out.with_suffix('.csv').name}")
    if not folder.is_dir():
        raise bad_file(folder, "container.missing", "is no folder")
    if options.reports is not None:  # better known before hours of reading
        check_reports(options.reports)
    make_folder(out.absolute().parent)
    places = Places(out.absolute().parent.resolve() / out.name, folder.resolve())
    identity = f"{VERSION} {places.root}"
    with owned(places.table, beside=True), WorkFile(places.work, identity) as work:
        places.remove_drafts()
        work.add_found(walk(places.root, places.is_own))
        _read_all(work, places.root, options.workers or usable_cores())
        found = _assembled(work, places, options)
        work.remove()
    return found


def _read_all(work: WorkFile, root: Path, workers: int) -> None:
    """Look at every file that is not known yet."""
    done, total = work.count()
    before, started = done, time.monotonic()
    with Bar("files looked at", total) as bar:
        bar.update(done)
        for files, entries in run_all(read_entries, root, work.pieces(_PIECE), workers):
            work.add_entries(files, entries)
            done += len(files)
            rate = (done - before) / max(1e-3, time.monotonic() - started)
            bar.update(done, f"{rate:,.0f} files/s, {duration((total - done) / rate)} left")


def _assembled(work: WorkFile, places: Places, options: IndexOptions) -> Indexed:
    """Write both tables from what is known of each file."""
    _, files = work.count()
    with text_file(places.left_out) as beside, text_file(places.table) as stream:
        left_out = LeftOutTable(beside, places)
        volumes = _add_volumes(work, places.root, options, left_out.add)
        studies, best = _mark_best(work, options.preference)
        joined = None
        if options.reports is not None:
            joined = join_reports(work, options.reports, left_out.add, _warn)
        written = write_table(stream, places, _chosen(work, options, left_out.add))
    left_out.tell()
    has_configuration = write_configuration(places)
    return Indexed(places, files, volumes, studies, best, written, left_out.counts, joined, has_configuration)


def _add_volumes(work: WorkFile, root: Path, options: IndexOptions, on_left_out: Callable[[LeftOut], None]) -> int:
    """Keep every row; tell of every file that is in none. Gives the number of rows."""
    count = 0
    for found in volumes_of(work, root, options.study_is):
        if isinstance(found, TableRow):
            work.add_volume(count, found)
            count += 1
        else:
            on_left_out(found)
    return count


def _mark_best(work: WorkFile, wanted: Preference) -> tuple[int, int]:
    """Mark the best series of each study. Gives the number of studies, and of those that have one."""
    studies, best = 0, list[int]()
    for _, rows in work.by_study():
        studies += 1
        place = best_of([row.facts for _, row in rows], wanted)
        if place is not None:
            best.append(rows[place][0])
    for place in best:
        work.mark_best(place)
    return studies, len(best)


def _chosen(
    work: WorkFile, options: IndexOptions, on_left_out: Callable[[LeftOut], None]
) -> Iterator[tuple[TableRow, bool, tuple[str, str]]]:
    """The rows to write; volumes that are left out are told."""
    for row, is_best, texts in work.volumes():
        reason = ""
        if options.best_only and not is_best:
            reason = "a volume that is not the best of its study"
        elif options.best_only and options.reports is not None and texts is None:
            reason = "the best volume of a study without a report"
        if reason:
            on_left_out(LeftOut("volume", row.volume, reason, row.verdict, row.problems, row.num_files, row.series))
        else:
            yield row, is_best, texts or ("", "")


def _warn(found: Problem) -> None:
    _log.warning(str(found))
