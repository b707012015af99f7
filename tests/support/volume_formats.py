"""The same volume in any format that names an affine."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.nifti import write_nifti
from support.nrrds import write_nrrd

LPS = "left-posterior-superior"
_FLIPS = {LPS: (-1, -1, 1), "right-anterior-superior": (1, 1, 1), "left-anterior-superior": (-1, 1, 1)}
_MET = {"i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT", "f4": "FLOAT"}
_MET |= {"f8": "DOUBLE"}

OTHERS = {
    "mha": ("0.mha", False),
    "mha, packed": ("0.mha", True),
    "mhd": ("0.mhd", False),
    "mhd, packed": ("0.mhd", True),
    "nrrd": ("0.nrrd", False),
    "nrrd, packed": ("0.nrrd", True),
    "nhdr": ("0.nhdr", False),
    "nhdr, packed": ("0.nhdr", True),
}
"""Ways to store a volume that are not NIfTI: the file's name, and whether its voxels are packed."""


def write_as(path: Path, voxels: np.ndarray, affine: np.ndarray, *, is_packed: bool = False, space: str = LPS) -> Path:
    """Write voxels [x, y, z] by the end of the path's name.

    Args:
        path: of the file, or of its header; voxels apart from it go into a file of `data_file`.
        voxels: to be written as they are.
        affine: from their indices to mm, RAS.
        is_packed: by gzip or zlib; NIfTI goes by its name.
        space: that an NRRD file counts in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if ".nii" in path.name:
        write_nifti(path, voxels, affine)
    elif path.suffix in {".nrrd", ".nhdr"}:
        _write_nrrd(path, voxels, affine, is_packed, space)
    else:
        _write_metaimage(path, voxels, affine, is_packed)
    return path


def data_file(path: Path, *, is_packed: bool) -> Path:
    """Where the voxels behind a header are; the file itself where it holds both."""
    ends = {".mhd": ".zraw" if is_packed else ".raw", ".nhdr": ".raw.gz" if is_packed else ".raw"}
    return path.with_suffix(ends.get(path.suffix, path.suffix))


def _write_nrrd(path: Path, voxels: np.ndarray, affine: np.ndarray, is_packed: bool, space: str) -> None:
    placed = np.diag([*_FLIPS[space], 1]) @ affine
    vectors = [f"({','.join(repr(float(mm)) for mm in vector)})" for vector in placed[:3].T]
    kind = {"i": "int", "u": "uint", "f": {4: "float", 8: "double"}.get(voxels.itemsize)}[voxels.dtype.kind]
    voxels_file = data_file(path, is_packed=is_packed)
    write_nrrd(
        path,
        voxels,
        type=kind if voxels.dtype.kind == "f" else f"{kind}{8 * voxels.itemsize}",
        dimension=str(voxels.ndim),
        space=space,
        sizes=" ".join(map(str, voxels.shape)),
        space_directions=" ".join([*vectors[:3], *["none"] * (voxels.ndim - 3)]),
        space_origin=vectors[3],
        kinds=None,
        encoding="gzip" if is_packed else "raw",
        **({} if voxels_file == path else {"data_file": voxels_file.name}),
    )


def _write_metaimage(path: Path, voxels: np.ndarray, affine: np.ndarray, is_packed: bool) -> None:
    placed = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(placed[:3, :3], axis=0)
    voxels_file = data_file(path, is_packed=is_packed)
    fields = {
        "ObjectType": "Image",
        "NDims": voxels.ndim,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": is_packed,
        "TransformMatrix": _line((placed[:3, :3] / spacing).T.ravel()),
        "Offset": _line(placed[:3, 3]),
        "ElementSpacing": _line(spacing),
        "DimSize": _line(voxels.shape),
        "ElementType": f"MET_{_MET[voxels.dtype.str[1:]]}",
        "ElementDataFile": "LOCAL" if voxels_file == path else voxels_file.name,
    }
    text = "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()
    data = voxels.tobytes(order="F")
    data = zlib.compress(data, 1) if is_packed else data
    path.write_bytes(text + (data if voxels_file == path else b""))
    if voxels_file != path:
        voxels_file.write_bytes(data)


def _line(numbers: object) -> str:
    return " ".join(repr(number) for number in np.asarray(numbers).tolist())


def unpack(data: bytes) -> bytes:
    """What gzip or zlib packed."""
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else zlib.decompress(data)
