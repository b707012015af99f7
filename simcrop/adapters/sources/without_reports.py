"""Data sets that come as volumes without reports: for probes, segmentation and pre-training without text."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

from simcrop.adapters.formats.stored import StoredVolume, inspect_stored, read_stored
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.adapters.sources.base import Source
from simcrop.core.data.problems import BadFileError, OnProblem, refuse
from simcrop.core.data.study import Report, Study, Volume


class StoredSource(Source):
    """A data set whose volumes are no NIfTI: a reader of their own opens them."""

    @abstractmethod
    def _opening(self, reconstruction: str, on_problem: OnProblem) -> AbstractContextManager[StoredVolume]:
        """Opens a volume; `on_problem` is told of what can be passed over."""

    def read_volume(self, reconstruction: str) -> Volume:
        """One volume in HU, RAS+ order."""
        path = self.volume_file(reconstruction)
        refuse_link_out(self._root, path)
        return read_stored(path, self._opening(reconstruction, refuse))

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a volume; a hash of its voxels."""
        path = self.volume_file(reconstruction)
        try:
            refuse_link_out(self._root, path)
        except BadFileError as bad:
            on_problem(bad.problem)
            return None
        return inspect_stored(path, self._opening(reconstruction, on_problem), on_problem)


def study_of(name: str, *, patient_id: str, split: str | None = None, labels: Mapping[str, int] | None = None) -> Study:
    """A study without a report, of the one volume after which it is named."""
    return Study(name, patient_id, Report("", ""), (name,), split, labels or {})
