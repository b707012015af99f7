"""What a data set has to offer beside the port `StudySource`, to be checked and segmented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from simcrop.core.data.problems import OnProblem
from simcrop.core.ports import StudySource


class CheckedSource(StudySource, Protocol):
    """A data set that can be checked."""

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a volume's file, holding little of it; a hash of its voxels, or None."""
        ...

    def files(self) -> Iterator[Path]:
        """Every volume on disk, whether a row names it or not."""
        ...


class OrganSource(CheckedSource, Protocol):
    """A data set that may know where organs are."""

    def organs(self, reconstruction: str) -> Any:
        """Organ name -> name of its mask; empty where nothing is known."""
        ...

    def organ_files(self, reconstruction: str) -> tuple[Path, ...]:
        """The files that say so."""
        ...
