"""A row of the table: one volume as its headers describe it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simcrop.core.data.best_series import SeriesFacts
from simcrop.core.data.problems import Problem
from simcrop.core.data.series_words import KernelKind

COLUMNS = (
    *("volume", "findings", "impression", "patient_id", "study_id", "series", "best", "verdict", "problems"),
    *("accession_number", "study_date", "study_description", "modality", "series_number", "series_description"),
    *("kernel", "slice_thickness_mm", "spacing_mm", "num_slices", "orientation", "contrast_agent", "num_files"),
)
"""Of the table, in their order."""
GOOD = "good"
"""The verdict on a volume with which nothing is wrong."""


@dataclass(frozen=True)
class TableRow:
    """A volume; the attributes that are no columns say what the rule of the best series needs.

    Attributes:
        volume: path relative to the folder that the table speaks of.
        verdict: of a quick look, in words.
        problems: codes, between spaces.
        kernel_kind: soft, lung or nothing.
        thickness_mm: of the slices, or their distance where that is larger.
        is_usable: whether nothing is wrong with it.
        is_derived: whether it was computed of another series.
        other_part: the word by which it is called another part than the chest.
        has_contrast: whether a contrast agent is named.
    """

    volume: str
    patient_id: str
    study_id: str
    series: str = ""
    verdict: str = GOOD
    problems: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_description: str = ""
    modality: str = ""
    series_number: str = ""
    series_description: str = ""
    kernel: str = ""
    slice_thickness_mm: str = ""
    spacing_mm: str = ""
    num_slices: int = 0
    orientation: str = ""
    contrast_agent: str = ""
    num_files: int = 1
    kernel_kind: KernelKind = ""
    thickness_mm: float | None = None
    is_usable: bool = True
    is_derived: bool = False
    other_part: str = ""
    has_contrast: bool = False

    @property
    def facts(self) -> SeriesFacts:
        """For the rule of the best series."""
        return SeriesFacts(
            is_usable=self.is_usable,
            is_axial=self.orientation in {"axial", ""},
            is_derived=self.is_derived,
            is_other_part=bool(self.other_part),
            has_contrast=self.has_contrast,
            kernel=self.kernel_kind,
            thickness_mm=self.thickness_mm,
            num_slices=self.num_slices,
        )


def verdict_of(own: Path, problems: Sequence[Problem], remarks: Sequence[str]) -> tuple[str, str, bool]:
    """Words, codes, and whether the volume can be used.

    Args:
        own: path of the volume; problems of other files are told with their names.
        problems: errors and notes.
        remarks: words about what is neither.
    """
    ordered = sorted(problems, key=lambda found: found.severity)
    told = (("" if found.file == str(own) else f"{Path(found.file).name} ") + found.message for found in ordered)
    words = "; ".join([*told, *remarks])
    codes = " ".join(dict.fromkeys(found.code for found in ordered))
    return words or GOOD, codes, all(found.severity == "note" for found in problems)


def numbers_as_text(numbers: Sequence[float]) -> str:
    """Numbers to a thousandth, with x between them."""
    return " x ".join(f"{number:.3f}".rstrip("0").rstrip(".") for number in numbers)
