"""Files that an index writes: the table, the list of what is left out, and a configuration that takes the table."""

import io
import json
import re
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from simcrop.adapters.config.shipped import shipped
from simcrop.adapters.formats.csv_writer import CsvWriter
from simcrop.adapters.sources.indexing.rows import COLUMNS, TableRow
from simcrop.adapters.sources.indexing.volumes import LeftOut
from simcrop.adapters.system.files import replace_text, whole_file

_LEFT_OUT_COLUMNS = ("kind", "name", "series", "files", "reason", "code", "detail")
_WITH_PATHS = frozenset({"file", "folder", "volume"})
_TEMPLATE = Path("configs/own_hospital.yaml")


def list_beside(table: Path) -> Path:
    """The list of what is left out of a table."""
    return table.with_name(f"{table.stem}.left_out.csv")


@dataclass(frozen=True)
class Places:
    """Where an index is written.

    Attributes:
        table: CSV of the volumes.
        root: folder that was indexed.
    """

    table: Path
    root: Path

    @property
    def left_out(self) -> Path:
        """CSV of what is left out."""
        return list_beside(self.table)

    @property
    def work(self) -> Path:
        """What is known so far; it is there only while a command is at work, or was killed."""
        return self.table.with_name(f".{self.table.name}.unfinished")

    @property
    def configuration(self) -> Path:
        """YAML file of a run on the table."""
        return self.table.with_suffix(".yaml")

    def is_own(self, path: Path) -> bool:
        """Whether a file is one of these, or what a command that was killed has left of one."""
        locks = (self.table.with_name(f".{self.table.name}.lock{end}") for end in ("", ".json"))  # of `owned`
        files = (self.table, self.left_out, self.work, self.configuration, *locks)
        is_draft = path.name.startswith(tuple(f".{file.name}." for file in files)) and path.suffix == ".draft"
        is_journal = path.name == f"{self.work.name}-journal"
        return path.parent == self.table.parent and (path in files or is_draft or is_journal)

    def remove_drafts(self) -> None:
        """Remove what commands that were killed have left."""
        for path in self.table.parent.glob(".*.draft"):
            if self.is_own(path):
                path.unlink()

    @property
    def needs_root(self) -> bool:
        """Whether the table lies outside, so that its paths cannot be relative to it."""
        return not self.root.is_relative_to(self.table.parent)

    def named(self, volume: str) -> str:
        """A volume's path as the table has it: relative to the table, or to the root where the table lies outside."""
        if self.needs_root:
            return volume
        below = self.root.relative_to(self.table.parent) / volume
        return below.as_posix()


@dataclass
class Counts:
    """Sums over the lines of a table.

    Attributes:
        rows: lines.
        files: that they stand for.
        reasons: files, or things that are no files, by kind and reason.
    """

    rows: int = 0
    files: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])


class LeftOutTable:
    """The list of what is left out, line by line.

    Args:
        stream: to write to.
        places: of the table, as which the list names files.
    """

    def __init__(self, stream: io.TextIOBase, places: Places) -> None:
        self.counts, self._places = Counts(), places
        self._table = CsvWriter(stream, _LEFT_OUT_COLUMNS)

    def add(self, left_out: LeftOut) -> None:
        """Add a line."""
        one = left_out
        name = self._places.named(one.name) if one.kind in _WITH_PATHS else one.name
        self._table.add((one.kind, name, one.series, one.num_files, one.reason, one.code, one.detail))
        self.counts.rows += 1
        self.counts.files += one.num_files
        self.counts.reasons[one.kind, one.reason] += one.num_files if one.kind == "volume" else 1

    def tell(self) -> None:
        """Warn of texts that a spreadsheet would compute, once all lines are there."""
        self._table.tell(self._places.left_out)


@contextmanager
def text_file(path: Path) -> Generator[io.TextIOBase]:
    """A whole text file; what is not UTF-8 in names becomes an escape."""
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        yield text
        text.flush()
        text.detach()


def write_table(
    stream: io.TextIOBase, places: Places, rows: Iterable[tuple[TableRow, bool, tuple[str, str]]]
) -> Counts:
    """Write rows, each with whether it is the best of its study, findings and impression.

    Args:
        stream: to write to.
        places: of the table.
        rows: in their order.
    """
    counts = Counts()
    table = CsvWriter(stream, COLUMNS)
    for row, is_best, (findings, impression) in rows:
        known = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
        more = {"findings": findings, "impression": impression, "best": "yes" if is_best else "no"}
        cells = {**known, **more, "volume": places.named(row.volume)}
        table.add([cells.get(name, "") for name in COLUMNS])
        counts.rows += 1
        counts.files += row.num_files
    table.tell(places.table)
    return counts


def write_configuration(places: Places) -> bool:
    """Write a configuration that takes the table; one that is there already is left as it is.

    Returns:
        Whether it was written.
    """
    if places.configuration.exists():
        return False
    template = shipped(_TEMPLATE)
    assert template is not None
    values: Mapping[str, str] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "_", places.table.stem).strip("._-") or "own",
        "  manifest": json.dumps(str(places.table), ensure_ascii=False),
    }
    text = template.read_text(encoding="utf-8").partition("\n\n")[2]
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key}: .*$", lambda _, line=f"{key}: {value}": line, text, count=1)
        assert count == 1, key
    if places.needs_root:
        text = text.replace(
            "  manifest:", f"  root: {json.dumps(str(places.root), ensure_ascii=False)}\n  manifest:", 1
        )
    replace_text(places.configuration, f"# Volumes of {places.root}; docs/own-data.md walks through it.\n\n{text}")
    return True
