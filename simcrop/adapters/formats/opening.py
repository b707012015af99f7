"""Volumes of every format that tells how it lies in the patient, opened by the ends of their names.

An .npz file and a folder of pictures do not tell, so their sources open them (`npz`, `picture_slices`).
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from simcrop.adapters.formats.dicom import opened_series
from simcrop.adapters.formats.dicom_bytes import begins_as_dicom
from simcrop.adapters.formats.dicom_enhanced import opened_enhanced
from simcrop.adapters.formats.metaimage import opened_metaimage
from simcrop.adapters.formats.nifti import opened_nifti, opened_pair
from simcrop.adapters.formats.nrrd import opened_nrrd
from simcrop.adapters.formats.stored import StoredVolume, inspect_stored, read_stored
from simcrop.adapters.problems.content import PaddingValue
from simcrop.adapters.problems.paths import is_file, is_folder
from simcrop.core.data.problems import OnProblem, bad_file, refuse
from simcrop.core.data.study import Volume

_Reader = Callable[[Path, OnProblem, Path | None], AbstractContextManager[StoredVolume]]
_READERS: Mapping[str, _Reader] = {
    ".nii.gz": opened_nifti,
    ".nii": opened_nifti,
    ".hdr": opened_pair,
    ".mha": opened_metaimage,
    ".mhd": opened_metaimage,
    ".nrrd": opened_nrrd,
    ".nhdr": opened_nrrd,
}
SUFFIXES = ", ".join(_READERS)
"""For messages; beside them, a folder of DICOM slices is a volume."""


def suffix_of(name: str) -> str:
    """The end of a volume's name that tells its format, as it stands there; empty where it tells none."""
    length = next((len(suffix) for suffix in _READERS if name.lower().endswith(suffix)), 0)
    return name[len(name) - length :]


def without_suffix(name: str) -> str:
    """A volume's name without that end."""
    return name.removesuffix(suffix_of(name))


def is_nifti(path: Path) -> bool:
    """Whether a volume's name says that it is NIfTI."""
    return suffix_of(path.name).lower() in {".nii.gz", ".nii"}


@contextmanager
def opened(
    path: Path,
    *,
    root: Path | None = None,
    padding_value: PaddingValue = None,
    series: str | None = None,
    on_problem: OnProblem = refuse,
) -> Generator[StoredVolume]:
    """A volume on the point of being read.

    Args:
        path: of a file with one of `SUFFIXES`, of an enhanced CT, or of a folder with one or with DICOM slices.
        root: folder of the data set, which links must not leave; None where they may.
        padding_value: HU that stand for "outside the field of view" in DICOM slices, which are read as air.
        series: UID, number or description of the series that is meant, where the folder holds several.
        on_problem: is told of what is wrong and can be passed over; what leaves nothing to read is raised.

    Raises:
        DataError: a folder, and pydicom is not installed.
        BadFileError: of no known format, damaged, too large, not 3D, or without an affine.
    """
    reader = _READERS.get(suffix_of(path.name).lower())
    if reader is not None:
        opening = reader(path, on_problem, root)
    elif is_folder(path):
        opening = opened_series(path, path.resolve() if root is None else root, padding_value, on_problem, series)
    elif not is_file(path):
        raise bad_file(path, "container.missing", "does not exist")
    elif begins_as_dicom(path):
        opening = opened_enhanced(path, root, padding_value, on_problem)
    else:
        message = f"is named like no volume; {SUFFIXES}, enhanced CT and folders of DICOM slices are read"
        raise bad_file(path, "container.format", message)
    with opening as stored:
        yield stored


def read_volume(
    path: Path, *, root: Path | None = None, padding_value: PaddingValue = None, on_problem: OnProblem = refuse
) -> Volume:
    """A volume in HU, RAS+ axis order; obliquity stays in the affine. Arguments and errors are those of `opened`.

    `padding_value` is read as air in every format, and NaN is an error too.
    """
    opening = opened(path, root=root, padding_value=padding_value, on_problem=on_problem)
    return read_stored(path, opening, padding_value)


def inspect_volume(
    path: Path, on_problem: OnProblem, *, root: Path, padding_value: PaddingValue = None, expects_hu: bool = True
) -> str | None:
    """Tell all that is wrong with a volume, holding a megabyte (of DICOM, a slice) of it at a time.

    Arguments are those of `opened` and `inspect_stored`, and so is what is returned.
    """
    opening = opened(path, root=root, padding_value=padding_value, on_problem=on_problem)
    return inspect_stored(path, opening, on_problem, padding_value=padding_value, expects_hu=expects_hu)
