"""Chest CT as it leaves a scanner or an archive: a tree of folders, each with the DICOM files of one series."""

import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from simcrop.adapters.formats.dicom import is_slice, opened_series
from simcrop.adapters.formats.dicom_slices import require_pydicom
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.sources.without_reports import StoredSource, study_of
from simcrop.core.data.problems import OnProblem, refuse


class DicomSource(StoredSource):
    """Every folder below the root that holds DICOM files is a volume, named by its path; links to folders are skipped.

    Files are slices by name: .dcm, .ima, no suffix, or a number for one (as in 1.2.840.113). The first folder of the
    path stands for the patient, as in PATIENT/STUDY/SERIES: headers are not opened for the list. Only uncompressed
    single-frame files are read.
    """

    def __init__(
        self,
        root: Path,
        *,
        padding_value: float | None = None,
        quarantine: Collection[str] = (),
        on_problem: OnProblem = refuse,
    ) -> None:
        """
        Args:
            root: the folder.
            padding_value: HU that stand for "outside the field of view" and are read as air; what the files
                themselves call padding is read so anyway.
            quarantine: series to leave out, by their folder's path within the root.
            on_problem: is told of links that leave the folder.

        Raises:
            DataError: pydicom is not installed.
            BadFileError: if there is no series.
        """
        require_pydicom()
        super().__init__(root, f"dicom padding_value={padding_value}", quarantine, on_problem)
        self._padding_value = padding_value
        names = ["/".join(path.relative_to(self._root).parts) or "." for path in self.files()]
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
            name = "/".join(path.relative_to(self._root).parts) or "."
            if any(is_slice(file) for file in names) and name not in self._quarantine:
                yield path

    def _opening(self, reconstruction: str, on_problem: OnProblem) -> AbstractContextManager[StoredVolume]:
        return opened_series(self.volume_file(reconstruction), self._root, self._padding_value, on_problem)
