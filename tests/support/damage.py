"""A small clean data set like that of a hospital, and the means to damage it."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import BadFileError, Problem
from support.data_folders import write_table

SHAPE = (40, 40, 24)
AFFINE = np.array([[-8.0, 0, 0, 160], [0, -8.0, 0, 150], [0, 0, 10.0, -900], [0, 0, 0, 1]])
FINDINGS = "The trachea is open. A nodule of 9.5 mm is seen in the left lung. There is no pleural effusion."

FileDamage = Callable[[Path], None]
Row = dict[str, object]


@cache
def synthetic_chest(seed: int = 0) -> np.ndarray:
    """int16 HU of a body with lungs, ribs and spine in air, with noise; 320 x 320 x 240 mm at `AFFINE`."""
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    noise = np.random.default_rng(seed).normal(0, 20, SHAPE)
    voxels = np.where((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, 40.0, -1000.0)
    for side in (-0.45, 0.45):
        voxels[((x - side) / 0.3) ** 2 + (y / 0.45) ** 2 < 1] = -850
    voxels[(x / 0.1) ** 2 + ((y - 0.5) / 0.1) ** 2 < 1] = 600
    return np.round(np.maximum(voxels + noise, -1024)).astype(np.int16)


def nifti_bytes(voxels: np.ndarray, affine: np.ndarray = AFFINE, kind: type = nib.Nifti1Image) -> bytes:
    """A plain NIfTI file as a good converter writes it: sform, qform, and millimetres."""
    image = kind(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    return image.to_bytes()


def write(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """A packed or plain volume, and the folders on the way to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = nifti_bytes(voxels, affine)
    path.write_bytes(gzip.compress(plain, 1) if path.suffix == ".gz" else plain)


@dataclass
class Hospital:
    """Four volumes of four patients, two in each split; `victim` is the one to damage."""

    root: Path
    rows: list[Row]

    @classmethod
    def made_in(cls, root: Path) -> "Hospital":
        rows: list[Row] = []
        for number, split in enumerate(("train", "train", "validation", "validation")):
            write(root / f"scans/{number}.nii.gz", synthetic_chest(number))
            row: Row = {"volume": f"scans/{number}.nii.gz", "findings": FINDINGS, "impression": "A nodule."}
            row |= {"study_id": f"s{number}", "patient_id": f"p{number}", "split": split}
            rows.append(row | {"nodule": int(number in (0, 2)), "effusion": int(number in (1, 2))})
        return cls(root, rows)

    @property
    def victim(self) -> Path:
        return self.root / "scans/0.nii.gz"

    @property
    def table(self) -> Path:
        return self.root / "reports.csv"

    def findings(self, padding_value: float | None = None, *, workers: int = 1) -> list[Problem]:
        """What a check finds; a table written by hand before is left as it is."""
        if not self.table.exists():
            write_table(self.table, self.rows)
        return check_manifest(self.table, self.root / "cache", padding_value=padding_value, workers=workers)


def check_manifest(
    table: Path, cache: Path, *, padding_value: float | None = None, workers: int = 1, max_tokens: int = 64
) -> list[Problem]:
    """What the command line would report of a table and its volumes."""
    told: list[Problem] = []
    try:
        source = ManifestSource(table, padding_value=padding_value, on_problem=told.append)
    except BadFileError as bad:
        return [*told, bad.problem]
    return list(check_source(source, told, cache, max_tokens=max_tokens, workers=workers).problems)


def packed(change: Callable[[bytes], bytes]) -> FileDamage:
    """Change a file's bytes."""
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def unpacked(change: Callable[[bytes], bytes]) -> FileDamage:
    """Change what is in a .gz file."""
    return packed(lambda data: gzip.compress(change(gzip.decompress(data)), 1))


def field(*patches: tuple[int, str, tuple[float, ...]]) -> FileDamage:
    """Overwrite fields of a little-endian NIfTI-1 header, each given by its offset, layout and values."""

    def change(plain: bytes) -> bytes:
        data = bytearray(plain)
        for offset, layout, values in patches:
            struct.pack_into(f"<{layout}", data, offset, *values)
        return bytes(data)

    return unpacked(change)


def voxels(change: Callable[[np.ndarray], np.ndarray]) -> FileDamage:
    """Write other voxels into a volume, its header made to fit."""
    return lambda path: write(path, change(synthetic_chest(0)))


def affine(change: Callable[[np.ndarray], np.ndarray]) -> FileDamage:
    """Write the same voxels with another affine, in sform and qform alike."""
    return lambda path: write(path, synthetic_chest(0), change(AFFINE))
