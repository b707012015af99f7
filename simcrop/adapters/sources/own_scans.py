"""Scans of one's own, as they are named on a command line: files, folders, tables and configurations, mixed at will."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.dicom_bytes import begins_as_dicom
from simcrop.adapters.formats.opening import SUFFIXES, suffix_of
from simcrop.adapters.formats.tables import SUFFIXES as TABLES
from simcrop.adapters.formats.tables import read_rows
from simcrop.adapters.problems.paths import is_file, is_folder
from simcrop.adapters.sources.bare_folder import FolderSource
from simcrop.adapters.sources.base import Options, Source, study_of
from simcrop.adapters.sources.named_files import NamedFiles
from simcrop.adapters.sources.registry import build_source
from simcrop.core.data.cells import filled
from simcrop.core.data.problems import OnProblem, Problem, problem, refuse
from simcrop.core.data.study import Study, Volume
from simcrop.core.errors import ConfigError
from simcrop.core.ports import DataSet

_CONFIGURATIONS = (".yaml", ".yml")
_log = logging.getLogger("simcrop")


class OwnScans(DataSet):
    """The volumes behind some inputs. Each is named by its path as it was given; one of a configuration by its name.

    What two inputs name alike is one scan. Nothing is known of it but what is in its file, so every scan is a study.
    """

    identity = "own scans"

    def __init__(self, inputs: Sequence[Path], on_problem: OnProblem = refuse) -> None:
        """
        Args:
            inputs: files of any format, folders of one DICOM series or of any volumes below, tables with the column
                `volume` (and `series`, as a manifest has it), and configurations, of which all volumes are taken.
            on_problem: is told of what cannot be listed.

        Raises:
            ConfigError: an input is none of these, or a configuration is wrong.
            DataError: a table is.
        """

        def cannot_be_listed(found: Problem) -> None:
            if found.severity == "error":
                on_problem(found)

        self._homes: dict[str, tuple[DataSet, str]] = {}
        for given in inputs:
            for name, home in _listed(given, cannot_be_listed):
                self._homes.setdefault(name, home)

    def studies(self) -> Sequence[Study]:
        """One for each scan, in the order of the inputs, and within a folder by name."""
        return [study_of(name, patient_id=name) for name in self._homes]

    def files(self) -> Iterator[Path]:
        """The files of the scans."""
        return (self.volume_file(name) for name in self._homes)

    def volume_file(self, reconstruction: str) -> Path:
        """The file, or the folder of slices, of a scan."""
        source, name = self._homes[reconstruction]
        return source.volume_file(name)

    def read_volume(self, reconstruction: str) -> Volume:
        """One scan in HU, RAS+ order."""
        source, name = self._homes[reconstruction]
        return source.read_volume(name)

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a scan; a hash of its voxels."""
        source, name = self._homes[reconstruction]
        return source.inspect(name, on_problem)


class _Files(Source):
    """Some files and folders of DICOM slices, named by their paths below a folder."""

    kind = "files"
    declares_padding = False

    def __init__(self, root: Path, volumes: Iterable[tuple[str, str]], **declared: Unpack[Options]) -> None:
        """
        Args:
            root: the folder.
            volumes: path of each, and which series is meant in a folder that holds several; else "".
            declared: see `Options`.
        """
        super().__init__(root, **declared)
        named = {f"{name}#{series}" if series else name: (name, series) for name, series in volumes}
        self._series = {name: each for name, each in named.items() if each[1]}
        self._studies = [study_of(name, patient_id=name) for name in named]

    def files(self) -> Iterator[Path]:
        """Those files."""
        return (self.volume_file(study.study_id) for study in self._studies)

    def volume_file(self, reconstruction: str) -> Path:
        """The file of that name, which may be an absolute path."""
        return self._root / self._series.get(reconstruction, (reconstruction, ""))[0]


def _listed(given: Path, on_problem: OnProblem) -> Iterator[tuple[str, tuple[DataSet, str]]]:
    """(Name of the scan, its data set and name there) of every scan of an input."""
    suffix = given.suffix.lower()
    if is_folder(given):
        sources: Sequence[Source] = [FolderSource(given, on_problem=on_problem)]
        prefix = given
    elif suffix in _CONFIGURATIONS and given.exists():
        source = build_source(load_config(given).data, on_problem)
        if source.exclusion_note:
            _log.info(source.exclusion_note)
        yield from ((name, (source, name)) for study in source.studies() for name in study.reconstructions)
        return
    elif suffix in TABLES and given.exists():
        sources, prefix = [_Files(given.parent, _in_table(given, on_problem))], given.parent
    elif suffix_of(given.name) or begins_as_dicom(given):
        sources, prefix = [_Files(given.parent, [(given.name, "")])], given.parent
    else:
        reason = "is none of these" if given.exists() else "does not exist"
        raise ConfigError(
            f"{given}: {reason}; name a scan ({SUFFIXES}), a folder, a table with the column volume "
            f"({', '.join(TABLES)}), or a configuration"
        )
    for source in sources:
        for study in source.studies():
            yield os.path.normpath(prefix / study.study_id), (source, study.study_id)


def _in_table(table: Path, on_problem: OnProblem) -> Iterator[tuple[str, str]]:
    """The volumes that a table names, each as the disk spells it, and the series of a folder that it means."""
    files = NamedFiles(table.parent)
    for line, row in read_rows(table, ("volume",), on_problem, optional=("series",))[1]:
        name = files.name_of(row["volume"])
        if not name:
            message = f"line {line} has other cells and no volume"
            on_problem(problem(table, "text.value", message, column="volume", line=line))
            continue
        path = table.parent / name
        there = name if is_file(path) or is_folder(path) else files.spelled_otherwise(name) or name
        yield there, "" if suffix_of(there) else filled(row.get("series", ""))
