"""Chest CT as it leaves a scanner or an archive: a tree of folders, each with the DICOM files of one series."""

from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from simcrop.adapters.formats.dicom_bytes import require_pydicom
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.sources.base import Options, Source, study_of
from simcrop.adapters.sources.series_folders import series_below


class DicomSource(Source):
    """Every folder below the root that holds slices of CT is a volume, named by its path; links to folders are skipped.

    Files are slices by what they hold, whatever their names. A folder with several CT volumes is one volume for each,
    called FOLDER#SERIES_UID. The first folder of the path stands for the patient, as in PATIENT/STUDY/SERIES: for the
    list, a few headers of each folder are looked at. Only uncompressed single-frame files are read.
    """

    kind = "dicom"

    def __init__(self, root: Path, **declared: Unpack[Options]) -> None:
        """
        Args:
            root: the folder.
            declared: see `Options`; series are quarantined by the names of their volumes. What the files themselves
                call padding is read as air whether or not it is declared. `on_problem` is told, too, of each file in
                folders without slices.

        Raises:
            DataError: pydicom is not installed.
            BadFileError: if there is no series.
        """
        require_pydicom()
        super().__init__(root, **declared)
        self._folders = {self._name(found.path): found for found in series_below(self._root, self._on_problem)}
        volumes = {
            name: (folder, uid) for folder, found in self._folders.items() for name, uid in found.volumes(folder)
        }
        self._series = {name: (folder, uid) for name, (folder, uid) in volumes.items() if uid is not None}
        patients = {
            name: folder.partition("/")[0] for name, (folder, _) in volumes.items() if folder not in self._quarantine
        }
        studies = [study_of(name, patient_id=patient) for name, patient in patients.items() if self._is_usable(name)]
        self._take(studies, "folder with slices of CT in DICOM")

    def volume_file(self, reconstruction: str) -> Path:
        """The folder of the series."""
        return inside(self._root, self._series.get(reconstruction, (reconstruction, ""))[0])

    def files(self) -> Iterator[Path]:
        """Every folder with slices."""
        return (found.path for name, found in self._folders.items() if name not in self._quarantine)
