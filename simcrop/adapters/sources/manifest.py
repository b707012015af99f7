"""A data set of one's own: one CSV with the columns volume, findings, impression."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, Unpack

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.csv_tables import Row, as_label, is_unknown, read_rows
from simcrop.adapters.formats.dicom_bytes import begins_as_dicom, has_pydicom, require_pydicom
from simcrop.adapters.formats.opening import SUFFIXES, suffix_of, without_suffix
from simcrop.adapters.problems.paths import inside, is_file, is_folder, refuse_link_out
from simcrop.adapters.sources.base import Options, Source, options
from simcrop.adapters.sources.series_folders import series_below
from simcrop.adapters.sources.truth_folders import TruthFolders
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file
from simcrop.core.data.study import Report, Study

_REQUIRED = ("volume", "findings", "impression")
_OPTIONAL = ("study_id", "patient_id", "split", "series")
_SPLITS = {"": None, "train": "train", "validation": "validation", "valid": "validation", "val": "validation"}


class ManifestSource(TruthFolders, Source):
    """Studies of a CSV. Paths are relative to it and stay in its folder; listing opens no volume.

    A row whose volume is a folder of DICOM may name one `series` in it, by its UID, number or description; the volume
    is then called FOLDER#SERIES. Rows with one `study_id` are reconstructions of one study and share its first row's
    report. Without `study_id` every row is a study of its own; without `patient_id` every study is a patient. Further
    columns that hold 0 and 1 are labels; a cell that is blank (or NaN) leaves its study without that label, any other
    value makes the column none. Masks may lie in `ground_truth/` beside the CSV, under the volume's path without
    .nii.gz or the like.
    """

    kind = "manifest"

    def __init__(self, csv_path: Path, **declared: Unpack[Options]) -> None:
        """
        Args:
            csv_path: the table.
            declared: see `Options`; volumes are quarantined as the column `volume` names them.

        Raises:
            BadFileError: if the table is absent, lacks a column, or has no row.
        """
        super().__init__(csv_path.resolve().parent, **declared)
        self._path = csv_path
        columns, rows = read_rows(csv_path, _REQUIRED, self._on_problem)
        everything = list(rows)
        table = [
            (line, row)
            for line, row in everything
            if self._quarantine.isdisjoint({row["volume"].strip(), _volume(row)})
        ]
        if not table:
            raise bad_file(csv_path, "set.no_studies", "has no row")
        self.label_names = tuple(
            name
            for name in columns
            if name not in {*_REQUIRED, *_OPTIONAL} and _holds_labels([row[name] for _, row in table])
        )
        self._series = {_volume(row): (row["volume"].strip(), _series(row)) for _, row in table if _series(row)}
        self._studies = self._read_studies(table)
        named = {Path(row["volume"].strip()) for _, row in everything}
        used = (self._series.get(name, (name, ""))[0] for study in self._studies for name in study.reconstructions)
        self._left_out = named - set(map(Path, used))

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The data set that a configuration describes."""
        assert data.manifest is not None
        return cls(data.manifest, **options(data, on_problem))

    def volume_file(self, reconstruction: str) -> Path:
        """The file, or the folder of slices, that the column `volume` names."""
        return inside(self._root, self._series.get(reconstruction, (reconstruction, ""))[0])

    def files(self) -> Iterator[Path]:
        """Every volume beside the table that is used, or that no row names; ground truth is none."""
        for path in sorted(path for path in self._root.rglob("*") if suffix_of(path.name)):
            name = path.relative_to(self._root)
            if name.parts[0] != "ground_truth" and not path.is_dir() and name not in self._left_out:
                yield path
        if has_pydicom():
            yield from self._series_folders()

    def _series_folders(self) -> Iterator[Path]:
        """Every folder of DICOM slices that is used, or that no row names."""
        used = {self.volume_file(name) for study in self._studies for name in study.reconstructions}
        taken = used.union({self._root / "ground_truth"}, (self._root / name for name in self._left_out))
        around = {path.parent for path in used if not suffix_of(path.name) and is_file(path)}
        for found in series_below(self._root, lambda problem: None, beside_volumes=True):
            if found.path in around:  # a row names the file in it
                continue
            if found.path in used or taken.isdisjoint({found.path, *found.path.parents}):
                yield found.path

    def _truth_folder(self, reconstruction: str) -> Path:
        relative = inside(self._root, reconstruction).relative_to(self._root)
        return self._root / "ground_truth" / relative.parent / without_suffix(relative.name)

    def _read_studies(self, table: Sequence[tuple[int, Row]]) -> list[Study]:
        groups: dict[str, dict[str, Row]] = {}
        for line, row in table:
            volume = _volume(row)
            if not self._is_row_usable(line, row):
                continue
            study_id = row.get("study_id", "").strip() or without_suffix(volume)
            rows = groups.setdefault(study_id, {})
            if volume in rows:
                message = f"has a second row, on line {line} of {self._path.name}"
                self._tell(volume, "text.duplicate_row", message, table=str(self._path), line=line)
                continue
            rows[volume] = row
        return [self._study(study_id, rows) for study_id, rows in groups.items()]

    def _study(self, study_id: str, rows: Mapping[str, Row]) -> Study:
        first = next(iter(rows.values()))
        given = ((_SPLITS[_split(row)], volume) for volume, row in rows.items())
        splits = {split: volume for split, volume in given if split is not None}
        if len(splits) > 1:
            message = "is in two splits: " + ", ".join(f"{volume} in {split}" for split, volume in splits.items())
            self._tell(study_id, "set.split_leak", message, **splits)
        patients = {row.get("patient_id", "").strip() for row in rows.values()} - {""}
        if len(patients) > 1:
            message = f"is of several patients: {', '.join(sorted(patients))}"
            self._tell(study_id, "text.value", message, column="patient_id")
        return Study(
            study_id=study_id,
            patient_id=first.get("patient_id", "").strip() or study_id,
            report=Report(first["findings"], first["impression"]),
            reconstructions=tuple(rows),
            split=_SPLITS[_split(first)],
            labels=self._labels(tuple(rows.values())),
        )

    def _labels(self, rows: Sequence[Row]) -> Mapping[str, int]:
        """Of each label the first of a study's rows that says something; none where no row does."""
        labels: dict[str, int] = {}
        for name, row in ((name, row) for name in self.label_names for row in rows):
            value = as_label(row[name])
            if value is not None:
                labels.setdefault(name, value)
        return labels

    def _is_row_usable(self, line: int, row: Row) -> bool:
        volume = row["volume"].strip()
        where = {"line": line, "volume": volume}
        if _split(row) not in _SPLITS:
            message = f"line {line} has the split {_split(row)!r}; use train or validation"
            self._tell(self._path, "text.value", message, column="split", **where)
            return False
        try:
            path = self.volume_file(volume)
            is_dicom = not suffix_of(volume) and (is_folder(path) or begins_as_dicom(path))
            if not is_dicom and not suffix_of(volume):
                message = f"line {line} names the volume {volume!r}; expected {SUFFIXES}, enhanced CT or a DICOM series"
                self._tell(self._path, "text.value", message, column="volume", **where)
                return False
            if is_dicom:
                require_pydicom()
            is_there = is_dicom or is_file(path)
            if is_there and path.is_symlink():
                refuse_link_out(self._root, path)
        except BadFileError as error:
            self._on_problem(error.problem)
            return False
        if not is_there:
            message = f"does not exist, and line {line} of {self._path} names it"
            self._tell(self._root / volume, "set.row_without_file", message, **where)
            return False
        return True


def _holds_labels(cells: Sequence[str]) -> bool:
    """Whether all cells are 0, 1 or unknown, and some are known."""
    known = [cell for cell in cells if not is_unknown(cell)]
    return bool(known) and all(as_label(cell) is not None for cell in known)


def _series(row: Row) -> str:
    """The series that a row names, of a folder; that of a file is the file itself."""
    cell = row.get("series", "").strip()
    return "" if is_unknown(cell) or suffix_of(row["volume"].strip()) else cell


def _volume(row: Row) -> str:
    """What a row's volume is called."""
    return "#".join(part for part in (row["volume"].strip(), _series(row)) if part)


def _split(row: Row) -> str:
    return row.get("split", "").strip().casefold()
