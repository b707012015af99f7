"""The files of an enhanced CT: one, or several that its frames were divided among (a concatenation of DICOM)."""

from collections.abc import Sequence
from pathlib import Path

from simcrop.adapters.formats.dicom_headers import DicomHeader
from simcrop.adapters.formats.dicom_places import without_copies
from simcrop.core.data.problems import OnProblem, bad_file, noted

_MOST_SHOWN = 8


def parts_in_order(folder: Path, headers: Sequence[DicomHeader], on_problem: OnProblem) -> Sequence[Path]:
    """The files of one volume, its first frames first.

    Args:
        folder: for messages.
        headers: of files with many frames of one series.
        on_problem: is told, as notes, of copies, and of parts that do not say how many they are.

    Raises:
        BadFileError: they are several volumes, or parts of one of which some are missing or come twice.
    """
    headers = without_copies(folder, headers, on_problem) if len(headers) > 1 else headers
    first = headers[0]
    if len(headers) > 1 and (
        not first.concatenation or {each.concatenation for each in headers} != {first.concatenation}
    ):
        names = " and ".join(header.path.name for header in headers[:2])
        message = f"holds {len(headers)} files of many frames of one series, such as {names}; name one of them"
        raise bad_file(folder, "container.several", message, files=len(headers))
    if first.concatenation:
        headers = sorted(headers, key=lambda header: header.part or 0)
        _check_parts(folder, headers, on_problem)
    return [header.path for header in headers]


def _check_parts(folder: Path, headers: Sequence[DicomHeader], on_problem: OnProblem) -> None:
    """Raise BadFileError where the parts are not each of a concatenation's, once."""
    what = "a volume that was cut up (a concatenation)"
    numbers = [header.part for header in headers]
    twice = next((number for number in numbers if numbers.count(number) > 1), None)
    if twice is not None or None in numbers:
        said = "parts without a number" if None in numbers else f"part {twice} twice"
        raise bad_file(folder, "container.repeated", f"holds {said} of {what}", parts=[str(each) for each in numbers])
    totals = {header.num_parts for header in headers if header.num_parts}
    present = {number for number in numbers if number is not None}
    total = max([*totals, *present])
    missing = [number for number in range(1, total + 1) if number not in present]
    if missing:
        message = f"holds {len(present)} of {total} parts of {what}; missing: {_listed(missing)}"
        raise bad_file(folder, "container.incomplete", message, missing=missing[:100], parts=total)
    before = 0
    for header in headers:
        if header.first_frame not in (None, before):
            message = f"misses frames of {what}: part {header.part}, {header.path.name}, begins with frame "
            message += f"{(header.first_frame or 0) + 1}, and {before} come before it"
            raise bad_file(folder, "container.incomplete", message, frames=before)
        before += header.num_frames
    if not totals and len(headers) == 1:
        message = f"is part 1 of {what}, which does not say of how many"
        raise bad_file(folder, "container.incomplete", message, parts=1)
    if not totals:
        message = f"holds {total} parts of {what}, which does not say of how many; they are taken for all"
        on_problem(noted(folder, "container.incomplete", message, parts=total))


def _listed(missing: Sequence[int]) -> str:
    return ", ".join(map(str, missing[:_MOST_SHOWN])) + (", ..." if len(missing) > _MOST_SHOWN else "")
