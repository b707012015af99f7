"""Files by the names that a table gives them, which another system may have spelled."""

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath

from simcrop.adapters.problems.paths import is_file, is_folder
from simcrop.core.data.cells import filled


class NamedFiles:
    """The files and folders below a folder, found by names out of a table.

    A name stands for the file of just that name. Where there is none, it is for the only one that is spelled the same
    but for the form of its Unicode (macOS takes letters apart), or else for case (Windows minds none).

    Args:
        root: the folder, which is listed once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, Mapping[str, Sequence[str]]] = {}

    def name_of(self, cell: str) -> str:
        """The name in a cell, with / between folders; empty where the cell is blank, and so no path at all."""
        name = filled(cell)
        if "\\" not in name or is_file(self._root / name) or is_folder(self._root / name):
            return name
        return PureWindowsPath(name).as_posix()

    def spelled_otherwise(self, name: str) -> str | None:
        """The path, relative to the folder, of the one file or folder whose name differs in spelling alone."""
        folder = Path()
        for part in Path(name).parts:
            alike = self._names_in(folder).get(_key(part), ())
            same = [other for other in alike if _form(other) == _form(part)] or alike
            same = [part] if part in same else same
            if len(same) != 1:
                return None
            folder /= same[0]
        return str(folder)

    def _names_in(self, folder: Path) -> Mapping[str, Sequence[str]]:
        """Names in a folder by how they compare; none where it is not there or may not be looked into."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            with suppress(OSError):
                for path in (self._root / folder).iterdir():
                    names.setdefault(_key(path.name), []).append(path.name)
            self._listed[folder] = names
        return self._listed[folder]


def differ_in_case(name: str, other: str) -> bool:
    """Whether two spellings of a name differ in more than the form of their Unicode."""
    return _form(name) != _form(other)


def is_of_windows(name: str) -> bool:
    """Whether a name begins with a drive or a share of Windows, which is no path here."""
    return bool(PureWindowsPath(name).drive)


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _key(name: str) -> str:
    return _form(_form(name).casefold())
