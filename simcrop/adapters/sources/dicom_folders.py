"""Chest CT as it leaves a scanner or an archive: a tree of folders, each with the DICOM files of one series."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from simcrop.adapters.formats.dicom import is_slice
from simcrop.adapters.formats.dicom_bytes import require_pydicom
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.sources.base import Options, Source, study_of


class DicomSource(Source):
    """Every folder below the root that holds DICOM files is a volume, named by its path; links to folders are skipped.

    Files are slices by name: .dcm, .ima, no suffix, or a number for one (as in 1.2.840.113). The first folder of the
    path stands for the patient, as in PATIENT/STUDY/SERIES: headers are not opened for the list. Only uncompressed
    single-frame files are read.
    """

    kind = "dicom"

    def __init__(self, root: Path, **declared: Unpack[Options]) -> None:
        """
        Args:
            root: the folder.
            declared: see `Options`; series are quarantined by their folder's path within the root. What the files
                themselves call padding is read as air whether or not it is declared.

        Raises:
            DataError: pydicom is not installed.
            BadFileError: if there is no series.
        """
        require_pydicom()
        super().__init__(root, **declared)
        names = map(self._name, self.files())
        studies = [study_of(name, patient_id=name.partition("/")[0]) for name in names if self._is_usable(name)]
        self._take(studies, "folder with DICOM files")

    def volume_file(self, reconstruction: str) -> Path:
        """The folder of the series."""
        return inside(self._root, reconstruction)

    def files(self) -> Iterator[Path]:
        """Every folder with slices."""
        for folder, subfolders, names in os.walk(self._root):
            subfolders.sort()
            path = Path(folder)
            if any(is_slice(file) for file in names) and self._name(path) not in self._quarantine:
                yield path
