"""The places of a series' slices along their normal: all there once and evenly, or the reason why they are not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.dicom_headers import PHASES, DicomHeader
from simcrop.core.data.problems import OnProblem, Problem, bad_file, problem

_MAX_UNEVEN = 0.05
"""Of the usual distance between slices: rounded positions stay far below, a missing slice far above."""
_SAME_MM = 1e-2
_MOST_NAMED = 4


@dataclass(frozen=True, eq=False)
class Placed:
    """Slices from one end of the stack to the other.

    Attributes:
        headers: in that order.
        heights: [n] along the normal, mm.
    """

    headers: Sequence[DicomHeader]
    heights: np.ndarray

    @property
    def gaps(self) -> np.ndarray:
        """[n - 1] distances between neighbours, mm."""
        return np.diff(self.heights)

    @property
    def usual_mm(self) -> float:
        """The usual distance between two places; 0 where all slices lie at one."""
        apart = self.gaps[self.gaps > _SAME_MM]
        return float(np.median(apart)) if apart.size else 0.0

    @property
    def repeated(self) -> np.ndarray:
        """[n - 1] whether two neighbours lie at one place."""
        return self.gaps <= max(_SAME_MM, _MAX_UNEVEN * self.usual_mm)

    @property
    def uneven(self) -> np.ndarray:
        """[n - 1] whether two neighbours lie nearer or farther than usual."""
        return np.abs(self.gaps - self.usual_mm) > _MAX_UNEVEN * self.usual_mm

    def part(self, which: Sequence[bool]) -> "Placed":
        """Some of the slices."""
        return Placed([h for h, taken in zip(self.headers, which, strict=True) if taken], self.heights[list(which)])


def without_copies(folder: Path, headers: Sequence[DicomHeader], on_problem: OnProblem) -> Sequence[DicomHeader]:
    """The slices without those that are copies of another one to the byte, which are told."""
    kept: dict[tuple[str, int], list[DicomHeader]] = {}
    copies: list[tuple[DicomHeader, DicomHeader]] = []
    for header in headers:
        alike = kept.setdefault((header.instance, header.path.stat().st_size), [])
        known = next((other for other in alike if _same_bytes(header.path, other.path)), None) if alike else None
        if known is None:
            alike.append(header)
        else:
            copies.append((header, known))
    if copies:
        copy, known = copies[0]
        message = f"holds {_counted(len(copies), 'file')} twice, alike to the byte, such as {copy.path.name} and "
        message += f"{known.path.name}; one of each is read"
        values = {"files": [each.path.name for each, _ in copies]}
        on_problem(Problem(str(folder), "container.repeated", message, values, is_note=True))
    left_out = {id(copy) for copy, _ in copies}
    return [header for header in headers if id(header) not in left_out]


def check_places(folder: Path, placed: Placed, on_problem: OnProblem) -> None:
    """Tell of slices that are missing, or lie at uneven distances.

    Raises:
        BadFileError: several slices lie at one place: of several phases, or repeated.
    """
    if placed.repeated.any():
        _refuse_phases(folder, placed)
        raise _repeats(folder, placed)
    if not placed.uneven.any():
        return
    _refuse_phases(folder, placed)
    usual, gaps = placed.usual_mm, placed.gaps
    worst = int(np.abs(gaps - usual).argmax())
    pair = f"{_named(placed.headers[worst])} and {_named(placed.headers[worst + 1])}"
    values = {"usual_mm": usual, "gap_mm": float(gaps[worst])}
    missing = np.rint(gaps / usual) - 1
    is_whole = np.abs(gaps - usual * (missing + 1)) <= _MAX_UNEVEN * usual * (missing + 1)
    if is_whole.all():
        number = int(missing.sum())
        message = f"misses {_counted(number, 'slice')}: the slices are {usual:.3f} mm apart, but {pair} are "
        message += f"{gaps[worst]:.3f} mm apart"
        on_problem(problem(folder, "container.incomplete", message, missing=number, **values))
        return
    message = f"has slices {usual:.3f} mm apart, but {pair} are {gaps[worst]:.3f} mm apart"
    on_problem(problem(folder, "container.uneven", message, **values))


def _refuse_phases(folder: Path, placed: Placed) -> None:
    """Raise where an element divides the slices into volumes that lie at the same places."""
    for name in PHASES:
        values = [header.phases.get(name, "") for header in placed.headers]
        parts = {value: placed.part([each == value for each in values]) for value in dict.fromkeys(values)}
        if len(parts) < 2 or not all(_is_volume(part) for part in parts.values()) or not _overlap([*parts.values()]):
            continue
        some = [f"{value or 'none'} ({len(part.headers)} slices)" for value, part in list(parts.items())[:_MOST_NAMED]]
        message = f"holds {len(parts)} volumes at the same places, told apart by {name}: {', '.join(some)}"
        raise bad_file(folder, "container.phases", message, element=name, values=list(parts)[:100])


def _is_volume(part: Placed) -> bool:
    return len(part.headers) >= 2 and not part.repeated.any()


def _overlap(parts: Sequence[Placed]) -> bool:
    """Whether two of the stacks lie at the same places: beside each other, they are slabs of one volume."""
    ordered = sorted(parts, key=lambda part: float(part.heights[0]))
    return any(float(one.heights[-1] - other.heights[0]) >= one.usual_mm for one, other in pairwise(ordered))


def _repeats(folder: Path, placed: Placed) -> Exception:
    """The error of slices that lie at one place, for no reason that they give."""
    num_slices, num_places = len(placed.headers), int((~placed.repeated).sum()) + 1
    first = int(placed.repeated.argmax())
    pair = f"{_named(placed.headers[first])} and {_named(placed.headers[first + 1])}"
    if num_places == 1:
        message = f"has all its {num_slices} slices at one place, as bolus tracking and perfusion have"
    else:
        message = f"has {num_slices} slices at {num_places} places: {pair} lie at the same one"
    times = set(Counter(np.cumsum([0, *~placed.repeated]).tolist()).values())
    if num_places > 1 and len(times) == 1:
        message += f", and every place comes {times.pop()} times"
    return bad_file(folder, "container.repeated", message, slices=num_slices, places=num_places)


def _named(header: DicomHeader) -> str:
    return header.path.name if header.number is None else f"{header.path.name} (number {header.number})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _same_bytes(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()
