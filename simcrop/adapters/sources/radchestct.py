"""RAD-ChestCT as it is downloaded: chest CT of Duke University, labels for abnormality x location, no reports."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Self, Unpack

import numpy as np

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.npz import opened_array
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.formats.tables import Row, find_table, read_rows
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.sources.base import Options, Source, options, study_of
from simcrop.adapters.sources.label_tables import RADCHESTCT
from simcrop.core.data.cells import as_label, filled, is_unsure
from simcrop.core.data.problems import OnProblem
from simcrop.core.evaluation import published

HeldOutPart = Literal["val", "tst"]
_NAME = re.compile(r"(trn|val|tst)\d+")
_TABLES = {
    part: f"img{name}_Abnormality_and_Location_Labels.csv"
    for part, name in (("trn", "train"), ("val", "valid"), ("tst", "test"))
}
_ID = "NoteAcc_DEID"
_KEY = "ct"
_SPACING_MM = 0.8
_AFFINE = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]) * [[_SPACING_MM] * 3 + [1]]
"""Indices (slice, row, column) to mm, RAS. The files keep no origin: the first voxel is taken for it."""


class RadChestCTSource(Source):
    """Volumes `trn#####.npz`, `val#####.npz`, `tst#####.npz` of one folder, with the label tables where they are there.

    Each file has one array `ct` [slice, row, column], int16, HU clipped to +-1000, 0.8 mm along every axis. Slices
    run from head to feet, rows from front to back, columns from the patient's right to the left: the authors'
    pre-processing takes only slices with the orientation 1 0 0 0 1 0 and sorts them by falling position, and the
    extrema table names its columns accordingly (`sup_axis0min`, `ant_axis1min`, `rig_axis2min`). The files
    themselves say nothing of it.

    `trn` is the training part. Of `val` and `tst` one is held out and the other is left out altogether, so that the
    test part is never trained on, nor looked at before it is asked for. A label is 1 where the abnormality is in any
    location, and unknown where a cell is blank and no other one is 1. Every volume is a patient of its own: patients
    are not named, and lie in one part each.
    """

    kind = "radchestct"
    suffix = ".npz"
    declares_padding = False
    label_table = RADCHESTCT
    published = published.RADCHESTCT

    def __init__(self, root: Path, *, held_out: HeldOutPart = "val", **declared: Unpack[Options]) -> None:
        """
        Args:
            root: the folder.
            held_out: the part that stands for "validation".
            declared: see `Options`; volumes are quarantined like trn00001.

        Raises:
            BadFileError: if there is no volume, or a table lacks its columns.
        """
        super().__init__(root, **declared)
        self._splits = {"trn": "train", held_out: "validation"}
        names = [path.stem for path in self.files() if self._is_listed(path.stem)]
        self.label_names, labels = self._read_labels(names)
        studies = [
            study_of(name, patient_id=name, split=self._splits[name[:3]], labels=labels[name])
            for name in names
            if name in labels
        ]
        self._take(studies, f"volume like trn00001.npz or {held_out}00001.npz")

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The data set that a configuration describes."""
        assert data.root is not None
        return cls(data.root, held_out=data.held_out_part, **options(data, on_problem))

    def volume_file(self, reconstruction: str) -> Path:
        """trn00001.npz of trn00001."""
        return inside(self._root, f"{reconstruction}.npz")

    def files(self) -> Iterator[Path]:
        """Every .npz of the folder, but for those in quarantine and of the part that is left out."""
        for path in sorted(self._root.glob("*.npz")):
            match = _NAME.fullmatch(path.stem)
            if path.stem not in self._quarantine and (match is None or match[1] in self._splits):
                yield path

    def opening(self, path: Path, on_problem: OnProblem) -> AbstractContextManager[StoredVolume]:
        """Opens the array of a file."""
        return opened_array(path, _KEY, _AFFINE)

    def _is_listed(self, name: str) -> bool:
        return _NAME.fullmatch(name) is not None and self._is_usable(name)

    def _read_labels(self, names: Sequence[str]) -> tuple[tuple[str, ...], Mapping[str, Mapping[str, int]]]:
        """Names of the labels, and volume -> labels: none where its part has no table, no entry where it has no row."""
        label_names: dict[str, None] = {}
        labels: dict[str, Mapping[str, int]] = {}
        for part in self._splits:
            own = {name for name in names if name.startswith(part)}
            path = find_table(self._root / _TABLES[part])
            if path is None:
                labels |= {name: {} for name in own}
                continue
            found, num_missing = self._labels_of(path, own)
            labels |= found
            label_names |= dict.fromkeys(name for values in found.values() for name in values)
            for name in sorted(own - found.keys()):
                message = f"is named by no row of {path.name}"
                self._tell(self.volume_file(name), "set.file_without_row", message, table=str(path))
            if num_missing:
                message = f"has {num_missing} rows whose volume is not there"
                self._tell(path, "set.partial_download", message, rows=num_missing)
        return tuple(label_names), labels

    def _labels_of(self, path: Path, names: Collection[str]) -> tuple[dict[str, Mapping[str, int]], int]:
        """Volume -> labels by one table, and how many of its rows name a volume that is not there."""
        columns, rows = read_rows(path, [_ID], self._on_problem)
        abnormalities: dict[str, list[str]] = {}
        for column in columns:
            abnormality, star, _ = column.partition("*")
            if star:
                abnormalities.setdefault(abnormality, []).append(column)
        if not abnormalities:
            self._tell(path, "text.column", "has no column like nodule*left_lung", missing=["abnormality*location"])
        found: dict[str, Mapping[str, int]] = {}
        num_missing = 0
        for line, row in rows:
            name = filled(row[_ID])
            if not name:
                self._tell(path, "text.value", f"line {line} has no {_ID}", line=line, column=_ID)
            elif name in names:
                found[name] = self._labels_in(path, line, row, abnormalities)
            elif name not in self._quarantine:
                num_missing += 1
        return found, num_missing

    def _labels_in(
        self, path: Path, line: int, row: Row, abnormalities: Mapping[str, Sequence[str]]
    ) -> Mapping[str, int]:
        labels: dict[str, int] = {}
        for abnormality, columns in abnormalities.items():
            values = {column: as_label(row[column]) for column in columns}
            unknown = [column for column, value in values.items() if value is None]
            odd = [column for column in unknown if not is_unsure(row[column])]
            if odd:
                message = f"line {line} has {row[odd[0]]!r} as {odd[0]!r}; a label is 0 or 1, or blank"
                self._tell(path, "text.value", message, line=line, column=odd[0])
            if not unknown or 1 in values.values():
                labels[abnormality] = int(1 in values.values())
        return labels
