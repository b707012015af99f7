"""What the data sets have in common that come as volumes without reports: for probes, segmentation and pre-training
without text."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from simcrop.adapters.formats.stored import StoredVolume, inspect_stored, read_stored
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.problems import BadFileError, OnProblem, problem, refuse
from simcrop.core.data.study import Report, SentenceTruth, Study, Volume
from simcrop.core.errors import DataError


class UnreportedSource(ABC):
    """Studies of one volume each, under the same name, in one folder. Listing opens no volume.

    Attributes:
        label_names: of the findings that are known; none by default.
        identity: the folder and the declarations that decide what its voxels are.
    """

    label_names: tuple[str, ...] = ()

    def __init__(self, root: Path, identity: str, quarantine: Collection[str], on_problem: OnProblem) -> None:
        """
        Args:
            root: the folder.
            identity: name of the kind of data set, then its declarations.
            quarantine: names of volumes to leave out.
            on_problem: is told of volumes and rows that cannot be used; they are left out.

        Raises:
            BadFileError: if there is no such folder.
        """
        if not root.is_dir():
            raise BadFileError(problem(root, "container.missing", "is no folder"))
        self._root = root.resolve()
        kind, _, declarations = identity.partition(" ")
        self.identity = " ".join(part for part in (kind, str(self._root), declarations) if part)
        self._quarantine = frozenset(quarantine)
        self._on_problem = on_problem
        self._studies: tuple[Study, ...] = ()

    def studies(self) -> Sequence[Study]:
        """Every study, ordered by name."""
        return self._studies

    @abstractmethod
    def volume_file(self, reconstruction: str) -> Path:
        """The file, or the folder of slices, behind a volume."""

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """Every volume on disk that is not in quarantine, used or not."""

    @abstractmethod
    def read_volume(self, reconstruction: str) -> Volume:
        """One volume in HU, RAS+ order."""

    @abstractmethod
    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a volume; a hash of its voxels."""

    def ground_truth(self, reconstruction: str) -> Sequence[SentenceTruth]:
        """Empty: there are no sentences."""
        return ()

    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """Organ name -> name of its mask; empty by default."""
        return {}

    def organ_files(self, reconstruction: str) -> tuple[Path, ...]:
        """The files that say where its organs are; none by default."""
        return ()

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """One mask on its own grid. Raises DataError where the volume has none of that name."""
        raise DataError(f"{reconstruction}: has no mask {name!r}; it has {', '.join(self.organs(reconstruction))}")

    def _take(self, studies: Iterable[Study], wanted: str) -> None:
        """Keep the studies. Raises BadFileError where there is none, saying what was looked for."""
        self._studies = tuple(sorted(studies, key=lambda study: study.study_id))
        if not self._studies:
            raise BadFileError(problem(self._root, "set.no_studies", f"holds no {wanted}"))

    def _is_usable(self, name: str) -> bool:
        """Whether a volume is neither in quarantine nor behind a link that leaves the folder."""
        if name in self._quarantine:
            return False
        try:
            refuse_link_out(self._root, self.volume_file(name))
        except BadFileError as bad:
            self._on_problem(bad.problem)
            return False
        return True


class StoredSource(UnreportedSource):
    """One whose volumes are no NIfTI: a reader of their own opens them."""

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
