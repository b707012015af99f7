"""Frames of several volumes in one DICOM file (stacks, phases, energies) are refused, and told apart by name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from simcrop.adapters.formats.dicom_slices import DicomSlice
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file, problem

_SAME_PLACE_MM = 1e-3
_MAX_UNEVEN = 0.05
"""Of the usual distance between slices: rounded positions stay far below, a missing slice far above."""
_TELL_APART = {
    "TemporalPositionIndex": "phase",
    "TemporalPositionTimeOffset": "phase",
    "NominalPercentageOfCardiacPhase": "cardiac phase",
    "FrameType": "kind of frame",
    "FrameAcquisitionNumber": "acquisition",
}
"""Element -> what differs, the plainest first."""
_MOST_SHOWN = 4


class Elements(Protocol):
    """Elements of a frame by name."""

    def get(self, name: str, default: Any = None) -> Any:
        """The element's value."""
        ...


def refuse_several(path: Path, dataset: Any, frames: Sequence[tuple[DicomSlice, Elements]]) -> None:
    """Raise BadFileError where the frames are those of more than one volume, and say what tells these apart.

    Args:
        path: for messages.
        dataset: of the file, which may describe the dimensions along which it counts its frames.
        frames: with the elements of each.
    """
    stacks = _values(elements.get("StackID") for _, elements in frames)
    if len(stacks) > 1:
        message = f"holds {len(stacks)} stacks of frames (StackID {_shown(stacks)})"
        raise bad_file(path, "container.stacks", message, element="StackID", count=len(stacks))
    places = np.round(np.stack([one.position for one, _ in frames]) / _SAME_PLACE_MM) if frames else np.empty((0, 3))
    _, place = np.unique(places, axis=0, return_inverse=True)
    at = np.bincount(place.ravel()) if len(frames) else np.empty(0)
    if not at.size or at.max() == 1:
        return
    element, what, values = _difference(dataset, [elements for _, elements in frames])
    if not element:
        first, second = np.flatnonzero(place.ravel() == int(at.argmax()))[:2]
        message = f"has frames {first + 1} and {second + 1} at one place, and nothing tells them apart"
        raise bad_file(path, "container.stacks", message, frames=[int(first) + 1, int(second) + 1])
    message = f"holds {int(at.max())} frames of one place, which differ by {what} ({element} {_shown(values)})"
    raise bad_file(path, "container.stacks", message, element=element, count=len(values))


def check_heights(path: Path, slices: Sequence[DicomSlice], heights: np.ndarray, on_problem: OnProblem) -> None:
    """Tell of frames that are missing, or lie at uneven distances.

    Args:
        path: for messages.
        slices: at places that differ, in order.
        heights: of them along their normal, mm.
        on_problem: is told.
    """
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    worst = int(np.abs(gaps - usual).argmax())
    if usual > 0 and abs(gaps[worst] - usual) <= _MAX_UNEVEN * usual:
        return
    names = f"{slices[worst].name} and {slices[worst + 1].name}"
    message = f"has slices {usual:.3f} mm apart, but {names} are {gaps[worst]:.3f} mm apart"
    found = problem(path, "container.incomplete", message, usual_mm=usual, gap_mm=float(gaps[worst]))
    if usual <= 0:
        raise BadFileError(found)
    on_problem(found)


def _difference(dataset: Any, frames: Sequence[Elements]) -> tuple[str, str, Sequence[str]]:
    """The element by which frames differ, what it stands for, and its values; empty where there is none."""
    for element, what in _TELL_APART.items():
        values = _values(frame.get(element) for frame in frames)
        if 1 < len(values) < len(frames):
            return element, what, values
    for number, name in enumerate(_dimensions(dataset)):
        values = _values(_at(frame.get("DimensionIndexValues"), number) for frame in frames)
        if 1 < len(values) < len(frames) and "Position" not in name:
            return name, "a dimension", values
    return "", "", ()


def _dimensions(dataset: Any) -> Iterable[str]:
    """Names of the dimensions along which the frames are counted."""
    from pydicom.datadict import keyword_for_tag

    for item in dataset.get("DimensionIndexSequence") or []:
        pointer = item.get("DimensionIndexPointer")
        name = "" if pointer is None else keyword_for_tag(pointer)
        yield name or str(item.get("DimensionDescriptionLabel") or pointer)


def _at(values: Any, number: int) -> Any:
    listed = values if hasattr(values, "__len__") and not isinstance(values, str) else [values]
    return listed[number] if number < len(listed) else None


def _values(given: Iterable[Any]) -> Sequence[str]:
    """The values that occur, as text, in their order."""
    counted: Mapping[str, None] = dict.fromkeys(str(value) for value in given if value is not None)
    return tuple(counted)


def _shown(values: Sequence[str]) -> str:
    return ", ".join(values[:_MOST_SHOWN]) + (", ..." if len(values) > _MOST_SHOWN else "")
