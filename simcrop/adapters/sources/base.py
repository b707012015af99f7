"""A data set in a folder: its options, and the defaults of whatever its own module leaves out."""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.opening import opened
from simcrop.adapters.formats.stored import StoredVolume, inspect_stored, read_stored
from simcrop.adapters.problems.content import PaddingValue
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.adapters.sources.exclusions import ExcludedNames, exclude, read_list, said
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file, problem, refuse
from simcrop.core.data.study import Report, Study, Volume
from simcrop.core.errors import ConfigError
from simcrop.core.ports import DataSet


class Options(TypedDict, total=False):
    """Options of a data set beside its place.

    Attributes:
        padding_value: HU that stand for "outside the field of view" and are read as air.
        quarantine: names of volumes to leave out, with or without their suffix; those on a list are studies too.
        on_problem: is told of files and rows that cannot be used; they are left out.
    """

    padding_value: PaddingValue
    quarantine: Collection[str]
    on_problem: OnProblem


class Source(DataSet):
    """A data set in a folder, as the port `DataSet` has it. Listing opens no volume.

    A new data set is a module with a subclass, and a line in `registry`, or an entry point of another package. The
    subclass lists its studies when it is made, and says how a volume is found and opened; all else has a default.

    Attributes:
        kind: the first word of `identity`.
        suffix: of the volumes' files, which their names lack.
        declares_padding: whether `padding_value` is needed to read the voxels, and so is a part of `identity`.
        licence: what the licence of the volumes means for weights that learned from them.
    """

    kind: ClassVar[str]
    suffix: ClassVar[str] = ""
    declares_padding: ClassVar[bool] = True
    licence: ClassVar[str] = (
        "The licence of the training data may bind the weights too, as that of CT-RATE, CC BY-NC-SA, may."
    )

    def __init__(
        self,
        root: Path,
        declared: str = "",
        *,
        padding_value: PaddingValue = None,
        quarantine: Collection[str] = (),
        on_problem: OnProblem = refuse,
    ) -> None:
        """
        Args:
            root: the folder.
            declared: what else decides how voxels become HU, for `identity`.
            padding_value, quarantine, on_problem: see `Options`.

        Raises:
            BadFileError: if there is no such folder.
        """
        if not root.is_dir():
            raise bad_file(root, "container.missing", "is no folder")
        self._root = root.resolve()
        padding = f"padding_value={padding_value}" if self.declares_padding else ""
        self.identity = " ".join(part for part in (self.kind, str(self._root), declared, padding) if part)
        self._padding_value = padding_value if self.declares_padding else None
        self._quarantine = ExcludedNames.of(quarantine, self.suffix)
        self._on_problem = on_problem
        self._studies: Sequence[Study] = ()
        self._series: Mapping[str, tuple[str, str]] = {}
        """Volume -> its folder, and the series that is meant, of those that share their folder with others."""

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The data set that a configuration describes; volumes and rows that cannot be used are told."""
        if data.root is None:
            raise ConfigError(f"data.root: source {data.source} needs it; name its folder")
        return cls(data.root, **options(data, on_problem))

    @classmethod
    def described(cls, data: DataSettings) -> str:
        """The data set in a few words, for a model card."""
        return f"`{data.source}`"

    def leave_out_listed(self, path: Path) -> None:
        """Leave out what the list `data.exclude` names, beyond the volumes that were known by their very names.

        Raises:
            BadFileError: nothing is left.
            ConfigError: a name may be that of several studies.
        """
        names = self._quarantine.not_met
        found = exclude(self._studies, names, path)
        volumes = [*self._quarantine.met, *found.volumes]
        self._studies, self.excluded = found.studies, found.volumes
        self.exclusion_note = said(path, volumes, found.unknown, len(self._quarantine.listed))
        if not self._studies:
            raise bad_file(path, "set.no_studies", f"leaves out every study of {self._root}; correct data.exclude")

    def studies(self) -> Sequence[Study]:
        """Every study: ordered by name, or as the table has them."""
        return self._studies

    def read_volume(self, reconstruction: str) -> Volume:
        """One volume in HU, RAS+ order."""
        path = self.volume_file(reconstruction)
        return read_stored(path, self._opened_inside(path, refuse, reconstruction), self._padding_value)

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a volume; a hash of its voxels."""
        path = self.volume_file(reconstruction)
        opening = self._opened_inside(path, on_problem, reconstruction)
        return inspect_stored(path, opening, on_problem, padding_value=self._padding_value)

    def _tell(self, file: Path | str, code: str, message: str, **values: Any) -> None:
        """Tell a problem, as `problem` has it."""
        self._on_problem(problem(file, code, message, **values))

    def _take(self, studies: Iterable[Study], wanted: str) -> None:
        """Keep the studies. Raises BadFileError where there is none, saying what was looked for."""
        self._studies = tuple(sorted(studies, key=lambda study: study.study_id))
        if not self._studies:
            raise bad_file(self._root, "set.no_studies", f"holds no {wanted}")

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

    def _name(self, path: Path) -> str:
        """A path as the volume's name: within the folder, with / on any system."""
        return "/".join(path.relative_to(self._root).parts) or "."

    def opening(self, path: Path, on_problem: OnProblem) -> AbstractContextManager[StoredVolume]:
        """Opens the file, or the folder, of a volume; `on_problem` is told of what can be passed over."""
        return opened(path, root=self._root, padding_value=self._padding_value, on_problem=on_problem)

    @contextmanager
    def _opened_inside(self, path: Path, on_problem: OnProblem, reconstruction: str) -> Generator[StoredVolume]:
        refuse_link_out(self._root, path)
        _, series = self._series.get(reconstruction, ("", None))
        if series is None:
            opening = self.opening(path, on_problem)
        else:
            padding = self._padding_value
            opening = opened(path, root=self._root, padding_value=padding, series=series, on_problem=on_problem)
        with opening as stored:
            yield stored


def options(data: DataSettings, on_problem: OnProblem) -> Options:
    """The options that a configuration gives to every data set. Raises BadFileError where `data.exclude` is no list."""
    listed = () if data.exclude is None else read_list(data.exclude, on_problem)
    names = ExcludedNames(data.quarantine, listed)
    return {"padding_value": data.padding_value, "quarantine": names, "on_problem": on_problem}


def study_of(name: str, *, patient_id: str, split: str | None = None, labels: Mapping[str, int] | None = None) -> Study:
    """A study without a report, of the one volume after which it is named."""
    return Study(name, patient_id, Report("", ""), (name,), split, labels or {})
