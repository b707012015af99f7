"""Reasons why data cannot be used: a stable code for each, its severity, its cause and its remedy.

The table is the one source of docs/data-problems.md, of `simcrop data check` and of the readers' own refusals.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from simcrop.core.errors import DataError

Severity = Literal["error", "note"]


@dataclass(frozen=True)
class Reason:
    """Why a file, row or data set cannot be used, or (a note) ought to be looked at.

    Attributes:
        cause: what usually brings it about.
        remedy: what to do.
        severity: an error is refused by `train` and `data prepare`.
    """

    cause: str
    remedy: str
    severity: Severity = "error"


REASONS: Mapping[str, Reason] = {
    "container.missing": Reason(
        "the path is wrong, or the file was not downloaded", "correct the path, or download it"
    ),
    "container.unreadable": Reason("permissions, or a failing disk", "check the disk and the permissions"),
    "container.empty": Reason("a download or copy that was interrupted before its first byte", "download it again"),
    "container.truncated": Reason("a download or copy that was interrupted", "download it again"),
    "container.corrupt": Reason("bytes that changed on the way or on the disk", "download it again"),
    "container.crc": Reason(
        "bytes that changed on the way or on the disk; the checksum does not fit", "download it again"
    ),
    "container.trailing": Reason("something was appended, or two downloads went into one file", "download it again"),
    "container.not_gzip": Reason("a plain file was named .gz", "compress it, or name it without .gz"),
    "container.html": Reason(
        "a web page (of an error or a login) was saved in place of the data", "log in and download it again"
    ),
    "container.lfs_pointer": Reason("git fetched the pointer and not the data", "run git lfs pull"),
    "container.format": Reason("the file is of another format than its name says", "export or download it again"),
    "container.length": Reason("the header does not belong to these voxels", "export it again"),
    "container.ambiguous": Reason(
        "NAME.nii and NAME.nii.gz lie side by side; tools disagree on which one to read", "delete one of the two"
    ),
    "container.bomb": Reason(
        "the file is tiny beside what it unpacks to, which no scan is", "delete it; where it is meant, crop the volume"
    ),
    "container.incomplete": Reason(
        "slices of the series are missing: they were not exported, or not copied", "export the whole series again"
    ),
    "container.uneven": Reason(
        "the slices lie at uneven distances: slabs of several thicknesses, or two reconstructions in one series",
        "export one evenly spaced reconstruction, or resample it when converting",
    ),
    "container.repeated": Reason(
        "several slices lie at one place: copies of files, two reconstructions in one series, or bolus tracking",
        "delete the copies, or export one reconstruction as a series of its own",
    ),
    "container.phases": Reason(
        "a series holds the same places several times: phases, echoes, energies or acquisitions",
        "give each its own series or folder (dcm2niix does), and name the one that is meant",
    ),
    "container.mixed": Reason(
        "slices of several sizes, spacings or directions lie in one series",
        "export the series again, or give every stack a folder of its own",
    ),
    "container.several": Reason(
        "a folder holds several CT volumes, and nothing says which of them is meant",
        "name one by its UID, number or description in the column series of the manifest, or give each its own folder",
    ),
    "container.no_series": Reason(
        "the folder holds no slice of CT, or not the series that is asked for",
        "correct the path, or the column series of the manifest",
    ),
    "container.compressed": Reason(
        "the pixels are packed in a way that is not read, such as a video",
        "unpack them, e.g. with gdcmconv --raw or dcmdjpeg",
    ),
    "container.no_decoder": Reason(
        "the package that unpacks such pixels is not installed", "run pip install 'simcrop[dicom]'"
    ),
    "container.stacks": Reason(
        "one multi-frame file holds several volumes: stacks, phases or energies",
        "export each of them as a series of its own",
    ),
    "header.invalid": Reason("a field has a value that its format does not know", "export the volume again"),
    "header.dims": Reason("a size is zero or negative", "export the volume again"),
    "header.dims_huge": Reason(
        "a size that no scanner makes: a damaged header", "download it again, or crop the volume"
    ),
    "header.datatype": Reason("the voxels are complex numbers, colours or unknown", "export the volume as int16"),
    "header.pixdim": Reason(
        "a spacing is zero, negative or no number", "export the volume again, with its spacing in mm"
    ),
    "header.spacing": Reason(
        "a spacing below 0.05 mm or above 20 mm: often metres, micrometres or a field misread", "set the spacing in mm"
    ),
    "header.scaling": Reason(
        "slope or intercept is no number, or the slope is 0", "set slope and intercept, or export again"
    ),
    "header.affine": Reason("the affine holds NaN, or its axes lie in one plane", "repair the affine"),
    "header.sheared": Reason(
        "the axes are not at right angles: an uncorrected gantry tilt",
        "correct the tilt when converting (dcm2niix does)",
    ),
    "header.sform_qform": Reason(
        "the two affines of the header put the corners more than 1 mm apart",
        "find out which is right and write it to both",
    ),
    "header.sform_pixdim": Reason(
        "sform and pixdim give different spacings", "find out which is right and write it to both"
    ),
    "header.no_orientation": Reason(
        "neither sform nor qform (of NRRD, no space or directions) is set, so left and right are unknown",
        "set the sform, or convert the scan again from its DICOM",
    ),
    "header.units": Reason(
        "the header does not say that lengths are in mm; mm are assumed", "set the units to mm", "note"
    ),
    "header.no_qform": Reason(
        "only the sform is set, which is enough here; some viewers want both", "write the affine to both", "note"
    ),
    "content.not_3d": Reason("a time series, a colour picture, or a single slice", "take one 3D volume"),
    "content.few_slices": Reason("a localizer or a part of a series", "leave it out, or export the whole series"),
    "content.constant": Reason("every voxel has the same value: nothing was written", "export the volume again"),
    "content.not_finite": Reason(
        "NaN or infinite voxels, from a conversion that divided by zero or resampled outside", "export the volume again"
    ),
    "content.raw_values": Reason(
        "voxels are the scanner's stored values, not HU", "declare data.hu: raw+csv or header, or export in HU"
    ),
    "content.eight_bit": Reason("voxels are the grey values of a picture, 0 to 255", "export the volume in HU"),
    "content.hu_twice": Reason(
        "slope and intercept were applied to values that were HU already", "declare data.hu: hu, or export again"
    ),
    "content.scaled": Reason(
        "data.hu says that voxels are HU, but the header rescales them", "declare data.hu: header"
    ),
    "content.no_scaling": Reason(
        "data.hu: raw+csv needs the volume's row in the metadata table", "add the row, or declare data.hu"
    ),
    "content.padding": Reason(
        "the scanner wrote a value far below air outside its field of view; it is read as air",
        "nothing; data.padding_value declares it, and spares the note",
        "note",
    ),
    "content.lossy": Reason(
        "an archive or a transfer compressed the scan with loss, which blurs or invents fine detail",
        "take the original, where there is one",
        "note",
    ),
    "content.background": Reason(
        "what lies outside the body was masked, or filled in, with a value that stands for tissue;"
        " training takes it for tissue, spends itself on rebuilding it, and learns no true border of the body",
        "set what lies outside to -1000 HU, or take the scan as it was before",
        "note",
    ),
    "content.mask": Reason("a segmentation lies among the volumes", "nothing, if it is meant", "note"),
    "content.field_of_view": Reason(
        "the field of view is not that of a chest", "look at it; leave it out if it is no chest", "note"
    ),
    "content.coarse": Reason(
        "slices thicker, or pixels larger, than the voxels of the model that is applied",
        "take a finer reconstruction of the scan, or mistrust what is small",
        "note",
    ),
    "content.no_lung": Reason(
        "no chest, or one that lies away from the volume's centre, where the model looks",
        "look at it; leave it out if it is no chest, else crop the volume around the lungs",
        "note",
    ),
    "content.tilted": Reason(
        "the gantry was tilted, so the slices are not stacked at right angles",
        "correct the tilt when converting (dcm2niix does)",
    ),
    "text.table": Reason(
        "the table cannot be read: quotes that are not closed, rows of another length, or a damaged file",
        "check its quotes and delimiters, or save it again, as CSV (UTF-8) or .xlsx",
    ),
    "text.encoding": Reason(
        "a CSV that is not UTF-8: Excel's plain CSV is in the code page of its Windows (a note where its letters tell "
        "which)",
        "save it as CSV UTF-8, or as .xlsx",
    ),
    "text.column": Reason(
        "a column is missing from the table, stands in it twice, or has no name (a note)", "add or rename the column"
    ),
    "text.value": Reason("a cell holds what its column cannot", "correct the cell"),
    "text.blank_rows": Reason(
        "rows that say nothing, as spreadsheets leave them, or nothing of a scan, as forms of a study have them",
        "nothing, if it is meant",
        "note",
    ),
    "text.duplicate_row": Reason("a volume has two rows that say different things", "keep one of them"),
    "text.two_reports": Reason(
        "rows of one study_id have reports that differ; the first one is taken for all volumes of the study",
        "give every study its own study_id, or keep one report",
        "note",
    ),
    "text.blank_id": Reason(
        "cells of study_id or patient_id that are blank or spell it (nan, NA, None, -): each study stands for itself, "
        "so that nothing is merged",
        "fill them in, if they are known",
        "note",
    ),
    "text.same_id": Reason(
        "identifiers that differ in case, spaces, width or accents alone: one patient, it seems, but two studies; or "
        "in zeros in front: two of either",
        "write each identifier in one way",
        "note",
    ),
    "text.ruined_id": Reason(
        "a spreadsheet took an identifier for a number, and several may have become one",
        "export the column as text",
        "note",
    ),
    "text.label_cell": Reason(
        "a cell of a label column that is no yes, no or blank; it is taken as unknown", "correct the cell", "note"
    ),
    "text.label_column": Reason(
        "a column with yes and no in many cells, and other things in too many to be a label",
        "correct those cells, if it is meant as a label",
        "note",
    ),
    "text.file_name": Reason(
        "a row spells the name of its file in another case; it is the only file of that name",
        "spell it as the file, if other programs read the table",
        "note",
    ),
    "text.missing_report": Reason(
        "neither findings nor impression is given", "add the report, or leave the volume out"
    ),
    "text.empty_findings": Reason(
        "the findings are empty; sentences are located from them", "add the findings, or leave the volume out"
    ),
    "text.filler": Reason(
        'a text that stands for nothing, like "Not given."; it is read as empty', "nothing, if it is meant", "note"
    ),
    "text.garbled": Reason(
        "a text that was read in a wrong encoding, so that letters were lost (Akci?er) or became others (AkciÄŸer)",
        "export the reports again, as UTF-8 or .xlsx",
        "note",
    ),
    "text.not_english": Reason(
        "the report does not look English, which the usual text encoders read",
        "translate, or take a text encoder of its language",
        "note",
    ),
    "text.too_long": Reason(
        "more words than text_encoder.max_tokens; whole sentences at the end are left out",
        "raise text_encoder.max_tokens, if many are",
        "note",
    ),
    "text.one_sentence": Reason(
        "long findings that are a single sentence, so that nothing tells their sentences apart",
        "end each finding with a stop, or put each on a line of its own",
        "note",
    ),
    "masks.elsewhere": Reason(
        "the mask is of another scan, or was written with another affine: none of it lies in the volume",
        "write the mask again from this volume, or take it away",
    ),
    "masks.grid": Reason(
        "the mask has other voxels than the volume; both are placed in the world by their affines",
        "nothing, if it is meant; else write the mask again from this volume",
        "note",
    ),
    "set.row_without_file": Reason("a row names a volume that is not there", "correct the row, or download the volume"),
    "set.partial_download": Reason(
        "some volumes of the tables are not on disk, and are left out", "nothing, if it is meant", "note"
    ),
    "set.file_without_row": Reason(
        "a volume that no row of the tables names, or a mask", "add its row, if it is meant to be used", "note"
    ),
    "set.left_out": Reason(
        "an index left volumes out of its table: they are not the best of their study, or have no report",
        "nothing, if it is meant; the list beside the table has the reason of each",
        "note",
    ),
    "set.passed_over": Reason(
        "a file that is no part of a volume: a report, a localizer, contours, another series, or no scan at all",
        "nothing, if it is meant",
        "note",
    ),
    "set.no_studies": Reason("nothing is left to read", "correct data.root or data.manifest, or download volumes"),
    "set.nothing_held_out": Reason(
        "no study is held out, so nothing tells how good a run is: one patient in all rows, a column split that names "
        "training alone, or data.validation_fraction",
        "name validation patients in the column split, check patient_id, or raise data.validation_fraction",
        "note",
    ),
    "set.split_leak": Reason(
        "a patient or a study has volumes in training and in validation", "correct the column split"
    ),
    "set.duplicate_across_splits": Reason("the same voxels are in training and in validation", "keep one of the two"),
    "set.duplicate": Reason("two files hold the same voxels", "keep one, unless it is meant", "note"),
    "set.labels_identical": Reason("two label columns are equal in every row", "check the table of labels"),
    "set.class_without_positives": Reason("no study has the label", "check the table, or drop the column"),
    "safety.outside": Reason(
        "a path leaves the folder of the data, by .., as an absolute path, or through a link", "move the file inside"
    ),
    "safety.pickle": Reason("the file can only be read by running code from it", "save it as a plain array"),
}
"""Code -> reason. Codes are stable; new ones may come."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file, row or set.

    Attributes:
        file: which, as a path or a name.
        code: a key of `REASONS`.
        message: what was found.
        values: what was measured, by name; JSON types.
        is_note: whether it is a note here, though its reason is an error elsewhere.
    """

    file: str
    code: str
    message: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_note: bool = False

    def __post_init__(self) -> None:
        assert self.code in REASONS, self.code

    @property
    def severity(self) -> Severity:
        """Of its reason, unless it is but a note here."""
        return "note" if self.is_note else REASONS[self.code].severity

    @property
    def hint(self) -> str:
        """Remedy of its reason."""
        return REASONS[self.code].remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.message}; {self.hint}"

    def as_row(self) -> dict[str, Any]:
        """As JSON: file, code, severity, message, hint, values."""
        return {
            "file": self.file,
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            "values": dict(self.values),
        }


class BadFileError(DataError):
    """A problem that was met where it cannot be passed over."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __reduce__(self) -> tuple[type["BadFileError"], tuple[Problem]]:
        return BadFileError, (self.problem,)


OnProblem = Callable[[Problem], None]
"""Is told of a problem: `refuse`, or a list's `append` where all of them are wanted."""


def refuse(problem: Problem) -> None:
    """Raise an error, pass over a note."""
    if problem.severity == "error":
        raise BadFileError(problem)


def problem(file: Path | str, code: str, message: str, **values: Any) -> Problem:
    """A `Problem` with its values as keywords; JSON has no NaN and no infinity, so they become text."""
    return Problem(str(file), code, message, {name: _plain(value) for name, value in values.items()})


def noted(file: Path | str, code: str, message: str, **values: Any) -> Problem:
    """A `problem` that is but a note here, though its reason is an error elsewhere."""
    return replace(problem(file, code, message, **values), is_note=True)


def bad_file(file: Path | str, code: str, message: str, **values: Any) -> BadFileError:
    """The error of a `problem` that leaves nothing to read."""
    return BadFileError(problem(file, code, message, **values))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else repr(float(value))
