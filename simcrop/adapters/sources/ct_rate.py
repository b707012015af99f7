"""CT-RATE as it is downloaded, whole or in part; phantoms are written in the same layout."""

import hashlib
import json
import math
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self, TypeVar, Unpack

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.formats.tables import Row, find_table, read_rows
from simcrop.adapters.problems.content import Scaling
from simcrop.adapters.problems.paths import is_file
from simcrop.adapters.sources.base import Options, Source, options
from simcrop.adapters.sources.label_tables import CT_RATE
from simcrop.adapters.sources.truth_folders import TruthFolders
from simcrop.adapters.system.memory import uncollected
from simcrop.core.data.cells import as_label, filled, is_unsure
from simcrop.core.data.problems import OnProblem, bad_file
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation import published

Value = TypeVar("Value")
HuDeclaration = Literal["hu", "header", "raw+csv"]
_NAME = re.compile(r"((train|valid)_\d+)_([a-z]+)_(\d+)")
_SUFFIX = ".nii.gz"
_SPLITS = {"train": "train", "valid": "validation"}
_REPORT_COLUMNS = ("VolumeName", "Findings_EN", "Impressions_EN")


class CTRateSource(TruthFolders, Source):
    """Studies of a folder in CT-RATE's layout. Listing opens no volume.

    Attributes:
        label_names: columns of the label tables.
        identity: the folder and the declarations; with raw+csv, a hash of the scalings too.
        num_missing: rows of the report tables whose volume is not on disk; they are left out.
    """

    kind = "ct_rate"
    suffix = _SUFFIX
    licence = "The training data, CT-RATE, is CC BY-NC-SA and gated, which may bind what is trained on it."
    label_table = CT_RATE
    published = published.CT_RATE

    @uncollected()
    def __init__(self, root: Path, *, hu: HuDeclaration = "hu", **declared: Unpack[Options]) -> None:
        """
        Args:
            root: folder with `dataset/`, `radiology_text_reports/`, and, where present, `metadata/`,
                `multi_abnormality_labels/` and `ground_truth/`.
            hu: what voxels hold: HU; values that the file's header rescales; values that the metadata CSV rescales.
            declared: see `Options`; volumes are quarantined like train_1_a_1.

        Raises:
            BadFileError: if a table is missing or cannot be read, or no volume of any row is there.
        """
        super().__init__(root, f"hu={hu}", **declared)
        self._hu: HuDeclaration = hu
        # At once, since what is told while a volume is read, in a process of its own, would be told to nobody.
        self._scalings: Mapping[str, Scaling] = self._read_scalings() if hu == "raw+csv" else {}
        if self._scalings:
            table = json.dumps(sorted(self._scalings.items()))
            self.identity += f" scalings={hashlib.sha256(table.encode()).hexdigest()[:16]}"
        self._folders = {split: self._volume_folder(split) for split in _SPLITS}
        self.label_names, labels = self._read_labels()
        self.num_missing = 0
        self._studies = self._read_studies(labels)
        if not self._studies:
            message = f"holds no volume of the report tables' {self.num_missing} rows"
            raise bad_file(self._root / "dataset", "set.no_studies", message, rows=self.num_missing)
        if self.num_missing:
            message = f"holds no volume for {self.num_missing} rows of the report tables"
            self._tell(self._root / "dataset", "set.partial_download", message, rows=self.num_missing)

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The data set that a configuration describes."""
        assert data.root is not None
        return cls(data.root, hu=data.hu, **options(data, on_problem))

    def volume_file(self, reconstruction: str) -> Path:
        """dataset/train/train_1/train_1_a/train_1_a_1.nii.gz of train_1_a_1."""
        match = _NAME.fullmatch(reconstruction)
        if match is None:
            raise DataError(f"{reconstruction}: is no volume name of CT-RATE, like train_1_a_1; correct the table")
        patient, split, scan, _ = match.groups()
        return self._folders[split] / f"{patient}/{patient}_{scan}/{reconstruction}{_SUFFIX}"

    def files(self) -> Iterator[Path]:
        """Every volume on disk, named by a row or not, but for those in quarantine."""
        for path in (path for folder in self._folders.values() for path in sorted(folder.rglob(f"*{_SUFFIX}"))):
            if path.name.removesuffix(_SUFFIX) not in self._quarantine and not path.is_dir():
                yield path

    def _truth_folder(self, reconstruction: str) -> Path:
        return self._root / "ground_truth" / self.volume_file(reconstruction).name.removesuffix(_SUFFIX)

    def _volume_folder(self, split: str) -> Path:
        """dataset/SPLIT_fixed (the second release, in HU) where it exists and is declared, else dataset/SPLIT."""
        fixed = self._root / "dataset" / f"{split}_fixed"
        return fixed if self._hu != "raw+csv" and fixed.is_dir() else self._root / "dataset" / split

    def _tables(self, pattern: str) -> dict[str, Path]:
        """Split -> table, of those that exist; CT-RATE names some by its own word for the split, some by ours."""
        paths = {split: self._root / pattern.format(split=split, name=name) for split, name in _SPLITS.items()}
        found = {split: find_table(path) for split, path in paths.items()}
        return {split: path for split, path in found.items() if path is not None}

    def _read_labels(self) -> tuple[tuple[str, ...], dict[str, dict[str, int]]]:
        tables = self._tables("multi_abnormality_labels/{split}_predicted_labels.csv")
        label_names: dict[str, None] = {}
        labels: dict[str, dict[str, int]] = {}
        for path in tables.values():
            columns, rows = read_rows(path, ["VolumeName"], self._on_problem)
            own = [name for name in columns if name != "VolumeName"]
            label_names |= dict.fromkeys(own)
            for line, row in rows:
                values = {name: as_label(row[name]) for name in own}
                for name, value in values.items():
                    if value is None and not is_unsure(row[name]):
                        message = f"line {line} has {row[name]!r} as {name!r}; a label is 0 or 1, or blank"
                        self._tell(path, "text.value", message, line=line, column=name)
                self._keep(labels, path, line, row, {n: value for n, value in values.items() if value is not None})
        return tuple(label_names), labels

    def _read_studies(self, labels: Mapping[str, Mapping[str, int]]) -> list[Study]:
        tables = self._tables("radiology_text_reports/{name}_reports.csv")
        if not tables:
            folder = self._root / "radiology_text_reports"
            raise bad_file(folder, "set.no_studies", "holds neither train_reports.csv nor validation_reports.csv")
        return [study for split, path in tables.items() for study in self._studies_of(split, path, labels)]

    def _studies_of(self, split: str, path: Path, labels: Mapping[str, Mapping[str, int]]) -> Iterator[Study]:
        reports: dict[str, Report] = {}
        reconstructions: dict[str, list[str]] = {}
        for line, row in read_rows(path, _REPORT_COLUMNS, self._on_problem)[1]:
            name = _volume_name(row)
            match = _NAME.fullmatch(name)
            if match is None or match[2] != split:
                message = f"line {line} names the volume {name!r}; expected {split}_1_a_1.nii.gz"
                self._tell(path, "text.value", message, line=line, column="VolumeName")
                continue
            if name in self._quarantine:
                continue
            if not is_file(self.volume_file(name)):
                self.num_missing += 1
                continue
            study_id = f"{match[1]}_{match[3]}"
            reports.setdefault(study_id, Report(row["Findings_EN"], row["Impressions_EN"]))
            names = reconstructions.setdefault(study_id, [])
            if name in names:
                message = f"has a second row, on line {line} of {path.name}"
                self._tell(name, "text.duplicate_row", message, table=str(path), line=line)
                continue
            names.append(name)
        for study_id, names in reconstructions.items():
            yield Study(
                study_id=study_id,
                patient_id=study_id.rpartition("_")[0],
                report=reports[study_id],
                reconstructions=tuple(names),
                split=_SPLITS[split],
                labels=labels.get(names[0], {}),
            )

    @contextmanager
    def opening(self, path: Path, on_problem: OnProblem) -> Generator[StoredVolume]:
        """Opens a file, its numbers scaled as declared."""
        with super().opening(path, on_problem) as stored:
            yield replace(stored, scaling=self._scaling(path, stored.scaling))

    def _scaling(self, path: Path, own: Scaling) -> Scaling:
        """Of a file whose header has the scaling `own`."""
        if self._hu == "raw+csv":
            name = path.name.removesuffix(_SUFFIX)
            if name not in self._scalings:
                raise bad_file(path, "content.no_scaling", "has no row in the metadata tables")
            return self._scalings[name]
        if self._hu == "hu" and own != (1.0, 0.0):
            message = f"data.hu says that voxels are HU, but the header rescales them by {own}"
            raise bad_file(path, "content.scaled", message, scaling=list(own))
        return own

    def _read_scalings(self) -> dict[str, Scaling]:
        scalings: dict[str, Scaling] = {}
        for path in self._tables("metadata/{name}_metadata.csv").values():
            for line, row in read_rows(path, ["VolumeName", "RescaleSlope", "RescaleIntercept"], self._on_problem)[1]:
                try:
                    slope, intercept = float(row["RescaleSlope"]), float(row["RescaleIntercept"])
                except ValueError:
                    slope = intercept = math.nan
                if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
                    message = f"line {line} has no usable number as RescaleSlope or RescaleIntercept"
                    self._tell(path, "text.value", message, line=line)
                    continue
                self._keep(scalings, path, line, row, (slope, intercept))
        return scalings

    def _keep(self, known: dict[str, Value], path: Path, line: int, row: Row, value: Value) -> None:
        """Enter what a row says of its volume; tell of a second row that says something else."""
        name = _volume_name(row)
        if not name:
            self._tell(path, "text.value", f"line {line} has no VolumeName", line=line, column="VolumeName")
        elif known.setdefault(name, value) != value:
            message = f"has a second row that says something else, on line {line} of {path.name}"
            self._tell(name, "text.duplicate_row", message, table=str(path), line=line)


def _volume_name(row: Row) -> str:
    name = filled(row["VolumeName"])
    return name[: -len(_SUFFIX)] if name.lower().endswith(_SUFFIX) else name
