"""One scan from a file of its own: its voxels for a model, and the grid that a map of it has to lie on."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from simcrop.adapters.formats.dicom import opened_series
from simcrop.adapters.formats.geometry import to_ras
from simcrop.adapters.formats.nifti import read_volume
from simcrop.adapters.formats.stored import read_stored
from simcrop.adapters.problems.content import ContentScan, content_problems, shape_problems
from simcrop.adapters.system.files import written_beside
from simcrop.core.data.problems import refuse
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError

NIFTI = (".nii.gz", ".nii")


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan.

    Attributes:
        path: where it was read from.
        volume: HU, axes in RAS+ order.
        shape: voxels along the axes as the file stores them.
        affine: [4, 4], maps indices along these to world coordinates in mm, RAS; as nibabel gives it.
        image: the NIfTI file without its voxels; None for a DICOM series, whose grid is that of `volume`.
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
    """A NIfTI file, or a folder with the slices of one DICOM series.

    Raises:
        DataError: no such file, of another kind, damaged, or without HU in it.
    """
    if path.is_dir():
        volume, image = read_stored(path, opened_series(path, path.resolve(), None, refuse)), None
        x, y, z = volume.voxels.shape
        shape, affine = (x, y, z), volume.affine.double().numpy()
    elif not path.exists():
        raise DataError(f"{path}: does not exist; name a .nii or .nii.gz file, or a folder of DICOM slices")
    elif path.name.lower().endswith(NIFTI):
        volume = read_volume(path)
        image = _opened(path)
        x, y, z = image.shape[:3]
        shape, affine = (x, y, z), image.affine
    else:
        raise DataError(f"{path}: is neither .nii nor .nii.gz nor a folder of DICOM slices; convert it to one of these")
    scan = ContentScan()
    scan.add(volume.voxels.numpy())
    x, y, z = volume.voxels.shape
    for found in (*shape_problems(str(path), (x, y, z), volume.spacing_mm), *content_problems(str(path), scan)):
        refuse(found)
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
    if scan.image is None:
        image: Any = nib.Nifti1Image(values, scan.affine)
        image.set_sform(scan.affine, code=1)
        image.set_qform(scan.affine, code=1)
    else:
        image = type(scan.image)(values.reshape(scan.image.shape), None)
        for field in ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
                      "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"):  # fmt: skip
            image.header[field] = scan.image.header[field]
    image.header["descrip"] = about.encode("ascii", "replace")[:79]
    image.header["cal_min"], image.header["cal_max"] = float(values.min()), float(values.max())
    data = image.to_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as draft:
        draft.write_bytes(gzip.compress(data, 1, mtime=0) if path.name.lower().endswith(".gz") else data)
