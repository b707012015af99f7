"""NIfTI files: read strictly into `Volume`, written reproducibly.

Reading has three stages, each of which refuses what the next one relies on: the container (gzip read to its end,
length against the header), the header (sizes, scaling, affine), the content (finite voxels).
"""

import gzip
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError

from simcrop.core.errors import DataError
from simcrop.core.study import Volume

MAX_VOXELS = 2**31
"""Largest volume that is read: a matrix of 1024 x 1024 with 2048 slices."""
_GZIP_MAGIC = b"\x1f\x8b"
_NIFTI1_HEADER, _NIFTI2_HEADER = 348, 540
_CHUNK = 1 << 20
_SILENT = logging.Logger("nibabel's checks", level=logging.CRITICAL + 1)
"""nibabel would print what it is about to raise."""

Scaling = tuple[float, float]
"""(slope, intercept): HU = slope * stored + intercept."""


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """A NIfTI file whose container and header have been checked.

    Attributes:
        stored: [X, Y, Z] numbers as they stand in the file.
        scaling: the header's own; (1, 0) where it has none.
        affine: maps stored indices to world coordinates in mm, RAS.
    """

    path: Path
    stored: np.ndarray
    scaling: Scaling
    affine: np.ndarray


def read_volume(path: Path, *, scaling: Callable[[NiftiFile], Scaling] | None = None) -> Volume:
    """A volume in RAS+ axis order; obliquity stays in the affine.

    Args:
        path: .nii or .nii.gz.
        scaling: says which scaling turns the stored numbers into HU; default: the header's.

    Raises:
        DataError: if the file is damaged, too large, not 3D, without a usable affine, or holds NaN.
    """
    file = read_nifti(path)
    slope, intercept = file.scaling if scaling is None else scaling(file)
    voxels = _scaled(file.stored, slope, intercept)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise DataError(f"{path}: holds NaN or infinite voxels; export the volume again")
    voxels, affine = _to_ras(voxels, file.affine)
    return Volume(torch.from_numpy(voxels), torch.from_numpy(affine))


def read_nifti(path: Path) -> NiftiFile:
    """The stored numbers, scaling and affine of a file, after the checks of container and header."""
    data, header = _read_container(path)
    shape = _spatial_shape(header)
    stored = np.frombuffer(data, header.get_data_dtype(), offset=int(header["vox_offset"])).reshape(shape, order="F")
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise DataError(f"{path}: its header is wrong ({_one_line(error)}); export the volume again") from error
    scaling = (1.0, 0.0) if slope is None else (float(slope), float(intercept or 0.0))
    return NiftiFile(path, stored, scaling, _checked_affine(path, header))


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray, *, compresslevel: int = 1) -> None:
    """Write [X, Y, Z] voxels as .nii or .nii.gz; the same input gives the same bytes."""
    image = nib.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    path.write_bytes(gzip.compress(data, compresslevel, mtime=0) if path.name.endswith(".gz") else data)


def _read_container(path: Path) -> tuple[bytearray, Any]:
    """Whole decompressed file, of exactly the length that its header declares, and the header."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GZIP_MAGIC))
            file.seek(0)
            if not magic:
                raise DataError(f"{path}: is empty (0 bytes); copy or download it again")
            if not path.name.endswith(".gz"):
                return _read_stream(path, file)
            if magic != _GZIP_MAGIC:
                raise DataError(f"{path}: is not gzip although its name says so; download it again or rename it")
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_stream(path, stream)
    except EOFError as error:
        raise DataError(f"{path}: is cut off (its gzip data has no end); download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: its gzip data is damaged ({_one_line(error)}); download it again") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; correct the path in the table, or download the file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_one_line(error)}); check the disk and the permissions") from error


def _read_stream(path: Path, stream: Any) -> tuple[bytearray, Any]:
    """Read to the end, where gzip compares length and CRC. Memory grows with what arrives, not what is declared."""
    data = bytearray(stream.read(_NIFTI2_HEADER))
    header = _parse_header(path, bytes(data))
    expected = _declared_length(path, header)
    while len(data) < expected and (chunk := stream.read(min(_CHUNK, expected - len(data)))):
        data += chunk
    if len(data) < expected:
        raise DataError(
            f"{path}: ends after {len(data)} of {expected} bytes that its header declares; download it again"
        )
    if stream.read(1):
        raise DataError(f"{path}: holds more than the {expected} bytes that its header declares; export it again")
    return data, header


def _parse_header(path: Path, data: bytes) -> Any:
    sizes = {int.from_bytes(data[:4], order, signed=True) for order in ("little", "big")}
    if _NIFTI2_HEADER in sizes and len(data) >= _NIFTI2_HEADER:
        header = nib.Nifti2Header(data[:_NIFTI2_HEADER], check=False)
    elif _NIFTI1_HEADER in sizes and len(data) >= _NIFTI1_HEADER:
        header = nib.Nifti1Header(data[:_NIFTI1_HEADER], check=False)
    else:
        raise DataError(f"{path}: is not NIfTI (its first bytes are {data[:16]!r}); download it again")
    try:
        header.check_fix(logger=_SILENT)
    except HeaderDataError as error:
        raise DataError(f"{path}: its header is wrong ({_one_line(error)}); export the volume again") from error
    return header


def _declared_length(path: Path, header: Any) -> int:
    dims = [int(n) for n in header["dim"]]
    if not (3 <= dims[0] <= 7 and all(n >= 1 for n in dims[1:4]) and all(n == 1 for n in dims[4 : dims[0] + 1])):
        raise DataError(f"{path}: its header declares dimensions {dims[: max(1, dims[0]) + 1]}; a 3D volume is needed")
    voxels = dims[1] * dims[2] * dims[3]
    if voxels > MAX_VOXELS:
        raise DataError(f"{path}: its header declares {dims[1:4]} voxels, above the limit of 2^31; crop the volume")
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        raise DataError(f"{path}: its voxels are of type {kind}, not numbers; export the volume as int16")
    offset = float(header["vox_offset"])
    if not (np.isfinite(offset) and header.sizeof_hdr <= offset <= 1 << 24):
        raise DataError(f"{path}: its header puts the voxels at byte {offset}; export the volume again")
    return int(offset) + voxels * kind.itemsize


def _spatial_shape(header: Any) -> tuple[int, int, int]:
    _, x, y, z = (int(n) for n in header["dim"][:4])
    return x, y, z


def _checked_affine(path: Path, header: Any) -> np.ndarray:
    """The sform, else the qform."""
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        raise DataError(f"{path}: has neither sform nor qform, so left and right are unknown; set its sform")
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and (spacing > 1e-3).all() and (spacing < 1e3).all()):
        raise DataError(f"{path}: its affine gives a voxel spacing of {spacing.tolist()} mm; repair its sform")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-2:
        raise DataError(f"{path}: its affine is singular (axes lie in one plane); repair its sform")
    return affine


def _scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Numbers in HU: int16 where they fit without loss, else float32."""
    if (slope, intercept) != (1.0, 0.0):
        if stored.dtype.kind in "iu" and slope == round(slope) and intercept == round(intercept):
            stored = stored.astype(np.int64) * int(slope) + int(intercept)
        else:
            stored = stored * np.float64(slope) + np.float64(intercept)
    if stored.dtype.kind in "iu" and stored.min() >= -(2**15) and stored.max() < 2**15:
        return stored.astype(np.int16)
    return stored.astype(np.float32)


def _to_ras(voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same volume with its array axes nearest to right, front and head."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("RAS"))
    # Order K keeps the file's memory order: several times faster than a transposition, and strides are all positive.
    return np.array(apply_orientation(voxels, turn), order="K"), affine @ inv_ornt_aff(turn, voxels.shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
