"""NRRD headers and their voxels on disk."""

import gzip
from pathlib import Path

import numpy as np

from support.data_folders import chest

HEADER = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "16 14 10",
    "space directions": "(3,0,0) (0,2,0) (0,0,5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-100,-80.5,-300)",
}


def write_nrrd(path: Path, voxels: np.ndarray | None = None, **fields: str | None) -> Path:
    """A header and its voxels [x, y, z], behind it or in the `data_file` beside it; None leaves a line out."""
    voxels = chest() if voxels is None else voxels
    header = HEADER | {name.replace("_", " "): value for name, value in fields.items()}
    lines = ["NRRD0004", *(f"{key}: {value}" for key, value in header.items() if value is not None)]
    text = "".join(f"{line}\n" for line in lines).encode()
    data = voxels.tobytes(order="F")
    if header["encoding"] in {"gzip", "gz"}:
        data = gzip.compress(data, 1, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = header.get("data file")
    path.write_bytes(text if name else text + b"\n" + data)
    if name:
        (path.parent / Path(name).name).write_bytes(data)
    return path
