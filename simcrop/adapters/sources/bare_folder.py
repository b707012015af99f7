"""The volumes in a folder without a table, for `simcrop data check FOLDER`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from simcrop.adapters.formats.opening import SUFFIXES, suffix_of
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.adapters.sources.base import Options, Source, study_of
from simcrop.adapters.sources.series_folders import series_below
from simcrop.core.data.problems import BadFileError, OnProblem, Problem, problem

_MOST_LABELS = 31
"""A file that holds no more than this many whole numbers is a mask rather than a picture."""


class FolderSource(Source):
    """The volumes in a bare folder: files of any format, and folders of DICOM slices, of which nothing else is known.

    Links out of the folder are not followed; they are told, and so are folders that cannot be read, and each file that
    is no volume.
    """

    kind = "folder"
    declares_padding = False

    def __init__(self, root: Path, **declared: Unpack[Options]) -> None:
        super().__init__(root, **declared)
        found = series_below(self._root, self._on_problem, beside_volumes=True)
        folders = {self._name(each.path): each for each in found}
        series = [(name, folder, uid) for folder, each in folders.items() for name, uid in each.volumes(folder)]
        self._series = {name: (folder, uid) for name, folder, uid in series if uid is not None}
        names = [*self._names(), *sorted(name for name, _, _ in series)]
        self._studies = [study_of(name, patient_id=name) for name in names]
        if not self._studies:
            self._tell(root, "set.no_studies", f"holds no volume ({SUFFIXES}, DICOM)")

    def _names(self) -> list[str]:
        names: list[str] = []
        for folder, folders, files in os.walk(self._root):
            for path in (Path(folder, name) for name in folders):
                try:
                    refuse_link_out(self._root, path)
                except BadFileError as bad:
                    self._on_problem(bad.problem)
            names += [str(Path(folder, name).relative_to(self._root)) for name in files if suffix_of(name)]
        return sorted(names)

    def files(self) -> Iterator[Path]:
        """The volumes: each is used."""
        return (self.volume_file(study.study_id) for study in self._studies)

    def volume_file(self, reconstruction: str) -> Path:
        """The file, or the folder of slices, of that name."""
        return self._root / self._series.get(reconstruction, (reconstruction, ""))[0]

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """As of any source; a file of few whole numbers is taken for a mask."""
        return super().inspect(reconstruction, _mask_as_note(on_problem))


def _mask_as_note(on_problem: OnProblem) -> OnProblem:
    def relabelled(found: Problem) -> None:
        values = found.values
        if found.code == "content.eight_bit" and values["is_whole"] and values["maximum"] <= _MOST_LABELS:
            message = f"holds whole numbers up to {values['maximum']:g}: a mask, it seems"
            found = problem(found.file, "content.mask", message, **values)
        on_problem(found)

    return relabelled
