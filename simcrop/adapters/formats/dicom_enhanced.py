"""Enhanced CT: a whole volume in one DICOM file, or in a few, whose frames are described by groups of elements.

Frames share some of these groups, and have others alone.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.dicom_bytes import followed
from simcrop.adapters.formats.dicom_pixels import (
    bits_of,
    check_packing,
    frames_of,
    is_deflated,
    is_native,
    loss,
    unpacked,
)
from simcrop.adapters.formats.dicom_slices import MOST_BESIDE, DicomSlice, described_slice, in_hu, opened_dataset
from simcrop.adapters.formats.dicom_stacking import note_loss, stacked
from simcrop.adapters.formats.dicom_stacks import check_heights, refuse_several
from simcrop.adapters.formats.stored import StoredVolume, check_shape
from simcrop.adapters.problems.content import PaddingValue
from simcrop.adapters.problems.paths import refuse_bomb
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file

_SLICE = "1.2.840.10008.5.1.4.1.1.2"
_CLASSES = frozenset({f"{_SLICE}.1", f"{_SLICE}.2"})
"""Enhanced CT, and what an archive converted to it."""
_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
    "CTImageFrameTypeSequence",
)
"""Macros that say where a frame lies, what its numbers mean, and which of several volumes it belongs to."""
_HU = {"", "HU", "US"}
"""Rescale types that stand for HU in a scan of CT; many writers leave it unspecified, US."""


class Frame:
    """The elements of one frame: its own, then those that all share, then those of the file."""

    def __init__(self, own: Any, shared: Any, dataset: Any) -> None:
        self._layers = [*_macros(own), *_macros(shared), dataset]

    def get(self, name: str, default: Any = None) -> Any:
        """The element's value, as of a data set of pydicom."""
        found = (layer.get(name) for layer in self._layers)
        return next((value for value in found if value is not None), default)

    def get_item(self, name: str) -> Any:
        """The element as it stands in the file; None where there is none with a value."""
        found = (layer.get_item(name) for layer in self._layers if name in layer)
        return next((element for element in found if element.value not in (None, "", b"")), None)


@contextmanager
def opened_enhanced(
    path: Path,
    root: Path | None,
    padding_value: PaddingValue,
    on_problem: OnProblem,
    parts: Sequence[Path] = (),
) -> Generator[StoredVolume]:
    """A multi-frame file of CT as one volume, read frame by frame.

    Args:
        path: the file; of several parts, the first one.
        root: of the data set, which links must not leave; None where they may.
        padding_value: as in `DicomSource`.
        on_problem: is told of gaps, tilt and loss.
        parts: all files of the volume, in order, where it is known that these are all; else `path` has to be whole.

    Raises:
        DataError: pydicom is not installed.
        BadFileError: no CT, several volumes, frames that are missing or not described, damaged, or too few.
    """
    frames = list[tuple[DicomSlice, Frame]]()
    first: Any = None
    for part in parts or (path,):
        with opened_dataset(part, root, stop_before_pixels=True) as dataset:
            described = _described(part, dataset, is_alone=not parts)
            first = dataset if first is None else first
        frames += [(replace(one, before=len(frames)), frame) for one, frame in described]
    with followed(path):
        refuse_several(path, first, frames)

    def check(slices: Sequence[DicomSlice], heights: np.ndarray) -> None:
        check_heights(path, slices, heights, on_problem)

    slices, affine = stacked(path, [frame for frame, _ in frames], check, on_problem)
    note_loss(path, slices, on_problem)
    shape = check_shape(path, (len(slices), *slices[0].shape))
    is_whole = all(one.dtype.kind == "i" for one in slices)
    dtype = np.dtype(np.int32 if is_whole else np.float32)
    yield StoredVolume(shape, dtype, affine, _hu(root, slices, dtype, padding_value), "C")


def _hu(
    root: Path | None, slices: Sequence[DicomSlice], dtype: np.dtype[Any], padding_value: PaddingValue
) -> Iterator[np.ndarray]:
    """HU of the frames in the order of their places. A file is held from its first frame to its last."""
    left = Counter(one.path for one in slices)
    held: dict[Path, tuple[Any, Sequence[bytes | memoryview]]] = {}
    for one in slices:
        path = one.path
        assert one.frame is not None
        if path not in held:
            held[path] = _frames(path, root, left[path], one)
        dataset, frames = held[path]
        with _naming(one.frame), followed(path):
            stored = unpacked(path, dataset, frames[one.frame])
        yield in_hu(one, stored, dtype, padding_value).ravel()
        left[path] -= 1
        if not left[path]:
            del held[path]


def _frames(path: Path, root: Path | None, count: int, like: DicomSlice) -> tuple[Any, Sequence[bytes | memoryview]]:
    """The elements of a file, and the bytes of each of its frames, which are `count` and all like one."""
    most = count * like.shape[0] * like.shape[1] * like.bits // 8 + MOST_BESIDE
    with opened_dataset(path, root, most) as dataset:
        if "PixelData" not in dataset:
            raise bad_file(path, "header.invalid", "has no PixelData", element="PixelData")
        frames = frames_of(path, dataset, count)
        del dataset.PixelData
    return dataset, frames


def _described(path: Path, dataset: Any, *, is_alone: bool) -> Sequence[tuple[DicomSlice, Frame]]:
    """Every frame, in the order of the file.

    Raises:
        BadFileError: no enhanced CT, a part of one, or a frame that is not described.
    """
    _check_class(path, dataset, is_alone=is_alone)
    check_packing(path, dataset)
    count = int(dataset.get("NumberOfFrames") or 1)
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(own) != count:
        message = f"declares {count} frames, and describes {len(own)} (PerFrameFunctionalGroupsSequence)"
        raise bad_file(path, "header.invalid", message, declared=count, described=len(own))
    _check_size(path, dataset, count)
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), {})
    lost, found = loss(dataset), list[tuple[DicomSlice, Frame]]()
    for number, groups in enumerate(own):
        frame = Frame(groups, shared, dataset)
        with _naming(number):
            _check_meaning(path, frame)
            found.append((replace(described_slice(path, frame, lost), frame=number), frame))
    return found


def _check_class(path: Path, dataset: Any, *, is_alone: bool) -> None:
    """Refuse what is no enhanced CT, and what is but a part of one though it stands alone."""
    kind = str(dataset.get("SOPClassUID") or "")
    count = dataset.get("NumberOfFrames")
    if kind not in _CLASSES:
        what = "one slice" if int(count or 1) == 1 else f"{count} frames of another kind than an enhanced CT"
        message = f"holds {what} (SOP class {kind or 'not given'}); expected the folder of its series"
        raise bad_file(path, "content.not_3d", message, sop_class=kind)
    parts = int(dataset.get("InConcatenationTotalNumber") or 0)
    if is_alone and dataset.get("ConcatenationUID") and parts != 1:
        part = dataset.get("InConcatenationNumber")
        message = f"is part {part} of {parts or 'some'} of a volume that was cut up (a concatenation); name the folder"
        raise bad_file(path, "container.incomplete", f"{message} with all of them", part=str(part), parts=parts)


def _check_size(path: Path, dataset: Any, count: int) -> None:
    """Refuse sizes that the file's bytes cannot hold, before room is made for them."""
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if min(rows, columns) > 0:  # else told by name later
        check_shape(path, (count, rows, columns))
    bits, _ = bits_of(path, dataset)
    num_bytes, declared = path.stat().st_size, count * rows * columns * bits // 8
    if is_deflated(dataset) or not is_native(dataset):
        refuse_bomb(path, num_bytes, declared)
    elif num_bytes < declared:
        message = f"has {num_bytes} bytes, and its header declares {declared} of pixels"
        raise bad_file(path, "container.truncated", message, bytes=num_bytes, declared=declared)


def _check_meaning(path: Path, frame: Frame) -> None:
    """Refuse frames whose numbers are no HU, and overviews among the slices."""
    kind = str(frame.get("RescaleType") or "").strip().upper()
    if kind not in _HU:
        message = f"holds {kind} and no HU (RescaleType)"
        raise bad_file(path, "header.scaling", message, rescale_type=kind)
    types = frame.get("FrameType") or []
    if "LOCALIZER" in ([types] if isinstance(types, str) else list(types)):
        raise bad_file(path, "content.few_slices", "is a localizer")


def _macros(groups: Any) -> Iterator[Any]:
    """The items of the macros in a functional group."""
    for name in _GROUPS:
        yield from (groups.get(name) or [])[:1]


@contextmanager
def _naming(number: int) -> Generator[None]:
    """What is wrong with a frame is told with its number, counted from 1."""
    try:
        yield
    except BadFileError as bad:
        found = bad.problem
        values = {**found.values, "frame": number + 1}
        raise BadFileError(replace(found, message=f"frame {number + 1}: {found.message}", values=values)) from bad
