"""Enhanced CT on disk: a volume in one file, with its functional groups."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from support.dicom_packing import pack_as, packed
from support.dicom_series import HU

Macros = Mapping[str, Mapping[str, Any]]
"""Name of a macro's sequence -> elements of its item."""
POSITION, ORIENTATION, MEASURES = "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"
RESCALE, CONTENT, KIND = "PixelValueTransformationSequence", "FrameContentSequence", "CTImageFrameTypeSequence"
SHARED: Macros = {
    MEASURES: {"PixelSpacing": [2, 3], "SliceThickness": 5},
    ORIENTATION: {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    RESCALE: {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"},
}
UNPACKED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


def at(number: int) -> Macros:
    """The place of a frame, as of the slices of `dicom_series`."""
    return {POSITION: {"ImagePositionPatient": [-100, -80, -300 + 5 * number]}}


def group(macros: Macros) -> Dataset:
    """A functional group."""
    found = Dataset()
    for name, elements in macros.items():
        item = Dataset()
        for element, value in elements.items():
            setattr(item, element, value)
        setattr(found, name, [item])
    return found


def write_enhanced(
    path: Path,
    hu: np.ndarray = HU,
    *,
    order: Sequence[int] | None = None,
    own: Callable[[int], Macros] = at,
    shared: Macros = SHARED,
    change: Callable[[Any], object] = lambda dataset: None,
    syntax: str = ExplicitVRLittleEndian,
) -> None:
    """A file.

    Args:
        path: of the file.
        hu: [slice, row, column].
        order: of the frames; that of the slices by default.
        own: the macros that the frame of a slice has alone.
        shared: those of all frames.
        change: may alter the data set before it is written.
        syntax: UID of the transfer syntax.
    """
    order = range(len(hu)) if order is None else order
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = EnhancedCTImageStorage, "1.2.3.4"
    kind = {"is_implicit_VR": syntax == ImplicitVRLittleEndian, "is_little_endian": syntax != ExplicitVRBigEndian}
    dataset: Any = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, **kind)
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedCTImageStorage, "1.2.3.4"
    dataset.Modality, dataset.SeriesInstanceUID, dataset.NumberOfFrames = "CT", "1.2.3", len(order)
    dataset.Rows, dataset.Columns = hu.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    stored = (hu[list(order)].astype(np.int32) + 1024).astype(">u2" if syntax == ExplicitVRBigEndian else "<u2")
    dataset.PixelData = stored.tobytes()
    if syntax not in UNPACKED and not syntax.endswith(".99"):
        pack_as(dataset, syntax, *_packed_frames(dataset, stored, syntax))
    dataset.SharedFunctionalGroupsSequence = [group(shared)]
    dataset.PerFrameFunctionalGroupsSequence = [group(own(number)) for number in order]
    change(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _packed_frames(dataset: Any, stored: np.ndarray, syntax: str) -> Sequence[bytes]:
    frames: list[bytes] = []
    dataset.file_meta.TransferSyntaxUID, count, dataset.NumberOfFrames = ExplicitVRLittleEndian, len(stored), 1
    for pixels in stored:
        dataset.PixelData = pixels.tobytes()
        frames.append(packed(dataset, syntax))
    dataset.NumberOfFrames = count
    return frames
