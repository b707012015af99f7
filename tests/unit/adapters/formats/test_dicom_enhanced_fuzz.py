"""Whatever is dropped from an enhanced CT, or altered in it, it is read or refused in words."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from support.dicom_enhanced import CONTENT, KIND, Macros, at, write_enhanced
from support.dicom_packing import JPEG_LS
from support.dicom_series import HU

from simcrop.adapters.formats.opening import inspect_volume, read_volume
from simcrop.adapters.problems.content import refuse_content
from simcrop.core.data.problems import BadFileError, Problem

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless, JPEG_LS]
SLICES = HU[:8]
ODD: list[Any] = [
    None,
    "",
    0,
    -1,
    1,
    2,
    7,
    2**16 - 1,
    [],
    [0, 0],
    [1e300] * 3,
    [math.nan] * 6,
    "HU",
    ["A", "B"],
    "1\\2",
]
"""Values that an element may get; those that its representation cannot hold leave it as it is."""


def own(number: int) -> Macros:
    content = {"StackID": "1", "InStackPositionNumber": number + 1, "TemporalPositionIndex": 1}
    return {**at(number), CONTENT: content, KIND: {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]}}


def places(dataset: Any) -> list[tuple[Dataset, Any]]:
    """Every element of a data set and of the items in it, with the data set that holds it."""
    found: list[tuple[Dataset, Any]] = []
    for element in dataset:
        found.append((dataset, element.tag))
        if element.VR == "SQ":
            for item in element.value:
                found += places(item)
    return found


@st.composite
def damages(draw: st.DrawFn) -> Callable[[Any], None]:
    """One to three elements dropped, altered, or sequences emptied, doubled or turned round."""
    kinds = draw(
        st.lists(st.sampled_from(["drop", "alter", "empty", "double", "reverse", "flat"]), max_size=3, min_size=1)
    )
    where = [draw(st.integers(0, 10**6)) for _ in kinds]
    values = [draw(st.sampled_from(ODD)) for _ in kinds]

    def change(dataset: Any) -> None:
        for kind, index, value in zip(kinds, where, values, strict=True):
            known = [place for place in places(dataset) if place[1] != 0x7FE00010 or kind == "drop"]
            holder, tag = known[index % len(known)]
            _damage(holder, tag, kind, value)

    return change


def _damage(holder: Dataset, tag: Any, kind: str, value: Any) -> None:
    element: Any = holder[tag]
    is_sequence = element.VR == "SQ"
    if kind == "drop" or (is_sequence and kind == "alter"):
        del holder[tag]
    elif not is_sequence:
        kept = element.value
        try:
            element.value = value
            _ = Dataset({element.tag: element}).to_json()
        except Exception:
            element.value = kept
    elif kind == "empty":
        element.value = []
    elif kind == "double":
        element.value = [*element.value, *element.value]
    elif kind == "reverse":
        element.value = [*element.value][::-1]
    else:
        element.value = [Dataset() for _ in element.value]


def outcome(path: Path) -> str:
    """What becomes of a file: it is read, or refused with a code. Check and reading agree."""
    told: list[Problem] = []
    digest = inspect_volume(path, told.append, root=path.parent)
    errors = [found.code for found in told if found.severity == "error"]
    if errors:
        with pytest.raises(BadFileError) as refused:
            refuse_content(path, read_volume(path))
        assert "\n" not in str(refused.value)
        return refused.value.problem.code
    assert digest is not None
    assert read_volume(path).voxels.shape[2] >= 2
    return "read"


def holds(damage: Callable[[Any], None], syntax: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"

        try:
            write_enhanced(path, SLICES, own=own, change=damage, syntax=syntax)
        except Exception:
            return  # no file that pydicom would write
        outcome(path)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(damages(), st.sampled_from(SYNTAXES))
def test_groups_that_are_dropped_or_altered(damage: Callable[[Any], None], syntax: str) -> None:
    holds(damage, syntax)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(damages(), st.sampled_from(SYNTAXES))
def test_groups_that_are_dropped_or_altered_at_length(damage: Callable[[Any], None], syntax: str) -> None:
    holds(damage, syntax)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4), st.sampled_from(SYNTAXES))
def test_bytes_that_flip(flips: list[tuple[float, int]], syntax: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"
        write_enhanced(path, SLICES, own=own, syntax=syntax)
        data = bytearray(path.read_bytes())
        for where, value in flips:
            data[132 + int(where * (len(data) - 132))] = value
        path.write_bytes(data)
        outcome(path)
