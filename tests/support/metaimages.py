"""MetaImage headers and their voxels on disk."""

import zlib
from pathlib import Path

import numpy as np

from support.data_folders import chest

HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-100 -80.5 -300",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "3 2 5",
    "DimSize": "16 14 10",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "a.raw",
}


def write_mhd(path: Path, voxels: np.ndarray | None = None, **fields: str | None) -> Path:
    """A header and, unless it is LOCAL or named otherwise, its voxels [x, y, z] in a.raw; None leaves a line out."""
    voxels = chest() if voxels is None else voxels
    header = {**HEADER, "ElementDataFile": path.with_suffix(".raw").name, **fields}
    header["ElementDataFile"] = header.pop("ElementDataFile")  # the last line, always
    text = "".join(f"{key} = {value}\n" for key, value in header.items() if value is not None).encode()
    data = voxels.tobytes(order="F")
    if header["CompressedData"] == "True":
        data = zlib.compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text + data if header["ElementDataFile"] == "LOCAL" else text)
    if header["ElementDataFile"] != "LOCAL":
        path.with_suffix(".raw").write_bytes(data)
    return path
