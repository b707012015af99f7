"""One scan, from a file of its own or from memory: its voxels for a model, and the grid that a map has to lie on."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray

from simcrop.adapters.formats.dicom_bytes import begins_as_dicom
from simcrop.adapters.formats.geometry import check_affine, to_ras
from simcrop.adapters.formats.nifti import nifti_bytes
from simcrop.adapters.formats.opening import SUFFIXES, is_nifti, read_volume, suffix_of
from simcrop.adapters.formats.stored import StoredVolume, check_shape, read_stored
from simcrop.adapters.problems.content import refuse_content
from simcrop.adapters.system.files import whole_file
from simcrop.core.data.problems import refuse
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError, InputError


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan.

    Attributes:
        path: where it was read from; of a scan from memory, what it is.
        volume: HU, axes in RAS+ order.
        shape: voxels along the axes as the file stores them.
        affine: [4, 4], maps indices along these to world coordinates in mm, RAS; as nibabel gives it.
        image: the NIfTI file without its voxels; None for other formats, whose grid is that of `volume`.
    """

    path: Path
    volume: Volume
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    image: Any

    def as_ras(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values on the file's grid, with axes as those of `volume`."""
        return to_ras(values, self.affine, np.float32)[0]


ScanLike = str | os.PathLike[str] | SpatialImage | tuple[ArrayLike, ArrayLike] | Scan
"""A path; a nibabel image; voxels in HU with the [4, 4] affine of their indices to RAS in mm; a scan that was read."""


def read_scan(scan: ScanLike) -> Scan:
    """A scan by what stands for it.

    Args:
        scan: a file of any format, or a folder with the slices of one DICOM series; a nibabel image; or a pair of
            voxels [X, Y, Z] in HU and the affine that maps their indices to world coordinates in mm, RAS.

    Raises:
        InputError: none of these.
        DataError: no such file, damaged, not 3D, without a usable affine, or without HU in it.
    """
    if isinstance(scan, Scan):
        return scan
    if isinstance(scan, str | os.PathLike):
        return _from_file(Path(scan))
    if isinstance(scan, SpatialImage):
        name = scan.get_filename()
        return _from_memory(Path("image" if name is None else str(name)), scan.dataobj, scan.affine)
    if not (isinstance(scan, tuple) and len(scan) == 2):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"scan: is a {type(scan).__name__}; give a path, a nibabel image, or a tuple (voxels in HU, affine)"
        )
    return _from_memory(Path("array"), *scan)


def _from_memory(name: Path, given: Any, grid: ArrayLike | None) -> Scan:
    """Voxels that somebody else has read, judged as those of a file."""
    voxels = np.asanyarray(given)
    if voxels.dtype.kind not in "iuf":
        raise InputError(f"{name}: holds {voxels.dtype}; voxels are numbers in HU")
    shape = check_shape(name, _without_trailing(voxels.shape))
    affine = np.full((4, 4), np.nan) if grid is None else np.asarray(grid, np.float64)
    if affine.shape != (4, 4):
        raise InputError(f"{name}: its affine has the shape {affine.shape}; give [4, 4], indices to mm in RAS")
    check_affine(name, affine, refuse)
    stored = StoredVolume(shape, voxels.dtype, affine, iter([np.ascontiguousarray(voxels).reshape(-1)]), "C")
    volume = read_stored(name, nullcontext(stored))
    refuse_content(name, volume)
    return Scan(name, volume, shape, affine, None)


def _without_trailing(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without axes of one voxel behind the third, as NIfTI may have them."""
    sizes = tuple(shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def _from_file(path: Path) -> Scan:
    if not path.exists():
        raise DataError(f"{path}: does not exist; name a file ({SUFFIXES}), or a folder of DICOM slices")
    if not (suffix_of(path.name) or path.is_dir() or begins_as_dicom(path)):
        raise DataError(
            f"{path}: is none of {SUFFIXES}, enhanced CT, nor a folder of DICOM slices; convert it to one of these"
        )
    volume = read_volume(path)
    x, y, z = volume.voxels.shape
    image = _opened(path) if is_nifti(path) else None
    shape = (x, y, z) if image is None else image.shape[:3]
    affine = volume.affine.double().numpy() if image is None else image.affine
    refuse_content(path, volume)
    return Scan(path, volume, shape, affine, image)


def _opened(path: Path) -> Any:
    try:
        return nib.load(path)
    except (ImageFileError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read by nibabel ({error}); export it again") from error


def write_map(path: Path, values: NDArray[np.float32], scan: Scan, *, about: str) -> None:
    """Write values on a scan's grid as NIfTI: shape, orientation and every bit of the affine are those of its file.

    Nothing else of the file's header is taken over, as it may name the patient.

    Args:
        path: .nii or .nii.gz.
        values: on the scan's grid.
        scan: that they belong to.
        about: for the header, at most 79 characters.
    """
    limits = {"cal_min": float(values.min()), "cal_max": float(values.max())}
    fields = {"descrip": about.encode("ascii", "replace")[:79], **limits}
    data = nifti_bytes(path.name, values, scan.affine, like=scan.image, fields=fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(data)
