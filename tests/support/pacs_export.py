"""A folder as an archive exports it: studies of several series, and all that lies among them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SegmentationStorage,
    XRayRadiationDoseSRStorage,
)

from support.data_folders import chest, write_volume
from support.landmarks import slices_first

NAME = "Yilmaz^Ayse"
"""Of every patient; no table may have it."""
_NAMES: Sequence[Callable[[int], str]] = (
    lambda number: f"{number:04}.dcm",
    lambda number: f"IM{number:05}",
    lambda number: f"CT.1.2.840.{number}.IMA",
    lambda number: f"{number}.dicom",
)


def dataset_of(sop_class: UID, modality: str, **elements: Any) -> Any:
    """A DICOM object without pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, sop_class
    dataset: Any = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.Modality, dataset.PatientName = sop_class, modality, NAME
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def save(dataset: Any, path: Path, instance: str) -> None:
    """Write an object under a UID of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance
    dataset.save_as(path, enforce_file_format=True)


def slices_of(study: Mapping[str, Any], series: str, hu: np.ndarray, spacing_mm: float, **elements: Any) -> list[Any]:
    """The slices of a series of CT, from the feet to the head.

    Args:
        study: elements of the study.
        series: UID.
        hu: [slice, row, column].
        spacing_mm: between slices.
        elements: more of each slice.
    """
    slices: list[Any] = []
    common = {
        "SliceThickness": spacing_mm,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        **study,
        **elements,
    }
    first = dataset_of(CTImageStorage, "CT", SeriesInstanceUID=series, **common)
    first.Rows, first.Columns = hu.shape[1:]
    first.SamplesPerPixel, first.PhotometricInterpretation = 1, "MONOCHROME2"
    first.BitsAllocated, first.BitsStored, first.HighBit, first.PixelRepresentation = 16, 16, 15, 1
    first.RescaleSlope, first.RescaleIntercept, first.PixelSpacing = 1, 0, [20, 20]
    for number, pixels in enumerate(hu):
        one = copy.deepcopy(first)
        one.InstanceNumber, one.ImagePositionPatient = number + 1, [-160, -140, round(-100 + number * spacing_mm, 3)]
        one.PixelData = pixels.astype("<i2").tobytes()
        slices.append(one)
    return slices


def save_slices(folder: Path, slices: Sequence[Any], style: int = 0, prefix: str = "") -> list[Path]:
    """Write slices in one of four styles of names."""
    paths: list[Path] = []
    for number, one in enumerate(slices):
        paths.append(folder / f"{prefix}{_NAMES[style % len(_NAMES)](number + 1)}")
        save(one, paths[-1], f"{one.SeriesInstanceUID}.{number + 1}")
    return paths


@dataclass
class Export:
    """What was written, and what an index has to make of it.

    Attributes:
        root: folder of the files.
        volumes: rows that the table must have.
        best: study -> series that is the best, or the volume's name in NIfTI; None where there is none.
        left_out: files by the words of their reason.
        accessions: study -> accession number, of DICOM studies.
    """

    root: Path
    volumes: int = 0
    best: dict[str, str | None] = field(default_factory=dict[str, str | None])
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    accessions: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def files(self) -> int:
        """On disk."""
        return sum(path.is_file() for path in self.root.rglob("*"))

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Expect files to be left out."""
        self.left_out[reason] = self.left_out.get(reason, 0) + count


def write_export(root: Path, num_studies: int) -> Export:
    """Write an export; every twelve studies hold all kinds of trouble.

    Args:
        root: folder of the files.
        num_studies: the more, the more patients have two.
    """
    export = Export(root)
    for number in range(num_studies):
        _KINDS[number % len(_KINDS)](export, number)
    root.joinpath("README.TXT").write_text("Exported by the archive.", encoding="utf-8")
    export.leave_out("no scan, by what it holds")
    return export


def _study(export: Export, number: int) -> dict[str, Any]:
    uid, accession = f"1.2.840.99.{number}", f"{7000 + number:010}"
    export.accessions[uid] = accession
    return {
        "StudyInstanceUID": uid,
        "PatientID": f"P{number // 2:05}",
        "AccessionNumber": accession,
        "StudyDate": f"2021{1 + number % 12:02}{1 + number % 28:02}",
        "StudyDescription": "CT Toraks",
    }


def _folder(export: Export, number: int) -> Path:
    return export.root / f"P{number // 2:05}" / f"ST{number:05}"


def _two(number: int, study: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """A thin series of a lung kernel, and a thick one of a soft kernel."""
    hu = slices_first(chest(number, (16, 14, 24)))
    uid = study["StudyInstanceUID"]
    lung = {
        "SeriesNumber": 3,
        "SeriesDescription": "Akciğer 10",
        "ConvolutionKernel": "B70f",
        "SpecificCharacterSet": "ISO_IR 192",
    }
    soft = {"SeriesNumber": 2, "SeriesDescription": "Mediasten 20", "ConvolutionKernel": "B30f"}
    thin = slices_of(study, f"{uid}.3", hu, 10.0, **lung)
    return thin, slices_of(study, f"{uid}.2", hu[::2], 20.0, **soft)


def _plain(export: Export, number: int) -> None:
    study = _study(export, number)
    _write_two(export, number, *_two(number, study), best="3")


def _write_two(
    export: Export, number: int, thin: Sequence[Any], thick: Sequence[Any], *, best: str | None
) -> list[Path]:
    folder = _folder(export, number)
    paths = save_slices(folder / "SE3", thin, number)
    save_slices(folder / "SE2", thick, number)
    uid = thin[0].StudyInstanceUID
    export.volumes += 2
    export.best[uid] = None if best is None else f"{uid}.{best}"
    return paths


def _one_folder(export: Export, number: int) -> None:
    """Two series, a localizer, a dose report, a segmentation, a text and a hidden file in one folder."""
    study, folder = _study(export, number), _folder(export, number)
    uid = study["StudyInstanceUID"]
    thin, thick = _two(number, study)
    save_slices(folder, thin, 1, "A")
    save_slices(folder, thick, 1, "B")
    scout = slices_of(study, f"{uid}.1", slices_first(chest(0, (16, 14, 1))), 1.0, SeriesNumber=1)
    scout[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save_slices(folder, scout, 1, "C")
    report = {"SeriesInstanceUID": f"{uid}.501", **study}
    save(dataset_of(XRayRadiationDoseSRStorage, "SR", **report), folder / "D1", f"{uid}.501.1")
    save(dataset_of(SegmentationStorage, "SEG", **report), folder / "SEG1", f"{uid}.501.2")
    save(dataset_of(EnhancedSRStorage, "SR", **report), folder / "R1", f"{uid}.501.3")
    folder.joinpath("README").write_text("text", encoding="utf-8")
    folder.joinpath(".DS_Store").write_bytes(b"\0" * 20)
    for reason in (
        "a localizer",
        "a dose report",
        "a segmentation",
        "a structured report",
        "no scan, by what it holds",
    ):
        export.leave_out(reason)
    export.leave_out("a hidden file (its name begins with a dot)")
    export.volumes += 2
    export.best[uid] = f"{uid}.3"


def _missing(export: Export, number: int) -> None:
    thin, thick = _two(number, _study(export, number))
    _write_two(export, number, [*thin[:9], *thin[11:]], thick, best="2")


def _copied(export: Export, number: int) -> None:
    """A slice twice, to the byte."""
    thin, thick = _two(number, _study(export, number))
    paths = _write_two(export, number, thin, thick, best="3")
    paths[0].with_name(f"copy of {paths[0].name}").write_bytes(paths[0].read_bytes())


def _repeated(export: Export, number: int) -> None:
    """Slices at the same places that are no copies."""
    thin, thick = _two(number, _study(export, number))
    _write_two(export, number, [*thin, *copy.deepcopy(thin[4:7])], thick, best="2")


def _cut_in_header(export: Export, number: int) -> None:
    thin, thick = _two(number, _study(export, number))
    paths = _write_two(export, number, thin, thick, best="2")
    paths[0].write_bytes(paths[0].read_bytes()[:190])
    export.leave_out("DICOM that cannot be read")


def _cut_in_pixels(export: Export, number: int) -> None:
    thin, thick = _two(number, _study(export, number))
    paths = _write_two(export, number, thin, thick, best="2")
    paths[-1].write_bytes(paths[-1].read_bytes()[:-200])
    export.leave_out("DICOM that cannot be read")


def _nifti(export: Export, number: int) -> None:
    folder = export.root / "nifti" / f"case_{number}"
    write_volume(folder / "ct.nii.gz", chest(number, (16, 14, 24)), np.diag([20.0, 20.0, 10.0, 1.0]))
    export.volumes += 1
    export.best[f"nifti/case_{number}"] = ""


def _with_mr(export: Export, number: int) -> None:
    study = _study(export, number)
    thin, thick = _two(number, study)
    _write_two(export, number, thin, thick, best="3")
    resonance = slices_of(study, f"{study['StudyInstanceUID']}.9", slices_first(chest(0, (16, 14, 3))), 5.0)
    for one in resonance:
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = MRImageStorage
        one.Modality = "MR"
    save_slices(_folder(export, number) / "MR", resonance, number)
    export.leave_out("another DICOM object (MR Image Storage of modality MR)", 3)


def _spread(export: Export, number: int) -> None:
    """A series in two folders, as archives with a limit for each folder write it."""
    study, folder = _study(export, number), _folder(export, number)
    thin, _ = _two(number, study)
    save_slices(folder / "D0", thin[:12], number)
    for place, one in enumerate(thin[12:], 13):
        save(one, folder / "D1" / f"{place:04}", f"{one.SeriesInstanceUID}.{place}")
    export.volumes += 1
    export.best[study["StudyInstanceUID"]] = thin[0].SeriesInstanceUID


def _few(export: Export, number: int) -> None:
    """Bolus tracking alone."""
    study = _study(export, number)
    save_slices(_folder(export, number), _two(number, study)[0][:4], number)
    export.volumes += 1
    export.best[study["StudyInstanceUID"]] = None


_KINDS = (
    *(_plain, _one_folder, _plain, _missing, _copied, _repeated),
    *(_cut_in_header, _cut_in_pixels, _nifti, _with_mr, _spread, _few),
)
