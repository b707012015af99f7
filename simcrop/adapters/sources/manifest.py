"""A data set of one's own: one table with the columns volume, findings, impression."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, Unpack

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.dicom_bytes import begins_as_dicom, has_pydicom, require_pydicom
from simcrop.adapters.formats.opening import SUFFIXES, suffix_of, without_suffix
from simcrop.adapters.formats.tables import Row, read_rows
from simcrop.adapters.problems.paths import inside, is_file, is_folder, is_plain_file, refuse_link_out, text_inside
from simcrop.adapters.sources.base import Options, Source, options
from simcrop.adapters.sources.identifiers import Identifiers
from simcrop.adapters.sources.indexing.rows import COLUMNS as INDEX_COLUMNS
from simcrop.adapters.sources.label_columns import read_labels
from simcrop.adapters.sources.left_out import left_out_beside
from simcrop.adapters.sources.named_files import NamedFiles, differ_in_case, is_of_windows
from simcrop.adapters.sources.series_folders import series_below
from simcrop.adapters.sources.truth_folders import TruthFolders
from simcrop.adapters.system.memory import uncollected
from simcrop.core.data.cells import filled, same_name
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file
from simcrop.core.data.study import Report, Study

_REQUIRED = ("volume", "findings", "impression")
_OPTIONAL = ("study_id", "patient_id", "split", "series")
_SPLITS = {
    "": None,
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}


@dataclass(frozen=True)
class _Entry:
    """A row of the table with what its cells mean: an identifier is empty where its cell is blank."""

    line: int
    row: Row
    volume: str
    study_id: str
    patient_id: str


class ManifestSource(TruthFolders, Source):
    """Studies of a table. Paths are relative to it, or to a folder that is named, and stay there; none is opened here.

    A row whose volume is a folder of DICOM may name one `series` in it, by its UID, number or description; the volume
    is then called FOLDER#SERIES. Rows with one `study_id` are reconstructions of one study and share its first row's
    report. Without `study_id` every row is a study of its own; without `patient_id` every study is a patient. Further
    columns, but for those of an index, are labels where nearly all of their cells say yes or no (`label_columns`).
    What is blank, `core.data.cells` says. Masks may lie in `ground_truth/` in the same folder, under the volume's path
    without .nii.gz or the like.
    """

    kind = "manifest"

    @uncollected()
    def __init__(self, table: Path, root: Path | None = None, **declared: Unpack[Options]) -> None:
        """
        Args:
            table: CSV, Excel workbook or Parquet.
            root: folder that paths are relative to; None for that of the table.
            declared: see `Options`; volumes are quarantined as the column `volume` names them.

        Raises:
            BadFileError: if the table is absent, lacks a column, or has no row.
        """
        super().__init__(table.resolve().parent if root is None else root, **declared)
        self._path, self._spelled, self._patients = table, dict[str, str](), dict[str, str]()
        self._named = NamedFiles(self._root)
        columns, rows = read_rows(table, _REQUIRED, self._on_problem, optional=_OPTIONAL)
        everything = self._of_scans(rows)
        self._of_row = dict[str, tuple[str, str]]()
        self._series = self._of_row
        named = [(line, row, self._name_of(row)) for line, row in everything]
        is_any_left_out = bool(self._quarantine)
        kept = [each for each in named if not (is_any_left_out and self._is_left_out(each[1], each[2]))]
        if not kept:
            raise bad_file(table, "set.no_studies", "has no row")
        more = [name for name in columns if name not in {*_REQUIRED, *_OPTIONAL, *INDEX_COLUMNS}]
        labels = read_labels(table, [(line, row) for line, row, _ in kept], more, self._on_problem)
        self.label_names = tuple(labels)
        groups = self._grouped(self._entries(kept))
        self._studies = [self._study(study_id, rows, labels) for study_id, rows in groups.items()]
        self._beside = left_out_beside(table)
        self._beside.tell(self._on_problem)
        used = {name for study in self._studies for name in study.reconstructions}
        self._unused = {name for _, _, name in named if name not in used}

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The data set that a configuration describes."""
        assert data.manifest is not None
        return cls(data.manifest, data.root, **options(data, on_problem))

    @cached_property
    def _left_out(self) -> Set[Path]:
        """Files and folders that a row or the list of an index names, and that no study has."""
        used = {Path(self._on_disk(name)) for study in self._studies for name in study.reconstructions}
        named_here = (Path(self._on_disk(name)) for name in self._unused)
        return {*named_here, *self._beside.files} - used - {Path()}  # a row without a volume names no folder

    def volume_file(self, reconstruction: str) -> Path:
        """The file, or the folder of slices, that the column `volume` names."""
        return inside(self._root, self._on_disk(reconstruction))

    def files(self) -> Iterator[Path]:
        """Every volume beside the table that is used, or that neither a row nor the list of an index names.

        Ground truth is no volume.
        """
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

    def _of_scans(self, rows: Iterable[tuple[int, Row]]) -> list[tuple[int, Row]]:
        """The rows without those that name neither a volume nor a report, which are counted."""
        everything = list(rows)
        others = [line for line, row in everything if not any(filled(row[name]) for name in _REQUIRED)]
        if others:
            message = f"has rows with neither a volume nor a report, which are skipped: {len(others)}, "
            self._tell(self._path, "text.blank_rows", f"{message}the first on line {others[0]}", lines=others[:100])
        skipped = frozenset(others)
        return [(line, row) for line, row in everything if line not in skipped]

    def _name_of(self, row: Row) -> str:
        """What a row's volume is called; of a folder the row may name a series, that of a file is the file itself."""
        volume = self._named.name_of(row["volume"])
        series = "" if not volume or suffix_of(volume) else filled(row.get("series", ""))
        if not series:
            return volume
        name = f"{volume}#{series}"
        self._of_row[name] = volume, series
        return name

    def _is_left_out(self, row: Row, name: str) -> bool:
        """Whether a row's volume is in quarantine, by whatever name."""
        return not self._quarantine.isdisjoint({name, self._place_of(name), row["volume"].strip()})

    def _place_of(self, volume: str) -> str:
        """The path of a volume as the column `volume` has it."""
        return self._series.get(volume, (volume, ""))[0]

    def _truth_folder(self, reconstruction: str) -> Path:
        series = self._series.get(reconstruction, ("", ""))[1]
        name = "#".join(part for part in (self._on_disk(reconstruction), series) if part)
        relative = inside(self._root, name).relative_to(self._root)
        return self._root / "ground_truth" / relative.parent / without_suffix(relative.name)

    def _entries(self, rows: Sequence[tuple[int, Row, str]]) -> list[_Entry]:
        """The rows that can be used, with their identifiers; what is odd about these is told."""
        studies = Identifiers(self._path, "study_id", joins_spellings=False)
        patients = Identifiers(self._path, "patient_id", joins_spellings=True)
        names: dict[tuple[str, str], str] = {}
        entries: list[_Entry] = []
        for line, row, volume in rows:
            if self._is_row_usable(line, row, volume):
                series = self._series.get(volume, ("", ""))[1]
                name = names.setdefault((self._on_disk(volume), series), volume)
                study_id, patient_id = (
                    ids.of(line, row[ids.column]) if ids.column in row else "" for ids in (studies, patients)
                )
                entries.append(_Entry(line, row, name, study_id, patient_id))
        for found in (*studies.problems(), *patients.problems()):
            self._on_problem(found)
        return entries

    def _grouped(self, entries: Sequence[_Entry]) -> Mapping[str, Mapping[str, _Entry]]:
        """Study -> volume -> row. A row without a study_id is a study of its own, named like no other one."""
        taken = {entry.study_id for entry in entries}
        own: dict[str, str] = {}
        groups: dict[str, dict[str, _Entry]] = {}
        for entry in entries:
            study_id = entry.study_id or own.get(entry.volume)
            if study_id is None:
                short = without_suffix(entry.volume)
                study_id = own[entry.volume] = entry.volume if short in taken else short
                taken.add(study_id)
            rows = groups.setdefault(study_id, {})
            if entry.volume in rows:
                message = f"has a second row, on line {entry.line} of {self._path.name}"
                self._tell(entry.volume, "text.duplicate_row", message, table=str(self._path), line=entry.line)
                continue
            rows[entry.volume] = entry
        return groups

    def _study(self, study_id: str, rows: Mapping[str, _Entry], labels: Mapping[str, Mapping[int, int]]) -> Study:
        given = ((_SPLITS[_split(entry.row)], volume) for volume, entry in rows.items())
        splits = {split: volume for split, volume in given if split is not None}
        if len(splits) > 1:
            message = "is in two splits: " + ", ".join(f"{volume} in {split}" for split, volume in splits.items())
            self._tell(study_id, "set.split_leak", message, **splits)
        patients = {entry.patient_id: None for entry in rows.values() if entry.patient_id}
        if len(patients) > 1:
            message = f"is of several patients: {', '.join(sorted(patients))}"
            self._tell(study_id, "text.value", message, column="patient_id")
        return Study(
            study_id=study_id,
            patient_id=next(iter(patients), None) or self._own_patient(study_id, next(iter(rows.values()))),
            report=self._report(study_id, list(rows.values())),
            reconstructions=tuple(rows),
            split=_SPLITS[_split(next(iter(rows.values())).row)],
            labels=_labels_of([entry.line for entry in rows.values()], labels),
        )

    def _own_patient(self, study_id: str, entry: _Entry) -> str:
        """The study, as a patient; where its study_id is that of another one but for its spelling, of that one."""
        return self._patients.setdefault(same_name(study_id), study_id) if entry.study_id else study_id

    def _report(self, study_id: str, entries: Sequence[_Entry]) -> Report:
        """The first report of a study's rows; of others that say something else is told."""
        reports = {entry.line: (entry.row["findings"], entry.row["impression"]) for entry in entries}
        given = {line: report for line, report in reports.items() if any(map(filled, report))} or reports
        (first, report), *others = given.items()
        for line, other in others:
            if list(map(filled, other)) != list(map(filled, report)):
                message = f"has a report on line {line} of {self._path.name} that is not that on line {first}"
                self._tell(study_id, "text.two_reports", f"{message}, which is read", lines=[first, line])
                break
        return Report(*report)

    def _is_row_usable(self, line: int, row: Row, volume: str) -> bool:
        where = {"line": line, "volume": volume}
        if not volume:
            message = f"line {line} has other cells and no volume"
            self._tell(self._path, "text.value", message, column="volume", **where)
            return False
        if _split(row) not in _SPLITS:
            message = f"line {line} has the split {_split(row)!r}; use train or validation"
            self._tell(self._path, "text.value", message, column="split", **where)
            return False
        try:
            return self._is_volume_there(line, self._place_of(volume))
        except BadFileError as error:
            self._on_problem(error.problem)
            return False

    def _is_volume_there(self, line: int, volume: str) -> bool:
        where = {"line": line, "volume": volume}
        has_suffix = bool(suffix_of(volume))
        if has_suffix and is_plain_file(text_inside(str(self._root), self._on_disk(volume))):
            return True
        path = self.volume_file(volume)
        is_there = _is_volume(path, has_suffix=has_suffix)
        if not is_there and self._is_spelled_otherwise(line, volume):
            path = self.volume_file(volume)
            is_there = _is_volume(path, has_suffix=has_suffix)
        if not is_there and not has_suffix:
            message = f"line {line} names the volume {volume!r}; expected {SUFFIXES}, enhanced CT or a DICOM series"
            self._tell(self._path, "text.value", message, column="volume", **where)
        elif not is_there:
            message = f"does not exist, and line {line} of {self._path} names it"
            self._tell(self._root / volume, "set.row_without_file", message, **where)
        elif not has_suffix:
            require_pydicom()
        if is_there and path.is_symlink():
            refuse_link_out(self._root, path)
        return is_there

    def _is_spelled_otherwise(self, line: int, volume: str) -> bool:
        """Whether the file is there under another spelling, which is kept. Raises BadFileError of a Windows path."""
        if is_of_windows(volume):
            message = f"is a path of Windows, on line {line} of {self._path.name}; expected one within {self._root}"
            raise bad_file(volume, "safety.outside", message, root=str(self._root))
        spelled = self._named.spelled_otherwise(volume)
        if spelled is None:
            return False
        self._spelled[volume] = spelled
        if differ_in_case(volume, spelled):
            message = f"is taken for {spelled}, which differs in case alone, on line {line} of {self._path.name}"
            self._tell(volume, "text.file_name", message, line=line, path=spelled)
        return True

    def _on_disk(self, volume: str) -> str:
        """The path of a volume within the folder, as the disk spells it."""
        place = self._place_of(volume)
        return self._spelled.get(place, place)


def _is_volume(path: Path, *, has_suffix: bool) -> bool:
    """Whether a file is there, or without a known suffix a folder or a file of DICOM."""
    return is_file(path) if has_suffix else is_folder(path) or begins_as_dicom(path)


def _split(row: Row) -> str:
    return filled(row.get("split", "")).casefold()


def _labels_of(lines: Sequence[int], labels: Mapping[str, Mapping[int, int]]) -> Mapping[str, int]:
    """Of each label what the first of a study's rows says that says something; none where no row does."""
    said = {name: next((values[line] for line in lines if line in values), None) for name, values in labels.items()}
    return {name: value for name, value in said.items() if value is not None}
