"""DICOM series on disk, slice by slice."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from support.data_folders import chest
from support.landmarks import slices_first

VOXELS = np.maximum(chest(), -1024)

HU = slices_first(VOXELS)

"""[slice, row, column]."""

Change = Callable[[Any, int], None]


def write_series(
    folder: Path,
    hu: np.ndarray = HU,
    *,
    axes: Sequence[Sequence[float]] = ((1, 0, 0), (0, 1, 0)),
    step: Sequence[float] = (0, 0, 5),
    change: Change = lambda dataset, number: None,
    syntax: str = ExplicitVRLittleEndian,
) -> None:
    """Slices named so that their order is not that of their names; `change` may alter each before it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(hu):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        kind = {"is_implicit_VR": syntax == ImplicitVRLittleEndian, "is_little_endian": syntax != ExplicitVRBigEndian}
        dataset: Any = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, **kind)
        dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        dataset.Modality, dataset.SeriesInstanceUID = "CT", "1.2.3"
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelSpacing = [2, 3]
        dataset.ImageOrientationPatient = [value for axis in axes for value in axis]
        dataset.ImagePositionPatient = [a + number * b for a, b in zip((-100, -80, -300), step, strict=True)]
        stored = (pixels.astype(np.int32) + 1024).astype(">u2" if syntax == ExplicitVRBigEndian else "<u2")
        dataset.PixelData = stored.tobytes()
        change(dataset, number)
        dataset.save_as(folder / f"{number * 7 % 10}.dcm", enforce_file_format=True)
