"""The rows of files that are volumes by themselves: NIfTI, MetaImage, NRRD. No header tells whose they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from simcrop.adapters.formats.geometry import extent
from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.problems.content import shape_problems
from simcrop.adapters.sources.indexing.entries import Entry
from simcrop.adapters.sources.indexing.quick_look import plane_of
from simcrop.adapters.sources.indexing.rows import TableRow, numbers_as_text, verdict_of
from simcrop.core.data.problems import Problem, problem
from simcrop.core.data.series_words import kernel_kind, other_part

StudyIs = Literal["file", "folder"]
_MOST_OF_A_PATIENT = 12
"""Files in a folder that may be of one patient; more are a data set."""


def file_rows(root: Path, folder: str, entries: Sequence[Entry], study_is: StudyIs | None) -> Iterator[TableRow]:
    """A row for each file of a folder that is a volume by itself.

    Args:
        root: of the tree.
        folder: relative to it.
        entries: its files.
        study_is: file, or folder; None takes the folder where it holds one volume, or gives its name to all of them.
    """
    volumes = [entry for entry in entries if entry.volume is not None]
    names = [without_suffix(entry.name) for entry in volumes]
    is_named_after = bool(folder) and all(name.startswith(folder.rpartition("/")[2]) for name in names)
    is_one_study = bool(folder) and (len(volumes) == 1 or is_named_after)
    if study_is is not None:
        is_one_study = study_is == "folder"
    is_one_patient = is_one_study or (bool(folder) and len(volumes) <= _MOST_OF_A_PATIENT)
    counted: set[str] = set()
    for entry, name in zip(volumes, names, strict=True):
        own = f"{folder}/{name}" if folder else name
        assert entry.volume is not None
        voxels = {*entry.volume["data_files"]} & {each.name for each in entries} - counted
        counted |= voxels
        study, patient = (folder or "." if is_one else own for is_one in (is_one_study, is_one_patient))
        yield _row(root, entry, entry.volume, study, patient, 1 + len(voxels))


def _row(root: Path, entry: Entry, volume: Any, study: str, patient: str, num_files: int) -> TableRow:
    path, affine = root / entry.path, np.array(volume["affine"])
    shape, spacing = extent(tuple(volume["shape"]), affine)
    told: list[Problem] = [*entry.problems, *shape_problems(path, shape, spacing)]
    if volume["is_one_byte"]:
        told.append(problem(path, "content.mask", "has voxels of one byte, as masks and pictures have"))
    plane, name = plane_of(affine[:3, 2]), without_suffix(entry.name).replace("_", " ")
    elsewhere = other_part(name)
    remarks = [f"is called {elsewhere!r}, which is no chest"] if elsewhere else []
    verdict, problems, is_usable = verdict_of(path, told, remarks)
    return TableRow(
        volume=entry.path,
        patient_id=patient,
        study_id=study,
        verdict=verdict,
        problems=problems,
        spacing_mm=numbers_as_text(spacing),
        num_slices=int(volume["shape"][2]),
        orientation=plane,
        num_files=num_files,
        kernel_kind=kernel_kind("", name),
        thickness_mm=float(np.linalg.norm(affine[:3, 2])),
        is_usable=is_usable and not volume["is_one_byte"],
        other_part=elsewhere,
    )
