"""The header of a NIfTI file: sizes, spacing, scaling and affine, each checked against the others."""

import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1PairHeader
from nibabel.nifti2 import Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError

from simcrop.adapters.formats.container import HEADER_SIZES, header_size
from simcrop.adapters.formats.geometry import check_affine, corners_apart
from simcrop.adapters.formats.stored import MAX_VOXELS, Header
from simcrop.core.data.problems import OnProblem, bad_file, problem
from simcrop.core.errors import one_line

_MAX_CORNER_MM = 1.0
_MAX_SPACING_ERROR = 0.01
_MM = 2
"""NIfTI's code."""
_SILENT = logging.Logger("nibabel's checks", level=logging.CRITICAL + 1)
"""nibabel would print what it is about to raise."""


def parse_header(path: Path, start: bytes, on_problem: OnProblem, *, is_pair: bool = False) -> Header:
    """The header in a file's first bytes.

    Args:
        path: for messages.
        start: those bytes.
        on_problem: is told.
        is_pair: whether the voxels lie in a file of their own.

    Raises:
        BadFileError: where the voxels cannot be found in the file, or placed in the patient; everything else is told.
    """
    size = header_size(start)
    if size is None:
        raise bad_file(path, "container.format", f"is not NIfTI (its first bytes are {start[:16]!r})")
    if len(start) < size:
        raise bad_file(path, "container.truncated", f"ends inside its header, after {len(start)} bytes")
    if is_pair:
        kind = Nifti1PairHeader if size == HEADER_SIZES[0] else Nifti2PairHeader
    else:
        kind = nib.Nifti1Header if size == HEADER_SIZES[0] else nib.Nifti2Header
    raw: Any = kind(start[:size], check=False)
    if is_pair and not bytes(raw["magic"].item()).startswith((b"ni", b"n+")):
        message = "is the header of an Analyze pair, which does not tell left from right"
        raise bad_file(path, "header.no_orientation", message)
    return _checked(path, raw, on_problem, first_byte=0 if is_pair else size)


def _checked(path: Path, raw: Any, on_problem: OnProblem, *, first_byte: int) -> Header:
    shape = _checked_shape(path, raw)
    dtype = _checked_dtype(path, raw)
    offset = float(raw["vox_offset"])
    if not (np.isfinite(offset) and first_byte <= offset <= 1 << 24):
        raise bad_file(path, "header.invalid", f"its header puts the voxels at byte {offset}")
    pixdim = [float(mm) for mm in raw["pixdim"][1:4]]
    bad_pixdim = not all(np.isfinite(mm) and mm > 0 for mm in pixdim)
    if bad_pixdim:
        on_problem(problem(path, "header.pixdim", f"its header gives the spacing as {pixdim} mm", pixdim=pixdim))
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        message = f"its header scales by slope {slope:g} and intercept {intercept:g}"
        on_problem(problem(path, "header.scaling", message, slope=slope, intercept=intercept))
        slope, intercept = 1.0, 0.0
    try:
        raw.check_fix(logger=_SILENT)
    except HeaderDataError as error:
        on_problem(problem(path, "header.invalid", f"its header is wrong ({one_line(error)})"))
    with np.errstate(all="ignore"):  # NIfTI-2 has room for numbers whose squares overflow
        affine = _checked_affine(path, raw, shape, None if bad_pixdim else pixdim, on_problem)
    return Header(shape, dtype, affine, path, int(offset), (slope, intercept))


def _checked_shape(path: Path, raw: Any) -> tuple[int, int, int]:
    dims = [int(n) for n in raw["dim"]]
    declared = dims[1 : max(0, min(7, dims[0])) + 1]
    if not 0 <= dims[0] <= 7 or any(n < 1 for n in declared):
        raise bad_file(path, "header.dims", f"its header declares dimensions {dims[:8]}", dim=dims)
    if dims[0] < 3 or any(n != 1 for n in declared[3:]):
        raise bad_file(path, "content.not_3d", f"holds {declared} voxels; a 3D volume is needed", dim=dims)
    x, y, z = declared[:3]
    if x * y * z > MAX_VOXELS:
        message = f"its header declares {declared[:3]} voxels, above the limit of 2^31"
        raise bad_file(path, "header.dims_huge", message, dim=dims)
    return x, y, z


def _checked_dtype(path: Path, raw: Any) -> np.dtype[Any]:
    try:
        dtype = raw.get_data_dtype()
    except (HeaderDataError, KeyError, TypeError) as error:
        code = int(raw["datatype"])
        raise bad_file(path, "header.datatype", f"its header has the unknown datatype {code}") from error
    if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8):
        raise bad_file(path, "header.datatype", f"its voxels are of type {dtype}, not numbers")
    return dtype


def _checked_affine(
    path: Path, raw: Any, shape: tuple[int, int, int], pixdim: list[float] | None, on_problem: OnProblem
) -> np.ndarray:
    """The sform, else the qform. Raises where neither can be used."""
    has_sform, has_qform = int(raw["sform_code"]) > 0, int(raw["qform_code"]) > 0
    if not has_sform and not has_qform:
        raise bad_file(path, "header.no_orientation", "has neither sform nor qform, so left and right are unknown")
    qform = _qform(path, raw, on_problem) if has_qform and pixdim is not None else None
    affine = np.asarray(raw.get_sform(), np.float64) if has_sform else qform
    if affine is None:
        raise bad_file(path, "header.affine", "its qform cannot be used, and it has no sform")
    spacing = check_affine(path, affine, on_problem)
    if has_sform and pixdim is not None and np.abs(spacing / pixdim - 1).max() > _MAX_SPACING_ERROR:
        message = (
            f"its sform has a spacing of {np.round(spacing, 4).tolist()} mm and pixdim {np.round(pixdim, 4).tolist()}"
        )
        on_problem(problem(path, "header.sform_pixdim", message, sform_mm=spacing.tolist(), pixdim_mm=pixdim))
    if has_sform and qform is not None:
        _compare_forms(path, affine, qform, shape, on_problem)
    if has_sform and not has_qform:
        on_problem(problem(path, "header.no_qform", "has an sform and no qform"))
    if int(raw["xyzt_units"]) % 8 != _MM:
        on_problem(problem(path, "header.units", "does not say that its lengths are in mm"))
    return affine


def _qform(path: Path, raw: Any, on_problem: OnProblem) -> np.ndarray | None:
    try:
        qform = np.asarray(raw.get_qform(), np.float64)
    except (HeaderDataError, ValueError) as error:
        on_problem(problem(path, "header.invalid", f"its qform is wrong ({one_line(error)})"))
        return None
    if not np.isfinite(qform).all():
        on_problem(problem(path, "header.affine", "its qform holds NaN or infinity"))
        return None
    return qform


def _compare_forms(
    path: Path, sform: np.ndarray, qform: np.ndarray, shape: tuple[int, int, int], on_problem: OnProblem
) -> None:
    apart = corners_apart(sform, qform, shape)
    if apart > _MAX_CORNER_MM:
        message = f"its sform and qform put the corners {apart:.1f} mm apart"
        on_problem(problem(path, "header.sform_qform", message, apart_mm=apart))
