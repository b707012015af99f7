"""NIfTI files: opened strictly, written reproducibly.

Opening has three stages, each of which refuses what the next one relies on: the container (gzip read to its end,
length against the header), the header (sizes, scaling, affine), the content.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip

from simcrop.adapters.formats.container import HEADER_SIZES, is_named_gz, opened_bytes
from simcrop.adapters.formats.geometry import corners_apart
from simcrop.adapters.formats.nifti_header import parse_header
from simcrop.adapters.formats.stored import StoredVolume, stored_behind
from simcrop.adapters.problems.paths import is_file, pair_file, refuse_link_out
from simcrop.adapters.system.files import naming
from simcrop.core.data.problems import OnProblem, bad_file, problem

_GRID = ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
         "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units")  # fmt: skip
"""Fields of a header that say where its voxels lie."""
_ROUNDING_MM = 0.01
_LEVEL = 1
"""Of compression: as small as level 1 of zlib, in a fifth of its time."""


@contextmanager
def opened_nifti(path: Path, on_problem: OnProblem, root: Path | None) -> Generator[StoredVolume]:
    """A volume on the point of being read; memory grows with what arrives, not with what the header claims.

    Args:
        path: .nii or .nii.gz.
        on_problem: is told of what is wrong with the header and can be passed over, and of a file with the same name.
        root: folder of the data set, which links must not leave; None where they may.

    Raises:
        BadFileError: damaged, too large, not 3D, or without a usable affine.
    """
    for twin in twins(path):
        on_problem(problem(path, "container.ambiguous", f"lies beside {twin.name}", twin=twin.name))
    refuse_link_out(root, path)
    with opened_bytes(path) as stream:
        start = bytes(stream.read(max(HEADER_SIZES)))
        header = parse_header(path, start, on_problem)
        yield stored_behind(header, stream, start)


@contextmanager
def opened_pair(path: Path, on_problem: OnProblem, root: Path | None) -> Generator[StoredVolume]:
    """A volume whose header and voxels are two files, .hdr and .img; arguments and errors are those of `opened_nifti`.

    Raises:
        BadFileError: also where it is Analyze, whose header does not tell left from right.
    """
    refuse_link_out(root, path)
    with opened_bytes(path) as stream:
        header = parse_header(path, bytes(stream.read(max(HEADER_SIZES))), on_problem, is_pair=True)
    found = pair_file(path)
    if not found:
        raise bad_file(path, "container.missing", "has no .img beside it, which would hold its voxels")
    refuse_link_out(root, found[0])
    with opened_bytes(found[0]) as stream:
        yield stored_behind(replace(header, data_file=found[0]), stream, bytes(stream.read(header.offset)))


def twins(path: Path) -> list[Path]:
    """Another file of the same name, packed or not."""
    other = path.with_name(path.name[:-3] if is_named_gz(path) else f"{path.name}.gz")
    return [other] if is_file(other) else []


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels as `nifti_bytes` has them."""
    data = nifti_bytes(path.name, voxels, affine)
    with naming(path):
        path.write_bytes(data)


def nifti_bytes(
    name: str, voxels: np.ndarray, affine: np.ndarray, *, like: Any = None, fields: Mapping[str, Any] | None = None
) -> bytes:
    """Bytes of a NIfTI file; the same input gives the same bytes, except that kinds of CPU may pack differently.

    Args:
        name: of the file; gzip packs what is for a name that ends in .gz.
        voxels: [X, Y, Z], or more axes.
        affine: maps indices to world coordinates in mm, RAS.
        like: a NIfTI image on the same grid, of which shape, kind and every bit of its forms are taken over: nothing
            else, as its header may name the patient.
        fields: more of the header, by NIfTI's names.
    """
    header = (
        _placed(voxels.shape, voxels.dtype, affine.tobytes()).copy() if like is None else _placed_like(voxels, like)
    )
    for field, value in (fields or {}).items():
        header[field] = value
    between = bytes(int(header["vox_offset"]) - int(header["sizeof_hdr"]))
    data = b"".join((header.binaryblock, between, voxels.astype(header.get_data_dtype()).tobytes("F")))
    return igzip.compress(data, _LEVEL, mtime=0) if is_named_gz(Path(name)) else data


def _placed_like(voxels: np.ndarray, like: Any) -> Any:
    header = type(like)(voxels.reshape(like.shape), None).header
    for field in _GRID:
        header[field] = like.header[field]
    return _in_one_file(header)


@lru_cache(maxsize=4)
def _placed(shape: tuple[int, ...], dtype: np.dtype[Any], affine_bytes: bytes) -> Any:
    """Header with sform and qform; without the latter, which holds right angles only, where the axes are sheared."""
    affine = np.frombuffer(affine_bytes).reshape(4, 4)
    image: Any = nib.Nifti1Image(np.broadcast_to(np.zeros((), dtype), shape), affine, dtype=dtype)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    if corners_apart(image.get_qform(), affine, shape) > _ROUNDING_MM:
        image.set_qform(None, code=0)
    return _in_one_file(image.header)


def _in_one_file(header: Any) -> Any:
    """The header, saying that stored numbers stand for themselves and begin behind it."""
    header.set_slope_inter(1, 0)
    header["vox_offset"] = header.single_vox_offset
    return header
