"""CT-RATE's CSV files for phantom studies: one row a volume."""

import csv
import io

from simcrop.adapters.sources.label_tables import LABELS
from simcrop.adapters.sources.phantom.specification import Reconstruction, StudySpec

REPORT_COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")


def volume_name(study: StudySpec, number: int) -> str:
    """File name of a reconstruction (counted from 0)."""
    return f"{study.slot.name}_{number + 1}.nii.gz"


def tables(studies: list[StudySpec], split: str) -> dict[str, str]:
    """Path in the data set -> text of the three CSV files of a split ("train" or "valid")."""
    chosen = [(s, n) for s in studies if s.slot.split == split for n in range(len(s.reconstructions))]
    long_name = "validation" if split == "valid" else split
    return {
        f"radiology_text_reports/{long_name}_reports.csv": _text([_report(s, n) for s, n in chosen], REPORT_COLUMNS),
        f"metadata/{long_name}_metadata.csv": _text([_metadata(s, n) for s, n in chosen], METADATA_COLUMNS),
        f"multi_abnormality_labels/{split}_predicted_labels.csv": _text(
            [{"VolumeName": volume_name(s, n), **s.labels} for s, n in chosen], ("VolumeName", *LABELS)
        ),
    }


def _report(study: StudySpec, number: int) -> dict[str, object]:
    values = (volume_name(study, number), study.clinical, study.technique, study.findings_text, study.impression)
    return dict(zip(REPORT_COLUMNS, values, strict=True))


METADATA_COLUMNS = (
    "VolumeName", "Manufacturer", "SeriesDescription", "ManufacturerModelName", "PatientSex", "PatientAge",
    "ReconstructionDiameter", "DistanceSourceToDetector", "GantryDetectorTilt", "TableHeight", "RotationDirection",
    "ExposureTime", "XRayTubeCurrent", "Exposure", "FilterType", "GeneratorPower", "ConvolutionKernel",
    "PatientPosition", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "NumberofSlices", "XYSpacing", "ZSpacing", "StudyDate",
)  # fmt: skip


def _metadata(study: StudySpec, number: int) -> dict[str, object]:
    grid: Reconstruction = study.reconstructions[number]
    x, y, z = grid.spacing_mm
    columns, rows, slices = grid.shape
    known = {
        "VolumeName": volume_name(study, number),
        "Manufacturer": "simcrop",
        "SeriesDescription": "Phantom chest",
        "ManufacturerModelName": "Phantom",
        "ReconstructionDiameter": round(columns * x, 1),
        "GantryDetectorTilt": 0,
        "ConvolutionKernel": "sharp" if number else "soft",
        "PatientPosition": "HFS",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "HU",
        "NumberofSlices": slices,
        "XYSpacing": f"[{x}, {y}]",
        "ZSpacing": z,
    }
    return {column: known.get(column, "") for column in METADATA_COLUMNS}


def _text(rows: list[dict[str, object]], columns: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
