"""The volumes in a folder without a table, for `simcrop data check FOLDER`."""

import os
from pathlib import Path, PurePath

from simcrop.adapters.formats.opening import inspect_volume, suffix_of
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.problems import BadFileError, OnProblem, Problem, problem

_MOST_LABELS = 31
"""A file that holds no more than this many whole numbers is a mask rather than a picture."""


class FolderSource:
    """The volumes in a bare folder: files of any format, of which nothing is known but what is in them.

    Args:
        root: looked through with all its folders; links out of it are not followed.
    """

    label_names: tuple[str, ...] = ()

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.identity = f"folder {self._root}"

    def names(self, on_problem: OnProblem) -> list[str]:
        """Paths within the folder; tells of folders that cannot be read, and of links to folders outside."""

        def unreadable(error: OSError) -> None:
            on_problem(problem(str(error.filename), "container.unreadable", f"cannot be read ({error.strerror})"))

        names: list[str] = []
        for folder, folders, files in os.walk(self._root, onerror=unreadable):
            for path in (Path(folder, name) for name in folders):
                try:
                    refuse_link_out(self._root, path)
                except BadFileError as bad:
                    on_problem(bad.problem)
            names += [str(Path(folder, name).relative_to(self._root)) for name in files if suffix_of(name)]
        return sorted(names)

    def volume_file(self, reconstruction: str) -> PurePath:
        """The file of that name."""
        return self._root / reconstruction

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """As of any source; a file of few whole numbers is taken for a mask."""
        return inspect_volume(self._root / reconstruction, _mask_as_note(on_problem), root=self._root)


def _mask_as_note(on_problem: OnProblem) -> OnProblem:
    def told(found: Problem) -> None:
        values = found.values
        if found.code == "content.eight_bit" and values["is_whole"] and values["maximum"] <= _MOST_LABELS:
            message = f"holds whole numbers up to {values['maximum']:g}: a mask, it seems"
            found = problem(found.file, "content.mask", message, **values)
        on_problem(found)

    return told
