"""The header of a compressed frame is read before a decoder sees it, and compared with that of its file."""

from pathlib import Path

import pytest
from support.dicom_packing import EXTENDED_FRAME, HTJ2K_FRAMES, STEPS

from simcrop.adapters.formats.dicom_codestream import Codestream, read_codestream
from simcrop.core.data.problems import BadFileError

FRAMES = [EXTENDED_FRAME, *HTJ2K_FRAMES.values()]


def header(frame: bytes, shape: tuple[int, int] = STEPS.shape) -> Codestream:  # type: ignore[assignment]
    return read_codestream(Path("a.dcm"), "JPEG", frame, shape)


def refusal(frame: bytes, shape: tuple[int, int] = STEPS.shape) -> str:  # type: ignore[assignment]
    with pytest.raises(BadFileError) as refused:
        header(frame, shape)
    return refused.value.problem.code


def test_size_and_bits_are_those_of_the_stream() -> None:
    assert header(EXTENDED_FRAME) == Codestream(12, 10, 12)
    assert header(HTJ2K_FRAMES["signed"]) == Codestream(12, 10, 16)
    boxed = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + HTJ2K_FRAMES["signed"]
    assert header(boxed + b"\x00\x00") == Codestream(12, 10, 16)
    filled = EXTENDED_FRAME[:2] + b"\xff\xff" + EXTENDED_FRAME[2:]
    assert header(filled) == Codestream(12, 10, 12)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_stream_of_another_size_is_refused(frame: bytes) -> None:
    assert refusal(frame, (10, 12)) == "container.length"


@pytest.mark.parametrize("frame", FRAMES)
def test_a_cut_is_seen_wherever_it_is(frame: bytes) -> None:
    for length in range(len(frame) - 1):
        assert refusal(frame[:length]) in {"container.corrupt", "container.truncated"}, length


def test_colours_and_too_many_bits_are_refused() -> None:
    at = EXTENDED_FRAME.index(b"\xff\xc1")
    assert refusal(EXTENDED_FRAME[: at + 9] + b"\x03" + EXTENDED_FRAME[at + 10 :]) == "header.datatype"
    assert refusal(EXTENDED_FRAME[: at + 4] + b"\x20" + EXTENDED_FRAME[at + 5 :]) == "header.datatype"
    wide = bytearray(HTJ2K_FRAMES["signed"])
    wide[42] = 0x80 | 37
    assert refusal(bytes(wide)) == "header.datatype"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff" * 100, b"GIF89a", bytes(500), b"\xff\xd8" + bytes(500)])
def test_what_is_no_such_stream_is_refused(data: bytes) -> None:
    assert refusal(data) == "container.corrupt"
