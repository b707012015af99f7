"""Last lines of `simcrop data index`."""

from collections.abc import Iterator

from simcrop.adapters.sources.indexing.reports import Joined
from simcrop.compose.indexing import Indexed

_MOST_REASONS = 8


def summary_lines(found: Indexed) -> Iterator[str]:
    """Lines that account for every file and every report."""
    places, written = found.places, found.written
    left_out, not_written = _reasons(found, "file"), _reasons(found, "volume")
    passed_over = sum(count for _, count in left_out)
    in_volumes = written.files + sum(count for _, count in not_written)
    studies = _counted(found.studies, "study", "studies")
    yield f"{_counted(found.volumes, 'volume', 'volumes')} of {studies}, {found.best:,} of which have a best series"
    yield f"files: {found.files:,} = {in_volumes:,} in volumes + {passed_over:,} left out{_listed(left_out)}"
    if not_written:
        yield f"files in volumes that are not in the table{_listed(not_written)}"
    folders = _reasons(found, "folder")
    if folders:
        number = _counted(sum(count for _, count in folders), "folder", "folders")
        yield f"{number} not looked into, whose files are not counted{_listed(folders)}"
    if found.joined is not None:
        yield from _joined_lines(found, found.joined)
    if found.left_out.rows:
        yield f"{places.left_out}: names all that is left out, with the reason"
    yield f"{places.table}: {_counted(written.rows, 'volume', 'volumes')}; it holds identifiers of patients"
    kept = "" if found.has_configuration else " (it was there, and was left as it is)"
    yield f"next: simcrop data check {places.configuration}{kept}"


def _joined_lines(found: Indexed, joined: Joined) -> Iterator[str]:
    lost, used = joined.reports - joined.used - joined.repeated, joined.used
    named, without = _listed(_reasons(found, "report")), _listed(_reasons(found, "study"))
    yield f"reports: {joined.reports:,} = {used:,} joined + {joined.repeated:,} repeated + {lost:,} left out{named}"
    yield f"studies: {joined.studies:,} = {used:,} with a report + {joined.studies - used:,} without{without}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _reasons(found: Indexed, kind: str) -> list[tuple[str, int]]:
    """The reasons of one kind, the commonest first."""
    counted = [(reason, count) for (each, reason), count in found.left_out.reasons.items() if each == kind]
    return sorted(counted, key=lambda item: (-item[1], item[0]))


def _listed(reasons: list[tuple[str, int]]) -> str:
    if not reasons:
        return ""
    named = [f"{count:,} {reason}" for reason, count in reasons[:_MOST_REASONS]]
    more = sum(count for _, count in reasons[_MOST_REASONS:])
    return ": " + ", ".join([*named, *([f"{more:,} others"] if more else [])])
