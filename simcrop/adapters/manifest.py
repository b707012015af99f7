"""A data set of one's own: one CSV with the columns volume, findings, impression."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from simcrop.adapters.ground_truth import read_ground_truth, read_mask
from simcrop.adapters.nifti import read_volume
from simcrop.adapters.tables import Row, as_label, read_rows
from simcrop.core.augment import AIR_HU
from simcrop.core.errors import DataError
from simcrop.core.study import Report, SentenceTruth, Study, Volume

_REQUIRED = ("volume", "findings", "impression")
_OPTIONAL = ("study_id", "patient_id", "split")
_SUFFIXES = (".nii.gz", ".nii")
_SPLITS = {"": None, "train": "train", "validation": "validation", "valid": "validation", "val": "validation"}


class ManifestSource:
    """Studies of a CSV. Paths are relative to it and stay in its folder; listing opens no volume.

    Rows with one `study_id` are reconstructions of one study and share its first row's report. Without `study_id`
    every row is a study of its own; without `patient_id` every study is a patient. Further columns that hold only
    0 and 1 are labels. Masks may lie in `ground_truth/` beside the CSV, under the volume's path without .nii.gz.
    """

    def __init__(self, csv_path: Path, *, padding_value: float | None = None, quarantine: Collection[str] = ()) -> None:
        """
        Args:
            csv_path: the table.
            padding_value: HU that stand for "outside the field of view" and are read as air.
            quarantine: volumes to leave out, as the column `volume` names them.

        Raises:
            DataError: if the table lacks a column, or a row names a file that is absent, outside the table's folder
                or no NIfTI, or a split that is none.
        """
        self._path = csv_path
        self._root = csv_path.resolve().parent
        self.identity = f"manifest {self._root} padding_value={padding_value}"
        self._padding_value = padding_value
        columns, rows = read_rows(csv_path, _REQUIRED)
        table = [(line, row) for line, row in rows if row["volume"].strip() not in quarantine]
        if not table:
            raise DataError(f"{csv_path}: has no row; add one a volume")
        self.label_names = tuple(
            name
            for name in columns
            if name not in {*_REQUIRED, *_OPTIONAL} and all(as_label(row[name]) is not None for _, row in table)
        )
        self._studies = self._read_studies(table)

    def studies(self) -> Sequence[Study]:
        """Every study, in the order of the table."""
        return self._studies

    def volume_file(self, reconstruction: str) -> Path:
        """The file that the column `volume` names."""
        path = (self._root / reconstruction).resolve()
        if not path.is_relative_to(self._root):
            raise DataError(f"{self._path}: the volume {reconstruction!r} lies outside {self._root}; move it inside")
        return path

    def read_volume(self, reconstruction: str) -> Volume:
        """One volume in HU (its header's scaling applied), RAS+ order."""
        volume = read_volume(self.volume_file(reconstruction))
        if self._padding_value is None:
            return volume
        return Volume(torch.where(volume.voxels == self._padding_value, AIR_HU, volume.voxels), volume.affine)

    def ground_truth(self, reconstruction: str) -> Sequence[SentenceTruth]:
        """Sentences with their places; empty where the volume has no ground-truth folder."""
        return read_ground_truth(self._truth_folder(reconstruction)).sentences

    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """Organ name -> name of its mask."""
        return read_ground_truth(self._truth_folder(reconstruction)).organs

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """One ground-truth mask on its own grid."""
        return read_mask(self._truth_folder(reconstruction), name)

    def _truth_folder(self, reconstruction: str) -> Path:
        relative = self.volume_file(reconstruction).relative_to(self._root)
        return self._root / "ground_truth" / relative.parent / _stem(relative.name)

    def _read_studies(self, table: Sequence[tuple[int, Row]]) -> list[Study]:
        groups: dict[str, list[tuple[int, Row]]] = {}
        for line, row in table:
            self._check_volume(line, row["volume"].strip())
            study_id = row.get("study_id", "").strip() or _stem(row["volume"].strip())
            groups.setdefault(study_id, []).append((line, row))
        return [self._study(study_id, rows) for study_id, rows in groups.items()]

    def _study(self, study_id: str, rows: Sequence[tuple[int, Row]]) -> Study:
        line, first = rows[0]
        split = first.get("split", "").strip().casefold()
        if split not in _SPLITS:
            raise DataError(f"{self._path}: line {line} has the split {split!r}; use train or validation")
        return Study(
            study_id=study_id,
            patient_id=first.get("patient_id", "").strip() or study_id,
            report=Report(first["findings"], first["impression"]),
            reconstructions=tuple(dict.fromkeys(row["volume"].strip() for _, row in rows)),
            split=_SPLITS[split],
            labels={name: as_label(first[name]) or 0 for name in self.label_names},
        )

    def _check_volume(self, line: int, volume: str) -> None:
        if not volume.endswith(_SUFFIXES):
            raise DataError(f"{self._path}: line {line} names the volume {volume!r}; expected .nii.gz or .nii")
        if not self.volume_file(volume).is_file():
            raise DataError(f"{self._root / volume}: does not exist; correct line {line} of {self._path}")


def _stem(name: str) -> str:
    return next(name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix))
