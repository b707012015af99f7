"""A row of numbers for each scan, in a folder that grows while they are computed, and goes on after a stop or a kill.

    OUT/WHAT.json                   what the numbers are, and of which model; WHAT is features or predictions
    OUT/scans.jsonl                 what became of every scan
    OUT/WHAT.csv, .parquet          a row a scan, in the order in which they were named
    OUT/WHAT/NAME.npz, .h5          with these formats: WHAT, and `tokens` where they are asked for
    OUT/segmentations/NAME.nii.gz   of a segmenter: the classes of the scan's own voxels
    OUT/pages/NAME.html             where they are asked for
    OUT/unfinished/part_*.npz       rows that are not yet in the table

Parts of a job that is divided over machines share the folder: `_2_of_8` stands in the names of what each has written.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.applying.journal import Entry, Journal
from simcrop.adapters.formats.array_files import ArrayFormat, read_arrays, require_h5py, write_arrays
from simcrop.adapters.formats.feature_tables import TableFormat, read_table, write_table
from simcrop.adapters.formats.opening import is_nifti, without_suffix
from simcrop.adapters.formats.workbooks import require_pyarrow
from simcrop.adapters.problems.verdicts import Stamp
from simcrop.adapters.system.files import make_folder, remove_drafts, whole_file
from simcrop.core.errors import ConfigError

RowFormat = TableFormat | ArrayFormat
PART_SECONDS = 30.0
"""Computing that a kill can cost."""
_OLD_SECONDS = 3600


def part_name(shard: tuple[int, int]) -> str:
    """What the names have of the files that one part of a divided job writes alone."""
    return "" if shard == (0, 1) else f"_{shard[0] + 1}_of_{shard[1]}"


class RowFolder:
    """The rows of some scans.

    Args:
        out: the folder; absent, empty, or of an earlier command with the same model and format.
        what: features or predictions.
        about: what the numbers are; plain values.
        columns: names of the numbers; None numbers them.
        form: of the result.
        shard: (number from 0, count) of the part of a job that is divided.
        has_maps, has_pages: whether a scan is done only where its map of classes, or its page, lies there too.

    Raises:
        ConfigError: the folder holds rows of another model, or pyarrow or h5py is wanted and absent.
    """

    def __init__(
        self,
        out: Path,
        what: Literal["features", "predictions"],
        about: Mapping[str, Any],
        *,
        columns: Sequence[str] | None = None,
        form: RowFormat = "csv",
        shard: tuple[int, int] = (0, 1),
        has_maps: bool = False,
        has_pages: bool = False,
    ) -> None:
        self._table: TableFormat | None = None
        self._each: ArrayFormat = "npz"
        match form:
            case "csv" | "parquet":
                self._table = form
            case "npz" | "h5":
                self._each = form
        if form == "parquet":
            require_pyarrow()
        elif form == "h5":
            require_h5py()
        make_folder(out)
        remove_drafts(out, older_than_s=_OLD_SECONDS)
        self.out, self._what, self.columns = out, what, columns
        self._about = {**about, "format": form}
        self._has_maps, self._has_pages = has_maps, has_pages
        self._part = part_name(shard)
        self._refuse_others()
        self.journal = Journal(out / f"scans{self._part}.jsonl")
        self._rows = self._kept()
        self._fresh: dict[str, NDArray[np.float32]] = {}
        self._pending: list[Entry] = []
        self._written = time.monotonic()

    @property
    def result(self) -> Path:
        """The table, or the folder of files."""
        return self.out / (self._what if self._table is None else f"{self._what}{self._part}.{self._table}")

    @property
    def _unfinished(self) -> Path:
        return self.out / f"unfinished{self._part}"

    def is_done(self, scan: str, source: Stamp) -> bool:
        """Whether the row of a scan is here, and its file is still as it was then."""
        is_here = self._is_whole(self._file(scan)) if self._table is None else scan in self._rows
        is_here = is_here and (not self._has_maps or self.map_file(scan).exists())
        is_here = is_here and (not self._has_pages or self.page_file(scan).exists())
        return is_here and self.journal.is_done(scan, source)

    def add(self, entry: Entry, row: NDArray[np.float32], tokens: NDArray[np.float32] | None = None) -> None:
        """Keep what was computed of a scan; on disk in half a minute, or at once as a file of its own."""
        if self._table is not None:
            self._fresh[entry.scan] = row
            self._pending.append(entry)
            if time.monotonic() - self._written >= PART_SECONDS:
                self.flush()
            return
        path = self._file(entry.scan)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, durable=False) as file:
            arrays = {self._what: row} | ({} if tokens is None else {"tokens": tokens})
            write_arrays(file, arrays, json.dumps({**self._about, "scan": entry.scan}), self._each)
        self.journal.add(entry)

    def flush(self) -> None:
        """Write rows that are in memory alone."""
        if self._fresh:
            self._unfinished.mkdir(exist_ok=True)
            with whole_file(self._next_part()) as file:
                np.savez(file, names=np.array([*self._fresh]), rows=np.stack([*self._fresh.values()]))
        for entry in self._pending:
            self.journal.add(entry)
        self._rows |= self._fresh
        self._fresh, self._pending, self._written = {}, [], time.monotonic()

    def _next_part(self) -> Path:
        """A name behind those of all parts, even where the clock has jumped back: the later row of a scan counts."""
        numbers = [int(path.stem.removeprefix("part_")) for path in self._unfinished.glob("part_*.npz")]
        return self._unfinished / f"part_{max([time.time_ns(), *(number + 1 for number in numbers)])}.npz"

    def finish(self, scans: Sequence[str]) -> None:
        """Put the result in order: the rows of these scans that are here, in their order."""
        self.flush()
        self.journal.rewrite(scans)
        if self._table is not None:
            rows = {scan: self._rows[scan] for scan in scans if scan in self._rows}
            with whole_file(self.result) as file:
                about = {"simcrop": json.dumps(self._about)}
                write_table(file, rows, self.columns, self._table, about, path=self.result)
            shutil.rmtree(self._unfinished, ignore_errors=True)

    @property
    def maps(self) -> Path | None:
        """The folder of maps of classes, where there are any."""
        return self.out / "segmentations" if self._has_maps else None

    def map_file(self, scan: str) -> Path:
        """The file of a scan's map of classes: named like the scan, and like its other formats with their suffix."""
        inside = _below(scan)
        name = without_suffix(inside.name) if is_nifti(inside) else inside.name
        return self.out / "segmentations" / inside.with_name(f"{name}.nii.gz")

    @property
    def pages(self) -> Path | None:
        """The folder of pages, where there are any."""
        return self.out / "pages" if self._has_pages else None

    def page_file(self, scan: str) -> Path:
        """The file of a scan's page: below a folder, wherever the scan lies, and named like it with its suffix."""
        inside = _below(scan)
        return self.out / "pages" / inside.with_name(f"{inside.name}.html")

    def _file(self, scan: str) -> Path:
        """Below the folder, wherever the scan lies; with its suffix, so that a.nii and a.mha are two."""
        inside = _below(scan)
        return self.result / inside.with_name(f"{inside.name}.{self._each}")

    def _is_whole(self, path: Path) -> bool:
        """Whether a file is there, and not cut off by a power cut. Tokens are not read, as that takes long."""
        try:
            read_arrays(path, [self._what])
        except (OSError, ValueError):
            return False
        return True

    def _refuse_others(self) -> None:
        path = self.out / f"{self._what}.json"
        mine = json.dumps(self._about, indent=1)
        if path.exists() and path.read_text(encoding="utf-8").strip() != mine:
            raise ConfigError(
                f"--out {self.out}: holds {self._what} of another model or kind ({path}); name another "
                "folder, or delete it"
            )
        with whole_file(path) as file:
            file.write(mine.encode() + b"\n")

    def _kept(self) -> dict[str, NDArray[np.float32]]:
        """Rows of an earlier command."""
        if self._table is None:
            return {}
        rows = read_table(self.result) if self.result.exists() else {}
        for path in sorted(self._unfinished.glob("part_*.npz")):
            try:
                part, _ = read_arrays(path, ["names", "rows"])
                rows |= dict(zip(part["names"].tolist(), part["rows"], strict=True))
            except (OSError, ValueError):
                continue  # its scans are computed anew
        return rows


def _below(scan: str) -> Path:
    """The path of a scan as one that stays below a folder."""
    path = Path(scan)
    return Path(*("_" if part == ".." else part for part in path.parts if part != path.anchor))
