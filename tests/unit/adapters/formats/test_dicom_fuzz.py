"""Whatever a DICOM header holds: a series is read, or a reason is given, and nothing else happens."""

import json
import resource
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from support.bounded import bounded
from support.dicom_series import HU, write_series

from simcrop.adapters.formats.dicom_headers import read_dicom_header
from simcrop.adapters.formats.opening import inspect_volume, read_volume
from simcrop.core.data.problems import BadFileError, Problem

FEW, MANY = 500, 10_000
MOST_SECONDS, MOST_MEGABYTES = 20, 400
_LONG = ("OB", "OW", "OF", "SQ", "UT", "UN")
_NAMES = [
    *("SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelData"),
    *("SpecificCharacterSet", "AcquisitionNumber", "TriggerTime", "SliceThickness", "SeriesDescription", "PatientID"),
    *("SharedFunctionalGroupsSequence", "TransferSyntaxUID", "FileMetaInformationGroupLength"),
]
_KINDS = ["US", "SS", "DS", "IS", "UI", "CS", "LO", "OW", "OB", "UN", "SQ", "FD", "FL", "UL", "AT", "ZZ", "UT"]
_SCRAPS = [
    *(b"", b"0", b"1", b"-1", b"0,5\\0,5", b"1e999", b"nan", b"inf\\0\\0", b"abc", b"1.2.840.10008.1.2.4.90"),
    *(b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.5.1.4.1.1.2.1", b"1.2.840.10008.5.1.4.1.1.88.67", b"CT", b"SR"),
    *(
        b"LOCALIZER",
        b"1\\0\\0\\0\\1\\0",
        b"0\\0\\0",
        b"\xff\xff",
        b"\0\0",
        b"\0\x80",
        b"\xff\xff\xff\xff",
        b"\\ISO 2022 IR 87",
    ),
    *(b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"9" * 40, b"1" * 65, b"\xe9\xff", b"RGB", b"PALETTE COLOR", b"-0"),
]

Element = tuple[str, str, bytes, int]


def _elements() -> st.SearchStrategy[list[Element]]:
    """One to three elements to put in place of those of a header; the last number is added to their lengths."""
    value = st.sampled_from(_SCRAPS) | st.binary(max_size=12)
    lengths = st.sampled_from([0] * 8 + [1, -1, 2**16 - 8, 2**31, 2**32 - 9])
    return st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_KINDS), value, lengths), min_size=1, max_size=3)


def _edits() -> st.SearchStrategy[list[tuple[int, bytes]]]:
    """Bytes to write over those of the file, at a place; none cuts the file off there."""
    return st.lists(st.tuples(st.integers(0, 2**12), st.binary(max_size=4)), max_size=2)


def _parsed(data: bytes) -> list[tuple[int, str, bytes]]:
    """The elements of a file in explicit little endian."""
    found: list[tuple[int, str, bytes]] = []
    place = 132
    while place < len(data):
        group, element, kind = struct.unpack_from("<HH2s", data, place)
        is_long = kind.decode() in _LONG
        (length,) = struct.unpack_from("<I" if is_long else "<H", data, place + (8 if is_long else 6))
        begin = place + (12 if is_long else 8)
        found.append((group << 16 | element, kind.decode(), data[begin : begin + length]))
        place = begin + length
    return found


def _written(elements: Sequence[tuple[int, str, bytes]], changes: Sequence[Element]) -> bytes:
    """A file of these elements, with some in place of theirs."""
    tags = {name: int(tag_for_keyword(name) or 0) for name, *_ in changes}
    kept = [(tag, kind, value, 0) for tag, kind, value in elements if tag not in tags.values()]
    added = [(tags[name], kind, value, more) for name, kind, value, more in changes]
    data = bytes(128) + b"DICM"
    for tag, kind, value, more in sorted(kept + added, key=lambda each: each[0]):
        head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, kind.encode())
        if kind in _LONG:
            data += head + struct.pack("<HI", 0, (len(value) + more) % 2**32) + value
        else:
            data += head + struct.pack("<H", (len(value) + more) % 2**16) + value
    return data


def _edited(data: bytes, edits: Sequence[tuple[int, bytes]]) -> bytes:
    for number, piece in edits:
        place = number % (len(data) + 1)
        data = data[:place] + piece + data[place + len(piece) :] if piece else data[:place]
    return data


def _check_told(found: Sequence[Problem]) -> None:
    for each in found:
        row = json.loads(json.dumps(each.as_row(), allow_nan=False))
        assert row["message"]
        for text in ("invalid literal", "could not convert", "object has no", "Traceback", "NoneType", "unpack"):
            assert text not in row["message"]


def _run(root: Path, *, max_examples: int, derandomize: bool) -> None:
    write_series(root / "series", HU[:2, :4, :4])
    names = sorted((root / "series").iterdir())
    whole = [path.read_bytes() for path in names]
    parsed = [_parsed(data) for data in whole]

    @settings(
        max_examples=max_examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2), _elements(), _edits())
    def run(which: int, changes: list[Element], edits: list[tuple[int, bytes]]) -> None:
        for number, path in enumerate(names):
            is_changed = which in {number, 2}
            path.write_bytes(_edited(_written(parsed[number], changes), edits) if is_changed else whole[number])
        told: list[Problem] = []
        with bounded(MOST_SECONDS), warnings.catch_warnings(action="error"):
            for path in names:
                read_dicom_header(path)
            digest = inspect_volume(root / "series", told.append, root=root)
            _check_told(told)
            assert digest is not None or any(found.severity == "error" for found in told)
            try:
                assert read_volume(root / "series", on_problem=lambda found: None).voxels.ndim == 3
            except BadFileError as bad:
                _check_told([bad.problem])

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MOST_MEGABYTES


def test_a_changed_header_is_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    _run(tmp_path, max_examples=FEW, derandomize=True)


@pytest.mark.slow
def test_many_changed_headers_are_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    _run(tmp_path, max_examples=MANY, derandomize=False)
