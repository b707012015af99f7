"""One scan from a file of its own: its voxels for a model, and the grid that a map of it has to lie on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from simcrop.adapters.formats.geometry import to_ras
from simcrop.adapters.formats.nifti import nifti_bytes
from simcrop.adapters.formats.opening import SUFFIXES, is_nifti, read_volume, suffix_of
from simcrop.adapters.problems.content import refuse_content
from simcrop.adapters.system.files import whole_file
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan.

    Attributes:
        path: where it was read from.
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


def read_scan(path: Path) -> Scan:
    """A file of any format, or a folder with the slices of one DICOM series.

    Raises:
        DataError: no such file, of another kind, damaged, or without HU in it.
    """
    if not path.exists():
        raise DataError(f"{path}: does not exist; name a file ({SUFFIXES}), or a folder of DICOM slices")
    if not (suffix_of(path.name) or path.is_dir()):
        raise DataError(f"{path}: is none of {SUFFIXES} nor a folder of DICOM slices; convert it to one of these")
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
