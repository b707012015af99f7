"""The row of a DICOM series."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from simcrop.adapters.formats.dicom_series import Series
from simcrop.adapters.sources.indexing.quick_look import Look, look_at_series
from simcrop.adapters.sources.indexing.rows import TableRow, numbers_as_text, verdict_of
from simcrop.core.data.problems import Problem
from simcrop.core.data.series_words import kernel_kind, other_part

_DATE = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_NO_AGENT = frozenset({"", "NONE", "NO", "NOT", "N", "NATIV", "WITHOUT", "OHNE", "NON"})


def series_row(root: Path, folder: str, series: Series, beside: Sequence[Problem]) -> TableRow:
    """The row of a series.

    Args:
        root: of the tree.
        folder: that the table names, relative to it.
        series: its files.
        beside: what is wrong in its folder, so that it cannot be read.
    """
    first = series.first
    look = look_at_series(root / folder, series)
    elsewhere = other_part(first.description, (first.body_part, first.study_description))
    is_derived = "DERIVED" in first.image_type[:1]
    told, remarks = (*beside, *look.problems), list(_remarks(look, elsewhere, series))
    verdict, problems, is_usable = verdict_of(root / folder, told, remarks)
    widths = [mm for mm in (first.thickness_mm, look.distance_mm) if mm]
    return TableRow(
        volume=folder or ".",
        patient_id=first.patient,
        study_id=first.study or folder,
        series=series.uid,
        verdict=verdict,
        problems=problems,
        accession_number=first.accession,
        study_date=_as_date(first.study_date),
        study_description=first.study_description,
        modality=first.modality,
        series_number="" if first.series_number is None else str(first.series_number),
        series_description=first.description,
        kernel=first.kernel,
        slice_thickness_mm=numbers_as_text([first.thickness_mm] if first.thickness_mm else []),
        spacing_mm=numbers_as_text(look.spacing_mm or ()),
        num_slices=look.num_slices,
        orientation=look.plane,
        contrast_agent=first.contrast,
        num_files=len(series.headers),
        kernel_kind=kernel_kind(first.kernel, first.description),
        thickness_mm=max(widths, default=None),
        is_usable=is_usable,
        is_derived=is_derived,
        other_part=elsewhere,
        has_contrast=first.contrast.upper() not in _NO_AGENT,
    )


def _remarks(look: Look, elsewhere: str, series: Series) -> Iterator[str]:
    """What is no problem, and ought to be known."""
    if look.plane not in {"axial", ""}:
        yield f"its slices are {look.plane}"
    if elsewhere:
        yield f"is called {elsewhere!r}, which is no chest"
    if "DERIVED" in series.first.image_type[:1]:
        yield "was computed of another series"


def _as_date(text: str) -> str:
    """YYYY-MM-DD of a DICOM date; what is no such date as it stands there."""
    found = _DATE.fullmatch(text)
    return text if found is None else "-".join(found.groups())
