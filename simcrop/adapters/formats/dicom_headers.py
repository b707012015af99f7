"""One file by its DICOM header alone: a slice of CT, another object beside the slices, or no DICOM at all."""

import io
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.dicom_bytes import (
    begins_as_dicom,
    followed,
    is_named_dicom,
    is_start_of_dicom,
    opened_dicom,
    require_pydicom,
)
from simcrop.adapters.formats.dicom_values import OddValueError, number, numbers, text, whole
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.problems import BadFileError, Problem, bad_file

_MOST_HEADER = 1 << 22
"""Bytes that are unpacked to look at a header."""
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".iso")
_UNDEFINED = 0xFFFFFFFF
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CT, _ENHANCED = _STORAGE + "2", (_STORAGE + "2.1", _STORAGE + "2.2")
PHASES = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "EchoNumbers",
    "KVP",
    "ConvolutionKernel",
    "AcquisitionTime",
    "ImageType",
)
"""Elements that tell apart what was taken twice of the same places, the plainest first."""
_READ = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "PatientName"),
    *("StudyInstanceUID", "StudyDate", "StudyDescription", "AccessionNumber", "SeriesInstanceUID", "SeriesNumber"),
    *("SeriesDescription", "ConvolutionKernel", "SliceThickness", "ContrastBolusAgent", "Manufacturer"),
    *("BodyPartExamined", "ProtocolName", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "PixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence", *PHASES),
    *("ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber", "ConcatenationFrameOffsetNumber"),
)


class Kind(StrEnum):
    """What a file is; the value says it in words."""

    SLICE = "a slice of CT"
    ENHANCED = "an enhanced CT, one volume in one file"
    LOCALIZER = "a localizer"
    DOSE_REPORT = "a dose report"
    REPORT = "a structured report"
    SEGMENTATION = "a segmentation"
    CONTOURS = "contours of radiotherapy (RTSTRUCT)"
    PICTURE = "a picture of a screen or a page (secondary capture)"
    DIRECTORY = "a DICOMDIR"
    OTHER = "another DICOM object"
    DAMAGED = "DICOM that cannot be read"
    ARCHIVE = "an archive; unpack it first"
    NO_DICOM = "no DICOM"


VOLUMES = frozenset({Kind.SLICE, Kind.ENHANCED})
"""What volumes are made of."""
_BY_CLASS: Mapping[str, Kind] = {
    _CT: Kind.SLICE,
    _ENHANCED[0]: Kind.ENHANCED,
    _ENHANCED[1]: Kind.ENHANCED,
    "1.2.840.10008.1.3.10": Kind.DIRECTORY,
    _STORAGE + "66.4": Kind.SEGMENTATION,
    _STORAGE + "66.7": Kind.SEGMENTATION,
    _STORAGE + "481.3": Kind.CONTOURS,
    _STORAGE + "88.67": Kind.DOSE_REPORT,
    _STORAGE + "88.68": Kind.DOSE_REPORT,
    _STORAGE + "88.76": Kind.DOSE_REPORT,
}
_REPORT_CLASSES, _PICTURE_CLASS = _STORAGE + "88.", _STORAGE + "7"
_BY_MODALITY: Mapping[str, Kind] = {
    "CT": Kind.SLICE,
    "SR": Kind.REPORT,
    "SEG": Kind.SEGMENTATION,
    "RTSTRUCT": Kind.CONTOURS,
}


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """A file as its header describes it. What the header lacks is empty, or None.

    Attributes:
        path: the file.
        kind: what it is.
        what: the same in words, with what more is known.
        series, study, instance: UIDs.
        patient, accession, study_date, study_description: as they stand there.
        description, series_number, kernel, thickness_mm, contrast, manufacturer, body_part: of the series.
        image_type: its values, in capitals.
        modality: e.g. CT.
        number: of the instance.
        num_frames: 1, but for objects of several frames.
        shape: rows and columns.
        spacing_mm: between rows, and between columns.
        position: of the first pixel's centre, mm, LPS.
        orientation: direction of a row and of a column, LPS.
        phases: the elements of `PHASES` that are there.
        concatenation: UID that the files share among which the frames of one object were divided.
        part, num_parts: which of them this is, counted from 1, and how many there are.
        first_frame: how many frames come before it.
        problem: why it cannot be read, where that is so.
    """

    path: Path
    kind: Kind
    what: str
    series: str = ""
    study: str = ""
    instance: str = ""
    patient: str = ""
    accession: str = ""
    study_date: str = ""
    study_description: str = ""
    description: str = ""
    series_number: int | None = None
    kernel: str = ""
    thickness_mm: float | None = None
    contrast: str = ""
    manufacturer: str = ""
    body_part: str = ""
    image_type: tuple[str, ...] = ()
    modality: str = ""
    number: int | None = None
    num_frames: int = 1
    shape: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    phases: Mapping[str, str] = field(default_factory=dict[str, str])
    concatenation: str = ""
    part: int | None = None
    num_parts: int | None = None
    first_frame: int | None = None
    problem: Problem | None = None

    @property
    def normal(self) -> np.ndarray | None:
        """[3] direction across the slice, LPS; None where the header gives none."""
        if self.orientation is None:
            return None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        length = float(np.linalg.norm(normal))
        return normal / length if length > 0.1 else None


def read_dicom_header(path: Path, root: Path | None = None) -> DicomHeader:
    """What a file is, by its header; its pixels are not read, and whatever it holds is no error.

    Args:
        path: the file.
        root: of the data set, which links must not leave; None where they may.

    Returns:
        The header. What begins as DICOM, or is named so, and cannot be read, is of the kind DAMAGED, with its problem.

    Raises:
        DataError: the file is DICOM, and pydicom is not installed.
    """
    try:
        refuse_link_out(root, path)
        with opened_dicom(path, _MOST_HEADER, whole=False) as file:
            start = file.read(512)
            file.seek(0)
            if is_start_of_dicom(start):
                pydicom = require_pydicom()
                with followed(path):
                    dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(_READ))
                    header = _described(path, dataset, has_magic=start[128:132] == b"DICM")
                    if header.kind in VOLUMES and not isinstance(file, io.BytesIO):
                        _refuse_cut_off(path, file, dataset)
                    return header
            if is_named_dicom(path.name):
                raise bad_file(path, "container.format", "is no DICOM file (it has no DICM at byte 128)")
    except BadFileError as bad:
        if bad.problem.code == "safety.outside" or is_named_dicom(path.name) or begins_as_dicom(path):
            return DicomHeader(path, Kind.DAMAGED, Kind.DAMAGED, problem=bad.problem)
        return DicomHeader(path, Kind.NO_DICOM, f"{Kind.NO_DICOM}: {bad.problem.message}", problem=bad.problem)
    kind = Kind.ARCHIVE if path.name.lower().endswith(_ARCHIVES) else Kind.NO_DICOM
    return DicomHeader(path, kind, kind)


def _described(path: Path, dataset: Any, *, has_magic: bool) -> DicomHeader:
    """The header in plain values; a file without the magic is DICOM only where it says of what class or series."""
    meta = getattr(dataset, "file_meta", None)
    sop_class = text(dataset, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID")
    modality, series = text(dataset, "Modality").upper(), text(dataset, "SeriesInstanceUID")
    if not (has_magic or sop_class or (series and modality)):
        return DicomHeader(path, Kind.NO_DICOM, Kind.NO_DICOM)
    image_type = tuple(part.strip().upper() for part in text(dataset, "ImageType").split("\\") if part.strip())
    position = _tuple(dataset, "ImagePositionPatient", 3)
    if not (modality or position or _BY_CLASS.get(sop_class) is Kind.DIRECTORY):  # every other object has a modality
        message = "is cut off inside its header, or lacks it: it does not say of what modality it is"
        raise bad_file(path, "container.truncated", message)
    kind = _kind(sop_class, modality, image_type, is_placed=position is not None)
    shape, spacing = (_number(dataset, "Rows"), _number(dataset, "Columns")), _tuple(dataset, "PixelSpacing", 2)
    return DicomHeader(
        path=path,
        kind=kind,
        what=_in_words(kind, sop_class, modality),
        series=series,
        study=text(dataset, "StudyInstanceUID"),
        instance=text(dataset, "SOPInstanceUID"),
        patient=text(dataset, "PatientID"),
        accession=text(dataset, "AccessionNumber"),
        study_date=text(dataset, "StudyDate"),
        study_description=text(dataset, "StudyDescription"),
        description=text(dataset, "SeriesDescription"),
        series_number=_whole(dataset, "SeriesNumber"),
        kernel=text(dataset, "ConvolutionKernel"),
        thickness_mm=_number(dataset, "SliceThickness"),
        contrast=text(dataset, "ContrastBolusAgent"),
        manufacturer=text(dataset, "Manufacturer"),
        body_part=text(dataset, "BodyPartExamined"),
        image_type=image_type,
        modality=modality,
        number=_whole(dataset, "InstanceNumber"),
        num_frames=max(1, _whole(dataset, "NumberOfFrames") or 1),
        shape=None if None in shape else (int(shape[0] or 0), int(shape[1] or 0)),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        position=position,
        orientation=_tuple(dataset, "ImageOrientationPatient", 6),
        phases={name: value for name in PHASES if (value := text(dataset, name))},
        concatenation=text(dataset, "ConcatenationUID"),
        part=_whole(dataset, "InConcatenationNumber"),
        num_parts=_whole(dataset, "InConcatenationTotalNumber"),
        first_frame=_whole(dataset, "ConcatenationFrameOffsetNumber"),
    )


def _refuse_cut_off(path: Path, file: Any, dataset: Any) -> None:
    """Raise BadFileError where the file ends before its pixels do; it was read up to their element.

    Packed pixels do not say how long they are, and of a deflated file no element lies where it is counted.
    """
    if getattr(dataset.file_meta, "TransferSyntaxUID", None) == require_pydicom().uid.DeflatedExplicitVRLittleEndian:
        return
    is_implicit, is_little = dataset.original_encoding
    first, element = file.tell(), file.read(12)
    num_bytes = path.stat().st_size
    if len(element) < 12:
        raise bad_file(path, "container.truncated", f"ends after {num_bytes} bytes, before its pixels", bytes=num_bytes)
    length = int.from_bytes(element[4:8] if is_implicit else element[8:12], "little" if is_little else "big")
    declared = first + (8 if is_implicit else 12) + length
    if length != _UNDEFINED and num_bytes < declared:
        message = f"ends after {num_bytes} of {declared} bytes that its header declares"
        raise bad_file(path, "container.truncated", message, bytes=num_bytes, declared=declared)


def _kind(sop_class: str, modality: str, image_type: Collection[str], *, is_placed: bool) -> Kind:
    """What an object is, by its class; by its modality where the class is missing or unknown."""
    is_picture = sop_class.startswith(_PICTURE_CLASS)
    if is_picture and not (modality == "CT" and is_placed):  # some converters write slices of CT as pictures
        return Kind.PICTURE
    known = _BY_CLASS.get(sop_class)
    if known is None and sop_class.startswith(_REPORT_CLASSES):
        known = Kind.REPORT
    if known is None and (is_picture or not sop_class.startswith(_STORAGE)):
        known = _BY_MODALITY.get(modality) if modality or sop_class or not is_placed else Kind.SLICE
    if known in VOLUMES and "LOCALIZER" in image_type:
        return Kind.LOCALIZER
    if known is Kind.SLICE and modality not in {"", "CT"}:
        return Kind.OTHER
    return known or Kind.OTHER


def _in_words(kind: Kind, sop_class: str, modality: str) -> str:
    if kind is not Kind.OTHER:
        return kind
    name = str(require_pydicom().uid.UID(sop_class).name) if sop_class else ""
    told = " of ".join(part for part in (name, f"modality {modality}" if modality else "") if part)
    return f"{kind} ({told})" if told else kind


def _tuple(dataset: Any, name: str, count: int) -> tuple[float, ...] | None:
    """As many finite numbers, or None."""
    try:
        found = numbers(dataset, name)
    except OddValueError:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _number(dataset: Any, name: str) -> float | None:
    try:
        found = number(dataset, name)
    except OddValueError:
        return None
    return found if found is not None and math.isfinite(found) else None


def _whole(dataset: Any, name: str) -> int | None:
    try:
        return whole(dataset, name)
    except OddValueError:
        return None
