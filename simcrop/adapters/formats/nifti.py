"""NIfTI files: read strictly into `Volume`, inspected without being held, written reproducibly.

Reading has three stages, each of which refuses what the next one relies on: the container (gzip read to its end,
length against the header), the header (sizes, scaling, affine), the content.
"""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from simcrop.adapters.formats.container import HEADER_SIZES, opened, voxel_chunks
from simcrop.adapters.formats.geometry import extent, to_ras
from simcrop.adapters.formats.nifti_header import NiftiHeader, parse_header
from simcrop.adapters.problems.content import ContentScan, Scaling, content_problems, shape_problems
from simcrop.adapters.problems.paths import is_file, refuse_link_out
from simcrop.adapters.system.files import naming
from simcrop.core.data.problems import BadFileError, OnProblem, problem, refuse
from simcrop.core.data.study import Volume

ChooseScaling = Callable[[NiftiHeader], Scaling]
"""Says which scaling turns a file's stored numbers into HU; raises BadFileError where none can."""


def header_scaling(header: NiftiHeader) -> Scaling:
    """The header's own."""
    return header.scaling


def read_volume(path: Path, *, scaling: ChooseScaling = header_scaling, on_problem: OnProblem = refuse) -> Volume:
    """A volume in RAS+ axis order; obliquity stays in the affine.

    Args:
        path: .nii or .nii.gz.
        scaling: says which scaling turns the stored numbers into HU.
        on_problem: is told of what is wrong with the header; what leaves nothing to read is raised.

    Raises:
        BadFileError: damaged, too large, not 3D, without a usable affine, or with NaN.
    """
    _tell_twins(path, on_problem)
    data = bytearray()
    with opened(path) as stream:
        header, chunks = _read(path, stream, on_problem)
        for chunk in chunks:
            data += chunk
    stored = np.frombuffer(data, header.dtype).reshape(header.shape, order="F")
    slope, intercept = scaling(header)
    voxels = _scaled(stored, slope, intercept)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise BadFileError(problem(path, "content.not_finite", f"holds {count} NaN or infinite voxels", count=count))
    voxels, affine = to_ras(voxels, header.affine, voxels.dtype)
    return Volume(torch.from_numpy(voxels), torch.from_numpy(affine))


def inspect_volume(
    path: Path,
    on_problem: OnProblem,
    *,
    root: Path,
    scaling: ChooseScaling = header_scaling,
    padding_value: float | None = None,
    expects_hu: bool = True,
) -> str | None:
    """Tell all that is wrong with a file, holding a megabyte of it at a time.

    Args:
        path: .nii or .nii.gz.
        on_problem: is told.
        root: folder of the data set, which links must not leave.
        scaling: as for `read_volume`.
        padding_value: HU that stand for "outside the field of view".
        expects_hu: False for masks and pictures.

    Returns:
        A hash of the stored voxels, or None where they cannot be read.
    """
    _tell_twins(path, on_problem)
    try:
        refuse_link_out(root, path)
        with opened(path) as stream:
            header, chunks = _read(path, stream, on_problem)
            scan = ContentScan(scaling(header), padding_value)
            for chunk in chunks:
                scan.add(np.frombuffer(chunk, header.dtype))
    except BadFileError as bad:
        on_problem(bad.problem)
        return None
    for found in shape_problems(path, *extent(header.shape, header.affine)):
        on_problem(found)
    for found in content_problems(path, scan, expects_hu=expects_hu):
        on_problem(found)
    return scan.digest


def _read(path: Path, stream: Any, on_problem: OnProblem) -> tuple[NiftiHeader, Iterator[bytes]]:
    """The checked header, and the voxels in chunks."""
    start = bytes(stream.read(max(HEADER_SIZES)))
    header = parse_header(path, start, on_problem)
    sizes = {"offset": header.offset, "num_bytes": header.num_bytes, "item": header.dtype.itemsize}
    return header, voxel_chunks(path, stream, start, **sizes)


def _tell_twins(path: Path, on_problem: OnProblem) -> None:
    for twin in twins(path):
        on_problem(problem(path, "container.ambiguous", f"lies beside {twin.name}", twin=twin.name))


def twins(path: Path) -> list[Path]:
    """Another file of the same name, packed or not."""
    other = (
        path.with_name(path.name.removesuffix(".gz"))
        if path.name.endswith(".gz")
        else path.with_name(f"{path.name}.gz")
    )
    return [other] if is_file(other) else []


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray, *, compresslevel: int = 1) -> None:
    """Write [X, Y, Z] voxels as .nii or .nii.gz; the same input gives the same bytes."""
    image = nib.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    with naming(path):
        path.write_bytes(gzip.compress(data, compresslevel, mtime=0) if path.name.endswith(".gz") else data)


def _scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Numbers in HU: int16 where they fit without loss, else float32."""
    if (slope, intercept) != (1.0, 0.0):
        is_whole = slope == round(slope) and intercept == round(intercept)
        is_small = stored.dtype.itemsize <= 4 and abs(slope) < 2**30 and abs(intercept) < 2**30
        if stored.dtype.kind in "iu" and is_whole and is_small:
            stored = stored.astype(np.int64) * int(slope) + int(intercept)
        else:
            with np.errstate(over="ignore"):  # what is beyond any HU becomes infinite, and is refused as such
                stored = stored * np.float64(slope) + np.float64(intercept)
    if stored.dtype.kind in "iu" and stored.min() >= -(2**15) and stored.max() < 2**15:
        return stored.astype(np.int16)
    with np.errstate(over="ignore"):
        return stored.astype(np.float32)
