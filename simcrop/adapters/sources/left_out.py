"""The volumes that an index left out of a table on purpose, by the list that it wrote beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from simcrop.adapters.formats.tables import read_rows
from simcrop.adapters.problems.paths import is_file
from simcrop.adapters.sources.indexing.outputs import list_beside
from simcrop.core.data.problems import BadFileError, OnProblem, problem

_COLUMNS = ("kind", "name", "series", "files", "reason")


@dataclass(frozen=True)
class LeftOutVolumes:
    """Volumes of an index that its table does not have.

    Attributes:
        path: the list of them.
        files: path of the file or folder, as the table would name it -> how many files it stands for.
    """

    path: Path
    files: Mapping[Path, int] = field(default_factory=dict[Path, int])

    def tell(self, on_problem: OnProblem) -> None:
        """Say once how many there are, and where the reasons stand; nothing where there is none."""
        count = sum(self.files.values())
        if count:
            message = (
                f"lists {count} files of volumes that the index left out of the table on purpose, each with a reason"
            )
            on_problem(problem(self.path, "set.left_out", message, files=count))


def left_out_beside(table: Path) -> LeftOutVolumes:
    """What an index left out of a table; nothing where no such list lies beside it."""
    path = list_beside(table)
    files: dict[Path, int] = {}
    if is_file(path):
        try:
            for _, row in read_rows(path, _COLUMNS)[1]:
                if row["kind"] == "volume":
                    files[Path(row["name"])] = files.get(Path(row["name"]), 0) + int(row["files"])
        except (BadFileError, ValueError):
            files.clear()  # no index wrote it, so the files are told as any others that no row names
    return LeftOutVolumes(path, files)
